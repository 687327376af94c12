//! `[evaluation]` of a recipe.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Display;

use anyhow::{Context, Result, bail};
use espalier_search::decoding::{Greedy, Majority, Mcts, StepBeam};
use espalier_search::{DecodeConfig, Decoding};
use serde::{Deserialize, Serialize};

use super::measures::{MeasureRecipe, default_measures};
use crate::data::SourceRecipe;

/// How a net is measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EvaluationRecipe {
    /// How many problems of the test split.
    pub problems: usize,
    /// Picks the problems; the same for every seed of the run, so that runs are compared on the same problems.
    pub seed: u64,
    /// The decodings, such as `greedy`, `maj@5`, `bon@5`, `sbs:3x5`, `mcts:40`.
    pub decodings: Vec<Decoding>,
    /// The settings that the decodings share.
    pub decode: DecodeConfig,
    /// The measures, in the order in which they are taken; `decodings` and `value_auc` where none is listed.
    #[serde(skip_serializing_if = "is_default")]
    pub measures: Vec<MeasureRecipe>,
    /// Problems of other sources, under the names that tables give them: as many of each are measured beside the held-out ones.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub others: BTreeMap<String, SourceRecipe>,
}

/// The recipes of runs that list no measures stay as they were written.
fn is_default(measures: &[MeasureRecipe]) -> bool {
    measures == default_measures()
}

impl Default for EvaluationRecipe {
    fn default() -> Self {
        Self {
            problems: 400,
            seed: 0,
            decodings: vec![
                Greedy.into(),
                Majority { k: 5 }.into(),
                StepBeam { beams: 1, samples: 5 }.into(),
                StepBeam { beams: 3, samples: 5 }.into(),
                Mcts { simulations: 40 }.into(),
            ],
            decode: DecodeConfig::default(),
            measures: default_measures(),
            others: BTreeMap::new(),
        }
    }
}

impl EvaluationRecipe {
    /// Checks every key.
    ///
    /// # Errors
    /// Names the first section and key that cannot be used.
    pub fn validate(&self) -> Result<()> {
        self.decode.validate().context("[evaluation.decode]")?;
        listed_once(&self.decodings).context("evaluation.decodings")?;
        validate_measures(&self.measures).context("[[evaluation.measures]]")?;
        for (name, source) in &self.others {
            let section = || format!("[evaluation.others.{name}]");
            // Files of the run directory are called after it.
            let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            if name.is_empty() || !name.chars().all(plain) {
                bail!("{}: a name is made of letters, digits, `-`, `_` and `.`", section());
            }
            source.validate("").map_err(anyhow::Error::msg).with_context(section)?;
        }
        for (key, value) in [
            ("evaluation.problems", self.problems),
            ("evaluation.decodings", self.decodings.len()),
            ("evaluation.measures", self.measures.len()),
        ] {
            if value == 0 {
                bail!("{key} must be at least 1");
            }
        }
        Ok(())
    }
}

/// Checks that a list names nothing twice.
///
/// # Errors
/// Names what it does.
pub fn listed_once<T: Display>(list: &[T]) -> Result<()> {
    let mut seen = HashSet::new();
    match list.iter().map(T::to_string).find(|name| !seen.insert(name.clone())) {
        Some(name) => bail!("{name} is listed twice; list it once"),
        None => Ok(()),
    }
}

/// Checks the settings of measures, of which each kind is listed once.
///
/// # Errors
/// Names the kind that is wrong.
pub fn validate_measures(measures: &[MeasureRecipe]) -> Result<()> {
    let mut kinds = HashSet::new();
    for measure in measures {
        let kind = measure.kind();
        if !kinds.insert(kind) {
            bail!("kind = {kind:?} is listed twice; a measure is taken once");
        }
        measure.validate().with_context(|| format!("kind = {kind:?}"))?;
    }
    Ok(())
}
