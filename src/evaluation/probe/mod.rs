//! The probe: validation problems that every round's net searches and answers in the same way, so that what changes between
//! rounds is the net alone. Nothing of it flows back into search or training.

mod calibration;
mod outcomes;
mod rows;
mod states;
mod steps;

pub use calibration::{Bin, Reliability};
pub use outcomes::Outcome;
pub use rows::rows;
pub use states::{Values, value_states};
pub use steps::{Steps, TreeFigures};

use anyhow::{Context, Result, ensure};
use espalier_search::{DecodeConfig, MctsConfig};
use serde::{Deserialize, Serialize};

use super::measure::Measure;
use super::pass_at_k::PassAtK;

/// `[rounds.probe]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProbeRecipe {
    /// How many problems of the validation split.
    pub problems: usize,
    /// Picks the problems and is the root of the search's and the samples' streams: the same in every round, and for every seed of
    /// the run, so that rounds and runs are compared on the same problems.
    pub seed: u64,
    /// The chance that at least one of k solutions is right which the policy samples without a search.
    pub pass_at_k: PassAtK,
    /// How the trees are grown, whatever `[search]` says.
    pub search: MctsConfig,
}

impl Default for ProbeRecipe {
    fn default() -> Self {
        Self { problems: 64, seed: 0, pass_at_k: PassAtK::default(), search: MctsConfig::default() }
    }
}

impl ProbeRecipe {
    /// Checks every key.
    ///
    /// # Errors
    /// Names the first that cannot be used.
    pub fn validate(&self) -> Result<()> {
        ensure!(self.problems > 0, "problems must be at least 1");
        self.pass_at_k.validate().context("pass_at_k")?;
        self.search.validate().context("search")?;
        // A node's children are then one draw of `samples` steps.
        let MctsConfig { widening, roots, .. } = self.search;
        ensure!(
            widening == 0 && roots == 1,
            "search: widening = {widening} and roots = {roots} must be 0 and 1: the probe counts how many of the steps that are \
             sampled at a node differ"
        );
        Ok(())
    }

    /// How the policy's solutions are sampled: as the steps of its trees are.
    #[must_use]
    pub fn decode(&self) -> DecodeConfig {
        DecodeConfig { tree: self.search.clone(), ..DecodeConfig::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_checked() {
        ProbeRecipe::default().validate().unwrap();
        for (text, part) in [
            ("problems = 0", "problems"),
            ("pass_at_k.k = []", "pass_at_k"),
            ("search.samples = 0", "samples"),
            ("search.widening = 1", "widening = 1"),
            ("search.roots = 2", "roots = 2"),
        ] {
            let recipe: ProbeRecipe = toml::from_str(text).unwrap();
            let error = format!("{:#}", recipe.validate().unwrap_err());
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
