//! A finished tree as plain data, in the form that trees of this kind are exchanged in: tag → node.

use compact_str::CompactString;
use indexmap::IndexMap;
use serde::{Deserialize, Deserializer, Serialize};

use crate::environment::Terminal;
use crate::form::Form;
use crate::range;
use crate::step_text::StepText;
use crate::tokens::SampledTokens;

/// [`TreeRecord::schema`] of the form written here.
pub const TREE_SCHEMA: &str = "espalier.tree/2";

/// Version 1 said a step's text beside its parts, and is read as it is.
const FORM: Form = Form { schema: TREE_SCHEMA, oldest: 1 };

/// What names a node: the root is `"0"`; a child's tag is its parent's, a dot and its index among its siblings from 0. Up
/// to 24 bytes take no allocation, which is a step of eleven in a tree of ten children a node.
pub type Tag = CompactString;

/// Nodes by tag in the order of their creation. Tags are short and come from trees of one's own: a hash that withstands
/// attackers would be most of what a look-up costs.
pub type Nodes = IndexMap<Tag, NodeRecord, foldhash::fast::RandomState>;

/// One finished search. JSON keeps every number exactly.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TreeRecord {
    /// [`TREE_SCHEMA`], also of a record that was read in an older form; a newer one is refused.
    #[serde(deserialize_with = "read_schema")]
    pub schema: String,
    /// Id of the problem.
    pub problem: String,
    /// The problem's question.
    pub question: String,
    /// Its known answer; null where the search was not told.
    pub answer: Option<String>,
    /// The search's seed.
    pub seed: u64,
    /// Simulations backed up.
    pub simulations: u64,
    /// Why the search ended.
    pub stop: StopReason,
    /// Whether answers were graded; otherwise the value net scored them.
    pub ground_truth: bool,
    /// Tokens sampled, those of merged duplicates included.
    pub tokens: u64,
    /// Requests answered by the evaluator.
    pub evaluations: u64,
    /// Descents that met a leaf which another worker was expanding; 0 with one worker.
    pub collisions: u64,
    /// The simulations in the order in which they expanded their nodes, where the search kept it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<Vec<SimulationRecord>>,
    /// The nodes.
    pub react: Nodes,
}

/// One simulation of a finished search. What went up changed N and Q of the node and of all above it; what a new child has beyond
/// the values that went through it later, it has from the beginning.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SimulationRecord {
    /// The node that it expanded or, where it had children, widened.
    pub node: Tag,
    /// Children that the node had afterwards.
    pub children: usize,
    /// Values that went up.
    pub values: u64,
    /// Their sum.
    pub value_sum: f64,
}

/// Why a search ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// All simulations were done.
    Simulations,
    /// Nothing was left to search.
    Exhausted,
    /// Selection met a dead end under [`crate::Compatibility::AlphaMath`].
    DeadEnd,
    /// The time limit was reached.
    Time,
    /// The limit of sampled tokens was reached.
    Tokens,
    /// The memory limit was reached.
    Memory,
    /// A right answer was found and [`crate::StopConfig::solved`] set.
    Solved,
    /// The answer could not change any more and [`crate::StopConfig::settled`] was set.
    Settled,
    /// Its caller cancelled it.
    Cancelled,
}

/// One node of a finished tree.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeRecord {
    /// What the step says; at the root the prompt. Its fields stand among the node's own.
    #[serde(flatten)]
    pub step: StepText,
    /// What the value net says of the state or, at an end, what was backed up; in [-1, 1]. None
    /// where nothing was asked.
    #[serde(default, deserialize_with = "range::value_if_any")]
    pub value: Option<f64>,
    /// Q, the mean backed-up value, in [-1, 1]; 0 when nothing was backed up.
    #[serde(deserialize_with = "range::value")]
    pub q_value: f64,
    /// P(s, a), in [0, 1]; 1 at the root.
    #[serde(deserialize_with = "range::probability")]
    pub prior: f64,
    /// N, the number of values backed up through the node.
    pub visit_count: u64,
    /// Tokens sampled for the step.
    pub tokens: usize,
    /// Whether the policy was cut off there before it ended the step.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub truncated: bool,
    /// Those tokens, where the search kept them and the policy knew them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sampled: Option<Box<SampledTokens>>,
    /// How the path ended here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terminal: Option<Terminal>,
    /// Whether the answer is right. None unless the node is an answer of a tree with ground truth, and where it could be shown neither
    /// right nor wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correct: Option<bool>,
    /// The answer's reward in [-1, 1], where `correct` is there. Absent in a tree that was written when rewards were not numbers;
    /// [`Self::reward`] has it then.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "range::value_if_any"
    )]
    pub reward: Option<f64>,
    /// The state that the step leads to, where states share nodes; then `q_value` and `visit_count` are of the
    /// step alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<Box<StateRecord>>,
}

