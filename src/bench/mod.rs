//! Timings for `espalier bench`.

pub mod execution;
pub mod inference;
mod lockstep;
mod text;
pub mod training;

use std::time::Instant;

use anyhow::Result;
use espalier_model::checkpoint::Source;
use espalier_training::{Checkpoint, Tokenizer, resolve_threads};
use serde::Serialize;

use crate::provenance;
use crate::recipe::Recipe;

/// One timed case.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Case {
    /// Names this form and its version.
    pub schema: &'static str,
    /// `execution`.
    pub bench: &'static str,
    /// What was timed.
    pub case: String,
    /// Threads at work.
    pub threads: usize,
    /// Threads beyond the machine's cores say nothing about scaling.
    pub oversubscribed: bool,
    /// Units of work in a repetition.
    pub work: u64,
    /// Units a second in the median repetition.
    pub per_second: f64,
    /// The unit.
    pub unit: &'static str,
    /// Median wall time of a repetition.
    pub seconds: f64,
    /// Fastest repetition.
    pub seconds_min: f64,
    /// Slowest repetition.
    pub seconds_max: f64,
    /// Where the program comes from.
    pub git_revision: &'static str,
}

/// Times `work`, which returns how many units it did, after one repetition that is not counted.
fn time(
    bench: &'static str,
    case: String,
    threads: usize,
    unit: &'static str,
    repetitions: usize,
    mut work: impl FnMut() -> Result<u64>,
) -> Result<Case> {
    let mut units = work()?;
    let mut seconds = Vec::with_capacity(repetitions);
    for _ in 0..repetitions {
        let start = Instant::now();
        units = work()?;
        seconds.push(start.elapsed().as_secs_f64());
    }
    let [fastest, median, slowest] = spread(seconds);
    Ok(Case {
        schema: "espalier.bench/1",
        bench,
        case,
        threads,
        oversubscribed: oversubscribed(threads),
        work: units,
        per_second: units as f64 / median,
        unit,
        seconds: median,
        seconds_min: fastest,
        seconds_max: slowest,
        git_revision: provenance::get().git_revision,
    })
}

/// The least, the median and the greatest of at least one time.
fn spread(mut times: Vec<f64>) -> [f64; 3] {
    times.sort_by(f64::total_cmp);
    [times[0], times[times.len() / 2], times[times.len() - 1]]
}

fn oversubscribed(threads: usize) -> bool {
    threads > resolve_threads(0)
}

/// 1, and all that there are.
#[must_use]
pub fn counts(threads: usize) -> Vec<usize> {
    if threads > 1 { vec![1, threads] } else { vec![1] }
}

/// The checkpoint to time, or a fresh net of the recipe's shape.
///
/// # Errors
/// When the checkpoint cannot be loaded.
pub fn net(recipe: &Recipe, checkpoint: Option<Source<'_>>) -> Result<Checkpoint> {
    match checkpoint {
        Some(source) => Ok(Checkpoint::open(source)?),
        None => Ok(Checkpoint::initialise(
            &recipe.net,
            Tokenizer::fresh(recipe.net.tokens)?,
            recipe.seed,
        )?),
    }
}
