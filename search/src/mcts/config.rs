//! Settings of one tree.

use serde::{Deserialize, Serialize};

use crate::ConfigError;
use crate::selection::Puct;
use crate::tree::{InFlight, MAX_CHILDREN, StatsLayout, TreeConfig};

/// Settings of one tree. The defaults are AlphaMath's (arXiv 2405.03553 and its released
/// configurations).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MctsConfig {
    /// Weight of PUCT's exploration term: 1.5 when data are made, 1.25 at inference.
    pub c_puct: f64,
    /// Steps sampled at each expansion (`n_generate_sample`).
    pub samples: usize,
    /// Simulations a tree.
    pub simulations: u64,
    /// Deepest node that may be expanded. A step beyond it that is no answer ends its path as
    /// invalid.
    pub max_depth: usize,
    /// Sampling temperature: 0.6 in the paper's first round, 1.0 later.
    pub temperature: f32,
    /// Merges siblings of equal trimmed text into the first. The paper's trees keep them apart.
    pub remove_duplicate: bool,
    /// Backs up the value of each new child at once, instead of the expanded node's.
    pub update_leaf_value: bool,
    /// Divides priors by their sum over siblings. The paper does not.
    pub normalise_prior: bool,
    /// Backed up from a right answer, in [-1, 1].
    pub positive_reward: f64,
    /// Backed up from a wrong answer and from every invalid ending, in [-1, 1].
    pub negative_reward: f64,
    /// Losses that a simulation in flight counts for in selection; of no effect with one worker.
    pub virtual_loss: f64,
    /// Threads in one tree. One gives the same tree bit for bit under the same seed.
    pub workers: usize,
    /// What the walk that reads a solution off the tree goes by.
    pub answer_rule: AnswerRule,
    /// What happens when every child of a selected node has ended.
    pub dead_end: DeadEnd,
}

/// What the walk that reads a solution off a finished tree goes by. Ties go to the first child.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnswerRule {
    /// Q(s, a), the mean backed-up value.
    #[default]
    QValue,
    /// The value net's opinion of the child; -1 where it was not asked.
    Value,
    /// N(s, a), the visit count.
    Visits,
}

/// What happens when selection meets a node all of whose children have ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeadEnd {
    /// The node is exhausted and avoided; the search goes on until the root is exhausted.
    #[default]
    Avoid,
    /// The whole search of the problem ends, as in the original code.
    Stop,
}

impl Default for MctsConfig {
    fn default() -> Self {
        Self {
            c_puct: 1.5,
            samples: 5,
            simulations: 40,
            max_depth: 8,
            temperature: 1.0,
            remove_duplicate: false,
            update_leaf_value: false,
            normalise_prior: false,
            positive_reward: 1.0,
            negative_reward: -1.0,
            virtual_loss: 1.0,
            workers: 1,
            answer_rule: AnswerRule::QValue,
            dead_end: DeadEnd::Avoid,
        }
    }
}

/// Descents that a worker may hold at once: its own, and those that met another's leaf (see
/// `mcts::descend`).
pub(super) const MAX_DESCENTS: u64 = 4;

/// Nodes that a tree may have: the arena holds 2^31 slots, and a run has a header and may lose a
/// chunk's end.
const MAX_NODES: u64 = 1 << 29;

