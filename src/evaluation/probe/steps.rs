//! How wide the policy is where it was asked for steps, and how the searches went.

use std::collections::{BTreeMap, HashSet};

use espalier_search::{MctsConfig, NodeRecord, StopReason, TreeRecord};
use serde::{Deserialize, Serialize};

/// The steps that were sampled at nodes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Steps {
    /// Nodes.
    pub nodes: usize,
    /// Steps that were sampled at each.
    pub sampled: usize,
    /// How many of them differ, the mean over nodes.
    pub distinct: f64,
    /// The mean over nodes of the mean of -ln p of their steps, in nats; p is the whole step's probability at temperature 1. Where
    /// steps are sampled at temperature 1 it is an unbiased estimate of the entropy of the policy's next step. Absent where trees do
    /// not keep every step that was sampled with its own probability.
    pub surprisal: Option<f64>,
}

/// What trees tell, a tree at a time.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TreeFigures {
    nodes: usize,
    distinct: usize,
    surprisal: f64,
    /// Simulations of all trees.
    pub simulations: u64,
    /// Trees by the reason for which they ended.
    pub stops: BTreeMap<StopReason, usize>,
}

impl TreeFigures {
    /// Adds a tree, each of whose nodes was expanded once.
    pub fn add(&mut self, tree: &TreeRecord) {
        self.simulations += tree.simulations;
        *self.stops.entry(tree.stop).or_default() += 1;
        for tag in tree.react.keys() {
            let children: Vec<&NodeRecord> = tree.children(tag).map(|(_, node)| node).collect();
            if children.is_empty() {
                continue;
            }
            let distinct: HashSet<&str> =
                children.iter().map(|child| child.action().trim()).collect();
            self.nodes += 1;
            self.distinct += distinct.len();
            // P is exp(mean log-probability of the step's tokens).
            let surprisal = |child: &&NodeRecord| -(child.tokens as f64) * child.prior.ln();
            self.surprisal += children.iter().map(surprisal).sum::<f64>() / children.len() as f64;
        }
    }

    /// The steps, as trees of these settings tell them; `None` where no node was expanded.
    #[must_use]
    pub fn steps(&self, config: &MctsConfig) -> Option<Steps> {
        let mean = |sum: f64| sum / self.nodes as f64;
        let whole = !config.remove_duplicate && !config.normalise_prior;
        (self.nodes > 0).then(|| Steps {
            nodes: self.nodes,
            sampled: config.samples,
            distinct: mean(self.distinct as f64),
            surprisal: Some(mean(self.surprisal)).filter(|mean| whole && mean.is_finite()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(nodes: &[(&str, &str, f64, usize)]) -> TreeRecord {
        let node = |&(tag, action, prior, tokens): &(&str, &str, f64, usize)| {
            let node = serde_json::json!({"action": action, "observation": "", "text": action, "value": null, "q_value": 0.0,
                "prior": prior, "visit_count": 1, "tokens": tokens});
            (tag.to_owned(), node)
        };
        let react: serde_json::Map<String, serde_json::Value> = nodes.iter().map(node).collect();
        let tree = serde_json::json!({"schema": "espalier.tree/2", "problem": "p", "question": "q",
            "answer": "8", "seed": 1, "simulations": 3, "stop": "dead_end", "ground_truth": true,
            "tokens": 9, "evaluations": 3, "collisions": 0, "react": react});
        serde_json::from_value(tree).unwrap()
    }

    #[test]
    fn by_hand() {
        let (half, quarter) = (0.5_f64, 0.25_f64);
        let grown = tree(&[
            ("0", "", 1.0, 0),
            ("0.0", "a", half, 2),
            ("0.1", " a\n", half, 2),
            ("0.2", "b", quarter, 1),
            ("0.2.0", "a", 1.0, 4),
            ("0.2.1", "b", 1.0, 4),
            ("0.2.2", "c", quarter, 1),
        ]);
        let mut figures = TreeFigures::default();
        figures.add(&grown);
        figures.add(&tree(&[("0", "", 1.0, 0)]));
        assert_eq!(figures.simulations, 6);
        assert_eq!(figures.stops, BTreeMap::from([(StopReason::DeadEnd, 2)]));
        let config = MctsConfig { samples: 3, ..MctsConfig::default() };
        let steps = figures.steps(&config).unwrap();
        assert_eq!((steps.nodes, steps.sampled, steps.distinct), (2, 3, 2.5));
        // ln 4 for each of the first node's steps: 2 tokens of 1/2 each, or one of 1/4; a third of it at the second.
        let expected = (4.0_f64.ln() + 4.0_f64.ln() / 3.0) / 2.0;
        assert!((steps.surprisal.unwrap() - expected).abs() < 1e-12, "{steps:?}");
        let merged = MctsConfig { remove_duplicate: true, ..config };
        assert_eq!(figures.steps(&merged).unwrap().surprisal, None);
        assert_eq!(TreeFigures::default().steps(&merged), None);
    }
}