/// A state to which several steps may lead, in a tree grown with transpositions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StateRecord {
    /// Tag of the first step that led to it. The nodes below stand there, and nowhere else.
    pub tag: Tag,
    /// N of the state: values backed up through it from every step that leads to it.
    pub visit_count: u64,
    /// Q of the state.
    pub q_value: f64,
}

impl NodeRecord {
    /// The reward of a graded answer: the recorded one, otherwise 1 where the answer is right and -1 where it is wrong.
    #[must_use]
    pub fn reward(&self) -> Option<f64> {
        self.reward.or(self.correct.map(|correct| if correct { 1.0 } else { -1.0 }))
    }

    /// Whether the path ended here with an answer that has no verdict, as none has without ground truth.
    #[must_use]
    pub fn is_undecided(&self) -> bool {
        self.correct.is_none() && matches!(self.terminal, Some(Terminal::Answer(_)))
    }

    /// See [`StepText::action`].
    #[must_use]
    pub fn action(&self) -> &str {
        self.step.action()
    }

    /// See [`StepText::observation`].
    #[must_use]
    pub fn observation(&self) -> &str {
        self.step.observation()
    }

    /// See [`StepText::text`].
    #[must_use]
    pub fn text(&self) -> &str {
        self.step.text()
    }
}

impl TreeRecord {
    /// The root's tag.
    pub const ROOT: &'static str = "0";

    /// The tag of a node's child.
    #[inline]
    #[must_use]
    pub fn child_tag(parent: &str, index: usize) -> Tag {
        Self::extend_tag(Tag::new(parent), index)
    }

    /// Makes a node's tag that of its child.
    #[inline]
    pub(crate) fn extend_tag(mut tag: Tag, index: usize) -> Tag {
        /// How the tags of the first children end.
        const ENDS: [&str; 10] = [".0", ".1", ".2", ".3", ".4", ".5", ".6", ".7", ".8", ".9"];
        match ENDS.get(index) {
            Some(end) => tag.push_str(end),
            None => tag.push_str(&format!(".{index}")),
        }
        tag
    }

    /// Nodes whose steps were cut off before their end.
    #[must_use]
    pub fn steps_truncated(&self) -> usize {
        self.react.values().filter(|node| node.truncated).count()
    }

    /// The root node. `None` only in a record that was not written by a search.
    #[must_use]
    pub fn root(&self) -> Option<&NodeRecord> {
        self.react.get(Self::ROOT)
    }

    /// A node's children in order, with their tags.
    pub fn children<'a>(&'a self, tag: &str) -> impl Iterator<Item = (Tag, &'a NodeRecord)> {
        (0..).map_while(move |index| {
            let child = Self::child_tag(tag, index);
            self.react.get(&child).map(|node| (child, node))
        })
    }

    /// The nodes from the root's child down to `tag`, each with its tag; empty for the root. `None`
    /// when a node on the way is missing.
    #[must_use]
    pub fn path<'a>(&'a self, tag: &'a str) -> Option<Vec<(&'a str, &'a NodeRecord)>> {
        let below_root = tag.match_indices('.').skip(1).map(|(end, _)| &tag[..end]);
        let whole = tag.contains('.').then_some(tag);
        below_root.chain(whole).map(|tag| Some((tag, self.react.get(tag)?))).collect()
    }
}

fn read_schema<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    FORM.read(deserializer)
}
