//! A finished search as plain data.

use super::search::Search;
use crate::Environment;
use crate::snapshot::{NodeRecord, StopReason, TREE_SCHEMA, TreeRecord};
use crate::tree::{NodeId, NodeState};

impl<E: Environment> Search<'_, E> {
    /// The whole tree, nodes in the order of their creation. Call it when the workers have ended.
    pub(super) fn record(&self, stop: StopReason) -> TreeRecord {
        let mut nodes = vec![(NodeId::ROOT, TreeRecord::ROOT.to_owned())];
        let mut next = 0;
        while next < nodes.len() {
            let (id, tag) = nodes[next].clone();
            let children = self.tree.children(id);
            if children.state() == NodeState::Expanded {
                let tagged = |(index, child)| (child, format!("{tag}.{index}"));
                nodes.extend(children.ids().enumerate().map(tagged));
            }
            next += 1;
        }
        // Ids grow in the order of creation.
        nodes.sort_unstable_by_key(|(id, _)| *id);
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
            react: nodes.into_iter().map(|(id, tag)| (tag, self.node_record(id))).collect(),
        }
    }

    fn node_record(&self, id: NodeId) -> NodeRecord {
        let data = self.data(id);
        let stats = self.tree.stats(id);
        let text = match self.tree.parent(id) {
            None => self.environment.context(&data.state).to_owned(),
            Some(_) => format!("{}{}", data.action, data.observation),
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
