//! Trees as a page shows them: columns of nodes, each before its children.

use std::collections::{HashMap, HashSet};

use espalier_search::{AnswerRule, SimulationRecord, Terminal, TreeRecord, best_path};
use serde::Serialize;

use crate::report::{Outline, OutlineFilter, ending, stopped};

/// A tree of a page.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Tree {
    /// The problem's id.
    pub problem: String,
    /// Where it comes from: a round, or a file.
    pub source: String,
    /// The question.
    pub question: String,
    /// The known answer.
    pub answer: Option<String>,
    /// The search's seed, as a text: a script's numbers hold 53 bits.
    pub seed: String,
    /// Simulations.
    pub simulations: u64,
    /// Why the search ended.
    pub stop: &'static str,
    /// `solved`, `wrong`, `undecided` or `none`: what the walk by Q answers.
    pub outcome: &'static str,
    /// Whether a right answer is in the tree.
    pub found: bool,
    /// Whether two different answers have the greatest Q of all answers.
    pub tie: bool,
    /// The mean over visits of the distance between Q and the value net's opinion of nodes that have not ended; absent without values.
    pub disagreement: Option<f64>,
    /// The simulations in the order in which they expanded nodes: the node's place, its children afterwards, the values that went up
    /// and their sum. Absent where the search did not keep it.
    pub order: Option<Vec<(usize, usize, u64, f64)>>,
    /// The nodes.
    pub nodes: Columns,
}

/// One entry a node; each node before its children.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Columns {
    /// Steps from the root.
    pub depth: Vec<usize>,
    /// What the step says; at the root the prompt.
    pub action: Vec<String>,
    /// What came back.
    pub observation: Vec<String>,
    /// P.
    pub prior: Vec<f64>,
    /// N.
    pub visits: Vec<u64>,
    /// Q.
    pub q: Vec<f64>,
    /// V.
    pub value: Vec<Option<f64>>,
    /// Tokens of the step.
    pub tokens: Vec<usize>,
    /// How the path ended there.
    pub ending: Vec<String>,
    /// 1 of a right answer, −1 of a wrong one or an invalid step, else 0.
    pub verdict: Vec<i8>,
    /// Whether it lies on the path that a walk by Q takes.
    pub best: Vec<bool>,
}

impl Tree {
    /// A tree that [`crate::report::check_tree`] finds no fault with.
    #[must_use]
    pub fn new(tree: &TreeRecord, source: &str) -> Self {
        let outline = Outline::new(tree, OutlineFilter::default());
        let mut nodes = Columns::default();
        for shown in &outline.nodes {
            let node = shown.node;
            let root = shown.depth == 0;
            nodes.depth.push(shown.depth);
            nodes.action.push(if root { node.text() } else { node.action() }.to_owned());
            nodes.observation.push(if root { "" } else { node.observation() }.to_owned());
            nodes.prior.push(rounded(node.prior));
            nodes.visits.push(node.visit_count);
            nodes.q.push(rounded(node.q_value));
            nodes.value.push(node.value.map(rounded));
            nodes.tokens.push(node.tokens);
            nodes.ending.push(ending(node));
            let invalid = matches!(node.terminal, Some(Terminal::Invalid(_)));
            nodes.verdict.push(match node.correct {
                Some(true) => 1,
                Some(false) => -1,
                None => -i8::from(invalid),
            });
            nodes.best.push(shown.best);
        }
        let chosen = best_path(tree, AnswerRule::QValue).last().map(|(_, node)| node.correct);
        Self {
            problem: tree.problem.clone(),
            source: source.to_owned(),
            question: tree.question.clone(),
            answer: tree.answer.clone(),
            seed: tree.seed.to_string(),
            simulations: tree.simulations,
            stop: stopped(tree.stop),
            outcome: match chosen {
                Some(Some(true)) => "solved",
                Some(Some(false)) => "wrong",
                Some(None) => "undecided",
                None => "none",
            },
            found: tree.react.values().any(|node| node.correct == Some(true)),
            tie: is_tie(tree),
            disagreement: disagreement(tree),
            order: order(tree, &outline),
            nodes,
        }
    }
}

