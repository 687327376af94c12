//! From the trees of one problem to its finished paths, and to the nodes beside them.

use std::collections::HashSet;

use serde::{Deserialize, Deserializer, Serialize};

use crate::cut::Cut;
use crate::environment::Terminal;
use crate::form::Form;
use crate::range;
use crate::snapshot::{NodeRecord, TreeRecord};
use crate::tokens::SampledTokens;

/// [`LabelledSolution::schema`] of the form written here.
pub const SOLUTION_SCHEMA: &str = "espalier.solution/1";

fn read_schema<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Form { schema: SOLUTION_SCHEMA, oldest: 1 }.read(deserializer)
}

/// A path with a label at every step: what the trainer reads.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LabelledSolution {
    /// [`SOLUTION_SCHEMA`]; a newer form is refused when a solution is read.
    #[serde(deserialize_with = "read_schema")]
    pub schema: String,
    /// Id of the problem.
    pub problem_id: String,
    /// Which of the problem's trees it comes from, from 0.
    pub tree: usize,
    /// What the steps continue.
    pub prompt: String,
    /// The final answer; None after an invalid ending.
    pub answer: Option<String>,
    /// Whether the answer is right.
    pub correct: bool,
    /// From the first to the last; never empty.
    pub steps: Vec<LabelledStep>,
    /// The environment's reward of the answer, in [-1, 1]; -1 after an invalid ending.
    #[serde(deserialize_with = "range::value")]
    pub reward: f64,
    /// Whether it is told of another problem than its tree was grown for, one that an answer of the tree solves.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub hindsight: bool,
    /// Whether it is a way to nodes of its tree that no kept path goes through: its labels are targets of the value head alone. It has no
    /// answer, and the reward -1.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub values_only: bool,
}

/// One step with its label.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LabelledStep {
    /// What the policy wrote, without the delimiter.
    pub action: String,
    /// What the environment appended, with the delimiter.
    pub observation: String,
    /// P(s, a), in [0, 1].
    #[serde(deserialize_with = "range::probability")]
    pub prior: f64,
    /// N(s, a).
    pub visits: u64,
    /// The label, in [-1, 1]; Q(s, a) until a rule has labelled the path.
    #[serde(deserialize_with = "range::value")]
    pub q: f64,
    /// The value net's opinion when the tree was grown, in [-1, 1], where it was asked.
    #[serde(default, deserialize_with = "range::value_if_any")]
    pub value: Option<f64>,
    /// Weight of the label as a target of the value head, at least 0; absent: 1.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "range::weight_if_any"
    )]
    pub weight: Option<f64>,
    /// Whether a second judge's opinion of the step has the label's sign, where one was asked; the weight is 0 where it has not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agreed: Option<bool>,
    /// The tokens that the policy sampled, where the search kept them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sampled: Option<Box<SampledTokens>>,
}

/// Trees that cannot be harvested.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HarvestError {
    /// The trees are not of one problem.
    #[error("tree {tree} is of problem {found}, the first of {expected}")]
    MixedProblems {
        /// Index of the tree.
        tree: usize,
        /// Its problem.
        found: String,
        /// The first tree's problem.
        expected: String,
    },
    /// The tree was grown without ground truth, so nothing says which answers are right.
    #[error("tree {tree} of problem {problem} was grown without ground truth")]
    NoGroundTruth {
        /// Index of the tree.
        tree: usize,
        /// Its problem.
        problem: String,
    },
    /// A node whose ancestors are not all there.
    #[error("tree {tree} of problem {problem}: node {tag} hangs in the air")]
    BrokenTree {
        /// Index of the tree.
        tree: usize,
        /// Its problem.
        problem: String,
        /// Tag of the node.
        tag: String,
    },
}

/// Takes the finished paths of a problem's trees, distinct by the texts of their steps. Of equal paths the first counts, by
/// tree and then by creation. Paths that ended with unsupported code or an undecided answer are none: nothing is known of them.
///
/// # Errors
/// When the trees are of several problems, were grown without ground truth, or lack nodes.
pub fn finished_paths(trees: &[TreeRecord]) -> Result<Vec<LabelledSolution>, HarvestError> {
    let mut paths: Vec<LabelledSolution> = Vec::new();
    let mut seen: HashSet<Vec<&str>> = HashSet::new();
    for (index, tree) in trees.iter().enumerate() {
        check(index, tree, &trees[0].problem)?;
        for (tag, node) in &tree.react {
            let Some(terminal) = &node.terminal else {
                continue;
            };
            if says_nothing(node) {
                continue;
            }
            let path = path(index, tree, tag)?;
            // A prompt that the model cannot read ends its tree at the root: no step to label.
            if !path.nodes.is_empty() && seen.insert(path.texts()) {
                paths.push(path.finished(terminal));
            }
        }
    }
    Ok(paths)
}