impl MctsConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// Names the first field that no search can run with.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let check = ConfigError::require;
        let at_least_0 = "must be a finite number >= 0";
        let not_negative = |x: f64| x.is_finite() && x >= 0.0;
        let in_range = |x: f64| (-1.0..=1.0).contains(&x);
        check(not_negative(self.c_puct), "c_puct", &self.c_puct, at_least_0)?;
        let few = (1..=MAX_CHILDREN).contains(&self.samples);
        check(few, "samples", &self.samples, "must be in 1 ..= 32767")?;
        check(self.simulations >= 1, "simulations", &self.simulations, "must be >= 1")?;
        let nodes = self.simulations.saturating_mul(self.samples as u64);
        let fits = nodes < MAX_NODES && self.layout().is_some();
        check(fits, "simulations", &self.simulations, "samples x simulations is too large a tree")?;
        check(self.max_depth >= 1, "max_depth", &self.max_depth, "must be >= 1")?;
        let temperature = f64::from(self.temperature);
        check(not_negative(temperature), "temperature", &self.temperature, at_least_0)?;
        let reward = "must be in [-1, 1]";
        check(in_range(self.positive_reward), "positive_reward", &self.positive_reward, reward)?;
        check(in_range(self.negative_reward), "negative_reward", &self.negative_reward, reward)?;
        check(not_negative(self.virtual_loss), "virtual_loss", &self.virtual_loss, at_least_0)?;
        check((1..=1024).contains(&self.workers), "workers", &self.workers, "must be in 1 ..= 1024")
    }

    /// The selection rule that these settings describe.
    #[must_use]
    pub fn puct(&self) -> Puct {
        Puct { c_puct: self.c_puct }
    }

    /// The tree that these settings describe; `None` when it is too large for any statistics layout.
    #[must_use]
    pub fn tree(&self) -> Option<TreeConfig> {
        Some(TreeConfig {
            layout: self.layout()?,
            workers: self.workers,
            in_flight: InFlight { loss: self.virtual_loss, explored: self.virtual_loss },
            avoid_exhausted: self.dead_end == DeadEnd::Avoid,
        })
    }

    /// The finest statistics layout that the settings allow; `None` when the tree is too large for
    /// any.
    #[must_use]
    pub fn layout(&self) -> Option<StatsLayout> {
        // A simulation backs up at most one value a child and one of the expanded node.
        let visits = self.simulations.checked_mul(self.samples as u64 + 1)?;
        StatsLayout::new(visits, self.workers as u64 * MAX_DESCENTS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid_and_resolve_finely() {
        let config = MctsConfig::default();
        config.validate().unwrap();
        assert!(config.layout().unwrap().resolution() <= 1e-11);
        let large = MctsConfig { simulations: 1_000_000, workers: 64, ..config };
        large.validate().unwrap();
    }

    #[test]
    fn each_bad_field_is_named() {
        let good = MctsConfig::default;
        let cases = [
            ("c_puct", MctsConfig { c_puct: f64::NAN, ..good() }),
            ("samples", MctsConfig { samples: 0, ..good() }),
            ("samples", MctsConfig { samples: 40_000, ..good() }),
            ("simulations", MctsConfig { simulations: 0, ..good() }),
            ("simulations", MctsConfig { simulations: u64::MAX, ..good() }),
            ("simulations", MctsConfig { simulations: 1 << 30, ..good() }),
            ("max_depth", MctsConfig { max_depth: 0, ..good() }),
            ("temperature", MctsConfig { temperature: -0.5, ..good() }),
            ("positive_reward", MctsConfig { positive_reward: 2.0, ..good() }),
            ("negative_reward", MctsConfig { negative_reward: f64::NAN, ..good() }),
            ("virtual_loss", MctsConfig { virtual_loss: f64::INFINITY, ..good() }),
            ("workers", MctsConfig { workers: 0, ..good() }),
        ];
        for (field, config) in cases {
            assert_eq!(config.validate().unwrap_err().field, field, "{config:?}");
        }
    }

    #[test]
    fn a_misspelt_field_is_refused() {
        let error = serde_json::from_str::<MctsConfig>(r#"{"c_pcut": 1.0}"#).unwrap_err();
        assert!(error.to_string().contains("c_pcut"), "{error}");
        let partial: MctsConfig = serde_json::from_str(r#"{"answer_rule": "visits"}"#).unwrap();
        assert_eq!(
            partial,
            MctsConfig { answer_rule: AnswerRule::Visits, ..MctsConfig::default() }
        );
    }
}
