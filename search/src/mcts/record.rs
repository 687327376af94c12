//! A finished search as plain data.

use super::search::Search;
use super::step_data::StepData;
use crate::Environment;
use crate::snapshot::{NodeRecord, StateRecord, StopReason, TREE_SCHEMA, TreeRecord};
use crate::tree::{Node, NodeId, SharedNode, Stats};

/// A node that stands in the record.
struct Recorded<'t> {
    node: Node<'t>,
    tag: String,
}

/// What a record takes from the tree itself.
struct Line {
    id: NodeId,
    tag: String,
    stats: Stats,
    shared: Option<(NodeId, StateRecord)>,
}

impl<E: Environment> Search<'_, E> {
    /// The whole tree, nodes in the order of their creation. Call it when the workers have ended.
    pub(super) fn record(mut self, stop: StopReason) -> TreeRecord {
        let lines = self.lines();
        // Texts are moved and not copied: beside a cheap evaluator, copies would be half of what a small tree costs.
        let mut react = indexmap::IndexMap::with_capacity(lines.len());
        for Line { id, tag, stats, shared } in lines {
            let (state_id, state) = shared.unzip();
            let (value, terminal) = match state_id.map(|state| self.data(state)) {
                Some(data) => (data.value.get().copied(), data.terminal.get().cloned()),
                None => (None, None),
            };
            let root = (id == NodeId::ROOT)
                .then(|| self.environment.context(&self.data(id).state).to_owned());
            let Some(data) = self.take_data(id) else { continue };
            let StepData { action, observation, prior, tokens, correct, .. } = data;
            let node = NodeRecord {
                text: root.unwrap_or_else(|| [action.as_str(), &observation].concat()),
                action,
                observation,
                value: data.value.into_inner().or(value),
                q_value: stats.q(),
                prior,
                visit_count: stats.visits,
                tokens,
                terminal: data.terminal.into_inner().or(terminal),
                correct,
                state,
            };
            react.insert(tag, node);
        }
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
            react,
        }
    }

    fn lines(&self) -> Vec<Line> {
        // By id: children have higher ones than their parents.
        let mut nodes: Vec<Option<Recorded<'_>>> = Vec::new();
        nodes.resize_with(self.tree.len(), || None);
        let place = |node: Node<'_>| node.id().index() as usize;
        nodes[0] = Some(Recorded { node: self.tree.root(), tag: TreeRecord::ROOT.to_owned() });
        for index in 0..nodes.len() {
            let Some(Recorded { node, tag }) = &nodes[index] else { continue };
            if !self.owns_steps(*node) {
                continue;
            }
            let (parent, children) = (tag.clone(), self.steps_below(*node));
            for (child, node) in children.enumerate() {
                if nodes.len() <= place(node) {
                    nodes.resize_with(place(node) + 1, || None);
                }
                nodes[place(node)] = Some(Recorded { node, tag: child_tag(&parent, child) });
            }
        }
        let state = |shared: SharedNode| {
            let stats = self.tree.shared(shared).stats(&self.tree);
            let first = self.data(shared.id()).first_edge.get()?;
            let tag = nodes.get(first.index() as usize)?.as_ref()?.tag.clone();
            let record = StateRecord { tag, visit_count: stats.visits, q_value: stats.q() };
            Some((shared.id(), record))
        };
        let shared: Vec<Option<(NodeId, StateRecord)>> = nodes
            .iter()
            .map(|node| self.data(node.as_ref()?.node.id()).shared.and_then(state))
            .collect();
        let line = |(recorded, shared): (Option<Recorded<'_>>, _)| {
            let Recorded { node, tag } = recorded?;
            Some(Line { id: node.id(), tag, stats: node.stats(&self.tree), shared })
        };
        nodes.into_iter().zip(shared).filter_map(line).collect()
    }
}

fn child_tag(parent: &str, index: usize) -> String {
    let mut tag = String::with_capacity(parent.len() + 4);
    tag.push_str(parent);
    tag.push('.');
    match u8::try_from(index) {
        Ok(digit @ 0..10) => tag.push(char::from(b'0' + digit)),
        _ => tag.push_str(&index.to_string()),
    }
    tag
}