/// The ways to all nodes of a problem's trees with at least `min_visits` visits, as [`LabelledSolution::values_only`]: as few as lead through
/// all of them, each to a node none of whose children is one of them, in the order of the trees and of creation.
///
/// # Errors
/// As [`finished_paths`].
pub fn node_paths(
    trees: &[TreeRecord],
    min_visits: u64,
) -> Result<Vec<LabelledSolution>, HarvestError> {
    let mut paths = Vec::new();
    for (index, tree) in trees.iter().enumerate() {
        check(index, tree, &trees[0].problem)?;
        let visited = || {
            let is_one = |node: &NodeRecord| node.visit_count >= min_visits && !says_nothing(node);
            let nodes = tree.react.iter().filter(move |(_, node)| is_one(node));
            nodes.map(|(tag, _)| tag.as_str()).filter(|tag| *tag != TreeRecord::ROOT)
        };
        let parents: HashSet<&str> =
            visited().filter_map(|tag| Some(tag.rsplit_once('.')?.0)).collect();
        for tag in visited().filter(|tag| !parents.contains(tag)) {
            paths.push(path(index, tree, tag)?.values_only());
        }
    }
    Ok(paths)
}

/// Whether the path's end says nothing of its steps, right or wrong.
fn says_nothing(node: &NodeRecord) -> bool {
    node.is_undecided() || node.terminal.as_ref().and_then(Cut::of) == Some(Cut::UnsupportedCode)
}

fn check(index: usize, tree: &TreeRecord, problem: &str) -> Result<(), HarvestError> {
    if tree.problem != problem {
        let (found, expected) = (tree.problem.clone(), problem.to_owned());
        return Err(HarvestError::MixedProblems { tree: index, found, expected });
    }
    if !tree.ground_truth {
        return Err(HarvestError::NoGroundTruth { tree: index, problem: problem.to_owned() });
    }
    Ok(())
}

/// A way from the root of a tree to one of its nodes.
struct Way<'a> {
    tree: usize,
    problem: &'a str,
    prompt: &'a str,
    /// The root is not one of them.
    nodes: Vec<&'a NodeRecord>,
}

/// The way to a node.
fn path<'a>(index: usize, tree: &'a TreeRecord, tag: &'a str) -> Result<Way<'a>, HarvestError> {
    let broken = || HarvestError::BrokenTree {
        tree: index,
        problem: tree.problem.clone(),
        tag: tag.to_owned(),
    };
    let nodes = tree.path(tag).ok_or_else(broken)?.into_iter().map(|(_, node)| node).collect();
    let prompt = tree.root().ok_or_else(broken)?.text();
    Ok(Way { tree: index, problem: &tree.problem, prompt, nodes })
}

impl<'a> Way<'a> {
    fn texts(&self) -> Vec<&'a str> {
        self.nodes.iter().map(|node| node.text()).collect()
    }

    /// As a path that ended with its last node.
    fn finished(&self, terminal: &Terminal) -> LabelledSolution {
        let last = self.nodes.last();
        LabelledSolution {
            answer: match terminal {
                Terminal::Answer(answer) => Some(answer.clone()),
                Terminal::Invalid(_) => None,
            },
            correct: last.is_some_and(|node| node.correct == Some(true)),
            reward: last.and_then(|node| node.reward()).unwrap_or(-1.0),
            values_only: false,
            ..self.values_only()
        }
    }

    fn values_only(&self) -> LabelledSolution {
        let step = |node: &&NodeRecord| LabelledStep {
            action: node.action().to_owned(),
            observation: node.observation().to_owned(),
            prior: node.prior,
            visits: node.visit_count,
            q: node.q_value,
            value: node.value,
            weight: None,
            agreed: None,
            sampled: node.sampled.clone(),
        };
        LabelledSolution {
            schema: SOLUTION_SCHEMA.to_owned(),
            problem_id: self.problem.to_owned(),
            tree: self.tree,
            prompt: self.prompt.to_owned(),
            answer: None,
            correct: false,
            steps: self.nodes.iter().map(step).collect(),
            reward: -1.0,
            hindsight: false,
            values_only: true,
        }
    }
}
