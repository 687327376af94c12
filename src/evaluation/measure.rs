//! The seam of evaluation: a measure takes its figures from a net's record and prints its own rows.

use std::path::{Path, PathBuf};

use anyhow::Result;
use espalier_search::{Decoding, Evaluator, Problem};
use serde_json::Value;

use super::recipe::EvaluationRecipe;
use super::record::Record;
use crate::environment::AnyEnvironment;
use crate::report::{RoundsRow, Runs, Table};

/// A net with the problems that it is measured on.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    /// The rules, as the net reads them.
    pub environment: &'a AnyEnvironment,
    /// The net.
    pub evaluator: &'a dyn Evaluator,
    /// Fingerprint of the net.
    pub net: &'a str,
    /// The held-out problems, or those of another source.
    pub problems: &'a [Problem],
    /// `[evaluation]`.
    pub recipe: &'a EvaluationRecipe,
    /// How often each problem is answered in each way, >= 1.
    pub seeds: usize,
    /// Root of the sampling seeds.
    pub seed: u64,
    /// Problems that are answered at the same time.
    pub concurrent_problems: usize,
    /// The file of the record; measures write files of their own beside it.
    pub out: Option<&'a Path>,
    /// Whether the answers that the file holds are kept, and only those that it lacks are given.
    pub further: bool,
}

/// A file of a measure's own beside the record: of `evaluation.jsonl` and `process-math`, `evaluation.process-math.jsonl`.
#[must_use]
pub fn own_file(record: Option<&Path>, name: &str) -> Option<PathBuf> {
    record.map(|record| record.with_extension(format!("{name}.jsonl")))
}

/// What must be recorded of the problems before the measures are taken.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Needs {
    /// Ways to answer every problem. Those that choose from samples share one set of them.
    pub decodings: Vec<Decoding>,
    /// Sampled solutions of every problem.
    pub samples: usize,
}

impl Needs {
    /// What both need together.
    pub fn add(&mut self, other: Self) {
        self.samples = self.samples.max(other.samples);
        for decoding in other.decodings {
            if !self.decodings.contains(&decoding) {
                self.decodings.push(decoding);
            }
        }
    }
}

/// A measure's figures in every form in which they leave the program.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Figures {
    /// For the summary of a round (`evaluate.json`).
    pub summary: Value,
    /// For `--json`: one object a line.
    pub lines: Vec<Value>,
    /// For a terminal; absent when there is nothing to show.
    pub table: Option<Table>,
    /// For the log: one line each.
    pub notes: Vec<String>,
}

/// A kind of `[[evaluation.measures]]`, whose settings are the type that implements it.
pub trait Measure {
    /// The key of the figures in the summary of a round; those of other sources stand under [`Self::OTHERS`] by source.
    const KEY: &'static str;

    /// The key of the figures of other sources; `None` for a measure that reads no problems but its own: it is taken once.
    const OTHERS: Option<&'static str> = None;

    /// Checks the settings.
    ///
    /// # Errors
    /// Names the first setting that cannot be used.
    fn validate(&self) -> Result<()> {
        Ok(())
    }

    /// What the record must hold.
    fn needs(&self, _recipe: &EvaluationRecipe) -> Needs {
        Needs::default()
    }

    /// Takes the figures.
    ///
    /// # Errors
    /// When files cannot be read, or the net fails.
    fn measure(&self, subject: &Subject<'_>, record: &Record) -> Result<Figures>;

    /// The rows of finished rounds; none where no round has such figures.
    ///
    /// # Errors
    /// When a file of a round cannot be read, or the runs differ in their problems.
    fn rows(runs: &Runs) -> Result<Vec<RoundsRow>>;
}
