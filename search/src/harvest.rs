//! From the trees of one problem to its finished paths.

use std::collections::HashSet;

use serde::{Deserialize, Deserializer, Serialize};

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

/// A finished path with a label at every step: what the trainer reads.
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
/// tree and then by creation.
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
            let broken = || HarvestError::BrokenTree {
                tree: index,
                problem: tree.problem.clone(),
                tag: tag.to_string(),
            };
            let path = tree.path(tag).ok_or_else(broken)?;
            let root = tree.root().ok_or_else(broken)?;
            // A prompt that the model cannot read ends its tree at the root: no step to label.
            let fresh =
                !path.is_empty() && seen.insert(path.iter().map(|(_, node)| node.text()).collect());
            if fresh {
                let nodes: Vec<&NodeRecord> = path.into_iter().map(|(_, node)| node).collect();
                paths.push(solution(index, &tree.problem, root.text(), terminal, &nodes));
            }
        }
    }
    Ok(paths)
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

fn solution(
    tree: usize,
    problem: &str,
    prompt: &str,
    terminal: &Terminal,
    path: &[&NodeRecord],
) -> LabelledSolution {
    let last = path.last();
    let correct = last.is_some_and(|node| node.correct == Some(true));
    let reward = last.and_then(|node| node.reward()).unwrap_or(-1.0);
    let step = |node: &&NodeRecord| LabelledStep {
        action: node.action().to_owned(),
        observation: node.observation().to_owned(),
        prior: node.prior,
        visits: node.visit_count,
        q: node.q_value,
        value: node.value,
        sampled: node.sampled.clone(),
    };
    LabelledSolution {
        schema: SOLUTION_SCHEMA.to_owned(),
        problem_id: problem.to_owned(),
        tree,
        prompt: prompt.to_owned(),
        answer: match terminal {
            Terminal::Answer(answer) => Some(answer.clone()),
            Terminal::Invalid(_) => None,
        },
        correct,
        steps: path.iter().map(step).collect(),
        reward,
        hindsight: false,
    }
}
