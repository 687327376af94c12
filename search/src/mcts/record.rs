//! A finished search as plain data.

use super::search::Search;
use crate::Environment;
use crate::snapshot::{NodeRecord, StopReason, TREE_SCHEMA, TreeRecord};
use crate::tree::{Node, NodeId};

impl<E: Environment> Search<'_, E> {
    /// The whole tree, nodes in the order of their creation. Call it when the workers have ended.
    pub(super) fn record(&self, stop: StopReason) -> TreeRecord {
        let mut nodes = vec![(self.tree.root(), TreeRecord::ROOT.to_owned())];
        let mut next = 0;
        while next < nodes.len() {
            let (node, tag) = nodes[next].clone();
            let children = node.children(&self.tree).enumerate();
            nodes.extend(children.map(|(index, child)| (child, format!("{tag}.{index}"))));
            next += 1;
        }
        // Ids grow in the order of creation.
        nodes.sort_unstable_by_key(|(node, _)| node.id());
        TreeRecord {
            schema: TREE_SCHEMA.to_owned(),
            problem: self.problem.id.clone(),
            question: self.problem.question.clone(),
            answer: self.ground_truth.then(|| self.problem.answer.clone()),
            seed: self.seed,
            simulations: self.completed(),
            stop,
            ground_truth: self.ground_truth,
            tokens: self.evaluator.tokens(),
            evaluations: self.evaluator.evaluations(),
            collisions: self.collisions(),
            react: nodes.into_iter().map(|(node, tag)| (tag, self.node_record(node))).collect(),
        }
    }

    fn node_record(&self, node: Node<'_>) -> NodeRecord {
        let data = self.data(node.id());
        let stats = node.stats(&self.tree);
        let text = if node.id() == NodeId::ROOT {
            self.environment.context(&data.state).to_owned()
        } else {
            [data.action.as_str(), &data.observation].concat()
        };
        NodeRecord {
            action: data.action.clone(),
            observation: data.observation.clone(),
            text,
            value: data.value.get().copied(),
            q_value: stats.q(),
            prior: data.prior,
            visit_count: stats.visits,
            tokens: data.tokens,
            terminal: data.terminal.get().cloned(),
            correct: data.correct,
        }
    }
}
