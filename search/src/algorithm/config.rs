//! Settings that the decodings share.

use serde::{Deserialize, Serialize};

use crate::{AnswerRule, ConfigError, InFlightRule, MctsConfig, SelectionConfig, StopConfig};

/// Settings of every [`crate::Decoding`]; each reads those that concern it. The defaults are
/// AlphaMath's at inference.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DecodeConfig {
    /// Sampling temperature of all but `greedy`, which takes 0.
    pub temperature: f32,
    /// Most steps of a path; for `mcts` see [`MctsConfig::max_depth`].
    pub max_depth: usize,
    /// `sbs`: drops siblings whose trimmed text an earlier one has.
    pub remove_duplicate: bool,
    /// `mcts`: weight of PUCT's exploration term.
    pub c_puct: f64,
    /// `mcts`: steps sampled at each expansion.
    pub samples: usize,
    /// `mcts`: divides priors by their sum over siblings.
    pub normalise_prior: bool,
    /// `mcts`: what the walk down the finished tree goes by.
    pub answer_rule: AnswerRule,
    /// `mcts`: backs up the value of each new child at once.
    pub update_leaf_value: bool,
    /// `mcts`: threads in one tree.
    pub workers: usize,
    /// `mcts`: leaves that a worker sends to the evaluator as one batch.
    pub leaf_batch: usize,
    /// `mcts`: trees that share the simulations and are merged.
    pub roots: usize,
    /// `mcts`: how selection sees simulations in flight.
    pub in_flight: InFlightRule,
    /// `mcts`: losses that a simulation in flight counts for.
    pub virtual_loss: f64,
    /// `mcts`: equal states share a node.
    pub transpositions: bool,
    /// `mcts`: how children are chosen, beside `c_puct`.
    pub selection: SelectionConfig,
    /// `mcts`: what ends a search before its simulations are done.
    pub stop: StopConfig,
}

impl Default for DecodeConfig {
    fn default() -> Self {
        let tree = MctsConfig::default();
        Self {
            temperature: tree.temperature,
            max_depth: tree.max_depth,
            remove_duplicate: true,
            c_puct: 1.25,
            samples: tree.samples,
            normalise_prior: tree.normalise_prior,
            answer_rule: tree.answer_rule,
            update_leaf_value: tree.update_leaf_value,
            workers: tree.workers,
            leaf_batch: tree.leaf_batch,
            roots: tree.roots,
            in_flight: tree.in_flight,
            virtual_loss: tree.virtual_loss,
            transpositions: tree.transpositions,
            selection: tree.selection,
            stop: tree.stop,
        }
    }
}

impl DecodeConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// Names the first field that cannot be used.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.mcts(self.roots as u64).validate()
    }

    /// The settings of a tree with these choices. Duplicates stay: the paper removes them in step
    /// beam search only.
    #[must_use]
    pub fn mcts(&self, simulations: u64) -> MctsConfig {
        MctsConfig {
            c_puct: self.c_puct,
            samples: self.samples,
            simulations,
            max_depth: self.max_depth,
            temperature: self.temperature,
            normalise_prior: self.normalise_prior,
            answer_rule: self.answer_rule,
            update_leaf_value: self.update_leaf_value,
            workers: self.workers,
            leaf_batch: self.leaf_batch,
            roots: self.roots,
            in_flight: self.in_flight,
            virtual_loss: self.virtual_loss,
            transpositions: self.transpositions,
            selection: self.selection.clone(),
            stop: self.stop.clone(),
            ..MctsConfig::default()
        }
    }
}

#[cfg(all(test, not(espalier_loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_bad_field_is_named() {
        DecodeConfig::default().validate().unwrap();
        let config = DecodeConfig { max_depth: 0, ..DecodeConfig::default() };
        assert_eq!(config.validate().unwrap_err().field, "max_depth");
        let error = serde_json::from_str::<DecodeConfig>(r#"{"beams": 3}"#).unwrap_err();
        assert!(error.to_string().contains("beams"), "{error}");
    }
}
