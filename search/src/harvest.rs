//! From the trees of one problem to solutions whose every step carries a label.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use crate::seed::{derive_seed, shuffle};
use crate::tokens::SampledTokens;
use crate::{NodeRecord, Terminal, TreeRecord};

/// [`LabelledSolution::schema`] of the form written here.
pub const SOLUTION_SCHEMA: &str = "espalier.solution/1";

/// How many solutions a problem gives. The defaults are AlphaMath's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HarvestConfig {
    /// Most distinct correct solutions of a problem.
    pub max_correct: usize,
    /// Most distinct incorrect ones, invalid endings included.
    pub max_incorrect: usize,
}

impl Default for HarvestConfig {
    fn default() -> Self {
        Self { max_correct: 4, max_incorrect: 4 }
    }
}

/// A finished path with a label at every step: what the trainer reads.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LabelledSolution {
    /// [`SOLUTION_SCHEMA`].
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
    pub reward: f64,
}

/// One step with its label.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LabelledStep {
    /// What the policy wrote, without the delimiter.
    pub action: String,
    /// What the environment appended, with the delimiter.
    pub observation: String,
    /// P(s, a), in [0, 1].
    pub prior: f64,
    /// N(s, a).
    pub visits: u64,
    /// The label: Q(s, a) in [-1, 1]; at the last step exactly the reward.
    pub q: f64,
    /// The value net's opinion when the tree was grown, in [-1, 1], where it was asked.
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

/// Takes the finished paths of a problem's trees: up to `max_correct` correct and `max_incorrect`
/// incorrect ones, distinct by the texts of their steps. Of equal paths the first counts, by tree
/// and then by creation.
///
/// Where there are more, a seeded random choice decides, each distinct path with equal chance.
/// Taking those of highest Q, or the first found, would show the policy mostly what it already
/// prefers, and the label distribution would follow the choice rather than the search. The result
/// keeps the order of trees and creation.
///
/// # Errors
/// When the trees are of several problems, were grown without ground truth, or lack nodes.
pub fn harvest(
    trees: &[TreeRecord],
    config: &HarvestConfig,
    seed: u64,
) -> Result<Vec<LabelledSolution>, HarvestError> {
    let mut solutions: Vec<LabelledSolution> = Vec::new();
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
                solutions.push(label(index, &tree.problem, root.text(), terminal, &nodes));
            }
        }
    }
    let chosen = choose(&solutions, config, seed);
    let mut index = 0;
    solutions.retain(|_| {
        index += 1;
        chosen.contains(&(index - 1))
    });
    Ok(solutions)
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

fn label(
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
    let mut steps: Vec<LabelledStep> = path.iter().map(step).collect();
    if let Some(last) = steps.last_mut() {
        last.q = reward;
    }
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
        steps,
        reward,
    }
}

/// Indices of the solutions to keep.
fn choose(solutions: &[LabelledSolution], config: &HarvestConfig, seed: u64) -> HashSet<usize> {
    let mut chosen = HashSet::new();
    for (stream, correct, most) in [(0, false, config.max_incorrect), (1, true, config.max_correct)]
    {
        let mut indices: Vec<usize> =
            (0..solutions.len()).filter(|index| solutions[*index].correct == correct).collect();
        shuffle(&mut indices, derive_seed(seed, stream));
        chosen.extend(indices.into_iter().take(most));
    }
    chosen
}