fn order(tree: &TreeRecord, outline: &Outline<'_>) -> Option<Vec<(usize, usize, u64, f64)>> {
    let order = tree.order.as_ref()?;
    let places: HashMap<&str, usize> =
        outline.nodes.iter().enumerate().map(|(place, node)| (node.tag.as_str(), place)).collect();
    let known = |simulation: &SimulationRecord| {
        let SimulationRecord { node, children, values, value_sum } = simulation;
        Some((*places.get(node.as_str())?, *children, *values, rounded(*value_sum)))
    };
    order.iter().map(known).collect()
}

/// Enough for whoever looks; a tree of 10,000 nodes is half as long.
fn rounded(number: f64) -> f64 {
    (number * 1e4).round() / 1e4
}

fn is_tie(tree: &TreeRecord) -> bool {
    let answers = || {
        tree.react.values().filter(|node| node.visit_count > 0).filter_map(|node| {
            match &node.terminal {
                Some(Terminal::Answer(answer)) => Some((answer.as_str(), node.q_value)),
                _ => None,
            }
        })
    };
    let most = answers().map(|(_, q)| q).fold(f64::NEG_INFINITY, f64::max);
    let best: HashSet<&str> =
        answers().filter(|&(_, q)| q >= most).map(|(answer, _)| answer).collect();
    best.len() > 1
}

fn disagreement(tree: &TreeRecord) -> Option<f64> {
    let (mut sum, mut visits) = (0.0, 0.0);
    for node in tree.react.values().filter(|node| node.terminal.is_none()) {
        let Some(value) = node.value else { continue };
        sum += node.visit_count as f64 * (node.q_value - value).abs();
        visits += node.visit_count as f64;
    }
    (visits > 0.0).then(|| rounded(sum / visits))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A root and two answers: each with its text, Q, and whether it is right.
    fn tree(answers: [(&str, f64, bool); 2]) -> TreeRecord {
        let node = |text: &str, q: f64, value: Option<f64>, end: Option<(&str, bool)>| {
            serde_json::json!({"action": text, "observation": "", "text": text, "value": value, "q_value": q,
                "prior": 0.5, "visit_count": 2, "tokens": 1,
                "terminal": end.map(|(answer, _)| serde_json::json!({"answer": answer})),
                "correct": end.map(|(_, right)| right)})
        };
        let [one, two] = answers.map(|(text, q, right)| node(text, q, None, Some((text, right))));
        serde_json::from_value(
            serde_json::json!({"schema": "espalier.tree/2", "problem": "p", "question": "q",
            "answer": "8", "seed": 1, "simulations": 3, "stop": "exhausted", "ground_truth": true,
            "tokens": 9, "evaluations": 3, "collisions": 0,
            "react": {"0": node("", 0.25, Some(-0.5), None), "0.0": one, "0.1": two}}),
        )
        .unwrap()
    }

    #[test]
    fn a_tree_says_what_its_walk_answers_and_what_else_is_in_it() {
        let wrong = Tree::new(&tree([("7", 0.5, false), ("8", 0.0, true)]), "round 1");
        assert_eq!((wrong.outcome, wrong.found, wrong.tie), ("wrong", true, false));
        assert_eq!(wrong.disagreement, Some(0.75));
        assert_eq!(wrong.nodes.depth, [0, 1, 1]);
        assert_eq!(wrong.nodes.verdict, [0, -1, 1]);
        assert_eq!(wrong.nodes.best, [true, true, false]);
        let tie = Tree::new(&tree([("8", 0.5, true), ("7", 0.5, false)]), "round 1");
        assert!(tie.tie && !Tree::new(&tree([("8", 0.5, true), ("8", 0.5, true)]), "").tie);
    }
}
