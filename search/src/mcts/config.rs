//! Settings of one tree.

use serde::{Deserialize, Serialize};

use super::stop::StopConfig;
use crate::ConfigError;
use crate::kind::require_temperature;
use crate::selection::{RuleSet, SelectionConfig};
use crate::tree::{InFlight, MAX_CHILDREN, Room, StatsLayout, TreeConfig};

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
    /// How many times steps are sampled again at a node below which nothing is left to search and no right answer was found
    /// (without the ground truth: none that the value net takes for right); 0, as in the paper, lets a search end before its
    /// simulations are done. What a node has already is not counted again.
    pub widening: usize,
    /// Deepest node that may be expanded. A step beyond it that is no answer ends its path as
    /// invalid.
    pub max_depth: usize,
    /// Sampling temperature: 0.6 in the paper's first round, 1.0 later.
    pub temperature: f32,
    /// Draws the steps of a node without replacement (stochastic beam search, arXiv 1903.06059, over a step's tokens): no two
    /// samples are the same tokens, and a widened node gets those that come next. Priors stay the policy's.
    pub without_replacement: bool,
    /// Merges siblings of equal trimmed text into the first. The paper's trees keep them apart.
    pub remove_duplicate: bool,
    /// Backs up the value of each new child at once, instead of the expanded node's.
    pub update_leaf_value: bool,
    /// Divides priors by their sum over siblings. The paper does not.
    pub normalise_prior: bool,
    /// Backed up from an answer of reward 1, in [-1, 1]; from one of a smaller positive reward its share of this.
    pub positive_reward: f64,
    /// Backed up from an answer of reward -1 and from every invalid ending, in [-1, 1]; from an answer of a negative reward above
    /// -1 its share of this.
    pub negative_reward: f64,
    /// Threads in one tree (tree-parallel). One gives the same tree bit for bit under the same seed.
    pub workers: usize,
    /// Leaves that a worker gathers and sends to the evaluator as one batch (leaf-parallel). The descents to them are made a
    /// level at a time, which hides the wait for memory in a tree larger than the caches.
    pub leaf_batch: usize,
    /// Trees grown side by side, each with its part of the simulations, and merged (root-parallel).
    pub roots: usize,
    /// How selection sees simulations in flight; of no effect where there is never more than one.
    pub in_flight: InFlightRule,
    /// Losses that a simulation in flight counts for under `virtual_loss`.
    pub virtual_loss: f64,
    /// What the walk that reads a solution off the tree goes by. Trees for labels are not walked: there it matters to
    /// `stop.settled` alone.
    pub answer_rule: AnswerRule,
    /// Whether steps keep their tokens and the log-probability of each, for objectives that learn from exactly what was
    /// sampled. They take about 16 bytes a token in files and nothing where this is off.
    pub keep_tokens: bool,
    /// Whether the tree keeps the order of its simulations, so that a page steps through them. About 60 bytes a simulation in files
    /// and nothing where this is off.
    pub keep_order: bool,
    /// Equal states share a node (see [`crate::Environment::state_key`]).
    pub transpositions: bool,
    /// Whose tree is grown where the sane way and the original's differ.
    pub compatibility: Compatibility,
    /// How children are chosen, beside `c_puct`.
    pub selection: SelectionConfig,
    /// What ends a search before its simulations are done.
    pub stop: StopConfig,
}

/// How selection sees simulations in flight.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InFlightRule {
    /// As `virtual_loss` visits of value -1 each.
    #[default]
    VirtualLoss,
    /// As a visit in the exploration term that leaves Q alone (WU-UCT, arXiv 1810.11755).
    WuUct,
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

/// Whose tree is grown where the sane way and the original's differ.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Compatibility {
    /// A node below which everything has ended is exhausted and avoided; the search goes on until the root is.
    #[default]
    None,
    /// AlphaMath's released code: a search ends for good when selection meets a node all of whose children have
    /// ended.
    #[serde(rename = "alphamath")]
    AlphaMath,
}

