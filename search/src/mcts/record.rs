//! A finished search as plain data.

use super::search::Search;
use crate::snapshot::{NodeRecord, Nodes, StateRecord, StopReason, TREE_SCHEMA, Tag, TreeRecord};
use crate::tree::{Node, NodeId};
use crate::{Environment, StepText};

/// A node that is to stand in the record.
#[derive(Clone, Copy)]
struct Recorded<'t> {
    node: Node<'t>,
    /// Where its parent stands; none at the root.
    parent: Option<usize>,
    /// Its index among its siblings.
    index: usize,
}

/// An edge to a shared node.
struct Edge {
    id: NodeId,
    /// Where it stands in the record.
    position: usize,
    /// The edge that was the first to lead there.
    first: NodeId,
}

impl<E: Environment> Search<'_, E> {
    /// The whole tree, nodes in the order of their creation. Call it when the workers have ended.
    pub(super) fn record(mut self, stop: StopReason) -> TreeRecord {
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
            react: self.nodes(),
        }
    }

    /// Takes the steps' texts and endings out of the search: beside a cheap evaluator, copies would be much of what a
    /// small tree costs.
    fn nodes(&mut self) -> Nodes {
        let Self { tree, cold, environment, .. } = self;
        let count = tree.len();
        let mut react = Nodes::with_capacity_and_hasher(count, Default::default());
        // By id: children have higher ones than the node under which they stand.
        let mut recorded: Vec<Option<Recorded<'_>>> = vec![None; count];
        recorded[0] = Some(Recorded { node: tree.root(), parent: None, index: 0 });
        let mut edges: Vec<Edge> = Vec::new();
        for first in 0..count {
            // A shared node stands in the record as what the edges to it lead to.
            if recorded[first].is_none() {
                continue;
            }
            for (id, data) in (first..).zip(cold.take(first as u32).into_iter().flatten()) {
                let Some(Recorded { node, parent, index }) = recorded[id] else { continue };
                let position = react.len();
                let state = data.shared.map(|shared| (tree.shared(shared), cold.get(shared.id())));
                let first_edge = state.and_then(|(_, state)| state.first_edge.get().copied());
                if data.shared.is_none() || first_edge == Some(node.id()) {
                    let children = state.map_or(node, |(state, _)| state).children(tree);
                    for (index, node) in children.enumerate() {
                        recorded[node.id().index() as usize] =
                            Some(Recorded { node, parent: Some(position), index });
                    }
                }
                if let Some(first) = first_edge {
                    edges.push(Edge { id: node.id(), position, first });
                }
                let stats = node.stats(tree);
                let prompt = || StepText::prompt(environment.context(&data.state));
                let value = data.value.get().or_else(|| state?.1.value.get()).copied();
                let ending = data.terminal.into_inner();
                let record = NodeRecord {
                    step: data.step.unwrap_or_else(prompt),
                    value,
                    q_value: stats.q(),
                    prior: data.prior,
                    visit_count: stats.visits,
                    tokens: data.tokens,
                    terminal: ending.or_else(|| state?.1.terminal.get().cloned()),
                    correct: data.correct,
                    state: state.map(|(state, _)| {
                        let (tag, stats) = (Tag::default(), state.stats(tree));
                        let (visit_count, q_value) = (stats.visits, stats.q());
                        Box::new(StateRecord { tag, visit_count, q_value })
                    }),
                };
                let parent = parent.and_then(|parent| react.get_index(parent));
                let tag = match parent {
                    Some((parent, _)) => TreeRecord::child_tag(parent, index),
                    None => Tag::const_new(TreeRecord::ROOT),
                };
                react.insert(tag, record);
            }
        }
        // Only now: an edge that came first may have the higher id.
        for edge in &edges {
            let first = edges.binary_search_by_key(&edge.first, |edge| edge.id);
            let tag = first.ok().and_then(|first| react.get_index(edges[first].position));
            let tag = tag.map(|(tag, _)| tag.clone()).unwrap_or_default();
            if let Some(state) = &mut react[edge.position].state {
                state.tag = tag;
            }
        }
        react
    }
}