impl Default for MctsConfig {
    fn default() -> Self {
        Self {
            c_puct: 1.5,
            samples: 5,
            simulations: 40,
            widening: 0,
            max_depth: 8,
            temperature: 1.0,
            without_replacement: false,
            remove_duplicate: false,
            update_leaf_value: false,
            normalise_prior: false,
            positive_reward: 1.0,
            negative_reward: -1.0,
            workers: 1,
            leaf_batch: 1,
            roots: 1,
            in_flight: InFlightRule::VirtualLoss,
            virtual_loss: 1.0,
            answer_rule: AnswerRule::QValue,
            keep_tokens: false,
            keep_order: false,
            transpositions: false,
            compatibility: Compatibility::None,
            selection: SelectionConfig::default(),
            stop: StopConfig::default(),
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
    /// What is backed up from an answer of this reward in [-1, 1].
    pub(super) fn value_of(&self, reward: f64) -> f64 {
        if reward >= 0.0 { reward * self.positive_reward } else { -reward * self.negative_reward }
    }

    /// Checks every field.
    ///
    /// # Errors
    /// Names the first field that no search can run with.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let check = ConfigError::require;
        let in_range = |x: f64| (-1.0..=1.0).contains(&x);
        ConfigError::require_not_negative("c_puct", self.c_puct)?;
        let few = (1..=MAX_CHILDREN).contains(&self.samples);
        check(few, "samples", &self.samples, "must be in 1 ..= 32767")?;
        check(self.simulations >= 1, "simulations", &self.simulations, "must be >= 1")?;
        let most = "must be at most 32767, and samples x (1 + widening) too";
        let room = self.samples.saturating_mul(self.widening.saturating_add(1));
        check(room <= MAX_CHILDREN, "widening", &self.widening, most)?;
        // A shared state takes a node beside its edges', with a header of its own.
        let each = if self.transpositions { 3 } else { 1 };
        let nodes = self.simulations.saturating_mul(room as u64).saturating_mul(each);
        let fits = nodes < MAX_NODES && self.layout().is_some();
        check(fits, "simulations", &self.simulations, "samples x simulations is too large a tree")?;
        check(self.max_depth >= 1, "max_depth", &self.max_depth, "must be >= 1")?;
        ConfigError::require_not_negative("temperature", self.temperature)?;
        require_temperature(self.without_replacement, self.temperature)?;
        let reward = "must be in [-1, 1]";
        check(in_range(self.positive_reward), "positive_reward", &self.positive_reward, reward)?;
        check(in_range(self.negative_reward), "negative_reward", &self.negative_reward, reward)?;
        ConfigError::require_not_negative("virtual_loss", self.virtual_loss)?;
        let parallel =
            [("workers", self.workers), ("leaf_batch", self.leaf_batch), ("roots", self.roots)];
        for (field, count) in parallel {
            check((1..=1024).contains(&count), field, &count, "must be in 1 ..= 1024")?;
        }
        let enough = self.simulations >= self.roots as u64;
        check(enough, "simulations", &self.simulations, "must be at least one a root")?;
        let waits = !(self.transpositions && self.update_leaf_value);
        let apart = "must be false with transpositions, where a state is scored once";
        check(waits, "update_leaf_value", &self.update_leaf_value, apart)?;
        let one_path = !(self.keep_order && (self.transpositions || self.roots > 1));
        let single = "must be false with transpositions and with several roots: a node has then no one history";
        check(one_path, "keep_order", &self.keep_order, single)?;
        self.selection.validate()?;
        self.stop.validate()?;
        let planned = "must be 0 with a schedule of halving, which is made for the children that the root begins with";
        let grows = self.widening == 0 || self.rules(0).can_continue();
        check(grows, "widening", &self.widening, planned)?;
        if self.compatibility == Compatibility::AlphaMath {
            let alone = "must be 1 with compatibility = \"alphamath\", whose search has one worker";
            for (field, count) in parallel {
                check(count == 1, field, &count, alone)?;
            }
            let merged = "must be false with compatibility = \"alphamath\"";
            check(!self.transpositions, "transpositions", &self.transpositions, merged)?;
            let drawn = "must be false with compatibility = \"alphamath\", whose steps are drawn each by itself";
            let field = "without_replacement";
            check(!self.without_replacement, field, &self.without_replacement, drawn)?;
            let ends = "must be 0 with compatibility = \"alphamath\", whose search ends at an exhausted node";
            check(self.widening == 0, "widening", &self.widening, ends)?;
        }
        Ok(())
    }

    /// Whether several descents may be under way in one tree.
    fn is_parallel(&self) -> bool {
        self.workers > 1 || self.leaf_batch > 1
    }

    /// Whether a search can go on where a finished one stopped as if it had never stopped.
    pub(super) fn can_continue(&self) -> Result<(), ConfigError> {
        let check = ConfigError::require;
        let halved =
            "a schedule of halving is made for its number of simulations, and cannot go on";
        let rule = self.selection.rule.name();
        check(self.rules(0).can_continue(), "selection.rule", &rule, halved)?;
        check(self.roots == 1, "roots", &self.roots, "merged trees cannot go on: must be 1")?;
        let order = "a tree does not say when its nodes were widened: must be 0";
        check(self.widening == 0, "widening", &self.widening, order)
    }

    /// Room for the children that a node may get when it is widened.
    pub(super) fn room(&self) -> Room {
        Room { widenings: self.widening, children: self.samples * self.widening }
    }

    /// The rules by which a search of these settings chooses.
    pub(super) fn rules(&self, seed: u64) -> RuleSet {
        self.selection.build(self.c_puct, self.simulations, seed)
    }

    /// The tree that these settings describe; `None` when it is too large for any statistics layout.
    #[must_use]
    pub fn tree(&self) -> Option<TreeConfig> {
        Some(TreeConfig {
            layout: self.layout()?,
            in_flight: self.is_parallel().then_some(match self.in_flight {
                InFlightRule::VirtualLoss => {
                    InFlight { loss: self.virtual_loss, explored: self.virtual_loss }
                }
                InFlightRule::WuUct => InFlight { loss: 0.0, explored: 1.0 },
            }),
            shared: self.workers > 1,
            avoid_exhausted: self.compatibility == Compatibility::None,
        })
    }

    /// The finest statistics layout that the settings allow; `None` when the tree is too large for
    /// any.
    #[must_use]
    pub fn layout(&self) -> Option<StatsLayout> {
        // A simulation backs up at most one value a child and one of the expanded node.
        let visits = self.simulations.checked_mul(self.samples as u64 + 1)?;
        let descents = MAX_DESCENTS - 1 + self.leaf_batch as u64;
        StatsLayout::new(visits, self.workers as u64 * descents)
    }
}

#[cfg(all(test, not(espalier_loom)))]
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
        let gumbel = serde_json::from_str(r#"{"rule": "gumbel"}"#).unwrap();
        let never = StopConfig { seconds: Some(-1.0), ..StopConfig::default() };
        let cases = [
            ("c_puct", MctsConfig { c_puct: f64::NAN, ..good() }),
            ("samples", MctsConfig { samples: 0, ..good() }),
            ("samples", MctsConfig { samples: 40_000, ..good() }),
            ("simulations", MctsConfig { simulations: 0, ..good() }),
            ("simulations", MctsConfig { simulations: u64::MAX, ..good() }),
            ("simulations", MctsConfig { simulations: 1 << 30, ..good() }),
            ("widening", MctsConfig { widening: usize::MAX, ..good() }),
            ("widening", MctsConfig { widening: 1, selection: gumbel, ..good() }),
            (
                "widening",
                MctsConfig { widening: 1, compatibility: Compatibility::AlphaMath, ..good() },
            ),
            ("max_depth", MctsConfig { max_depth: 0, ..good() }),
            ("temperature", MctsConfig { temperature: -0.5, ..good() }),
            (
                "without_replacement",
                MctsConfig { temperature: 0.0, without_replacement: true, ..good() },
            ),
            (
                "without_replacement",
                MctsConfig {
                    without_replacement: true,
                    compatibility: Compatibility::AlphaMath,
                    ..good()
                },
            ),
            ("positive_reward", MctsConfig { positive_reward: 2.0, ..good() }),
            ("negative_reward", MctsConfig { negative_reward: f64::NAN, ..good() }),
            ("virtual_loss", MctsConfig { virtual_loss: f64::INFINITY, ..good() }),
            ("keep_order", MctsConfig { keep_order: true, transpositions: true, ..good() }),
            ("keep_order", MctsConfig { keep_order: true, roots: 2, ..good() }),
            ("workers", MctsConfig { workers: 0, ..good() }),
            ("leaf_batch", MctsConfig { leaf_batch: 0, ..good() }),
            ("roots", MctsConfig { roots: 2000, ..good() }),
            ("roots", MctsConfig { roots: 2, compatibility: Compatibility::AlphaMath, ..good() }),
            ("stop.seconds", MctsConfig { stop: never, ..good() }),
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
