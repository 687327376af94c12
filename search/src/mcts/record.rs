//! A finished search as plain data.

use super::state::Search;
use super::step_data::StepData;
use super::step_table::StepTable;
use crate::snapshot::{NodeRecord, Nodes, StateRecord, StopReason, TREE_SCHEMA, Tag, TreeRecord};
use crate::tree::{Node, NodeId, Tree};
use crate::{Environment, Problem, StepText, guard};

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
        let (react, ids) = self.nodes();
        let tag_of = |id: NodeId| {
            let position = ids.binary_search(&id).ok()?;
            react.get_index(position).map(|(tag, _)| tag.clone())
        };
        let order = self.recorded_order(tag_of);
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
            order,
            react,
        }
    }

    /// Takes the steps' texts and endings out of the search: beside a cheap evaluator, copies would be much of what a
    /// small tree costs.
    ///
    /// Where the order of simulations is kept, the ids of the recorded nodes come with it.
    fn nodes(&mut self) -> (Nodes, Vec<NodeId>) {
        let Self { tree, cold, environment, problem, config, .. } = self;
        let (tree, count) = (&*tree, tree.len());
        let mut recorder = Recorder {
            environment: *environment,
            problem,
            tree,
            nodes: Nodes::with_capacity_and_hasher(
                count / (1 + config.widening),
                Default::default(),
            ),
            parents: vec![None; count],
            edges: Vec::new(),
            ids: config.keep_order.then(Vec::new),
        };
        for root in &mut cold.take(0, 1) {
            root.step = Some(StepText::prompt(environment.context(&root.state)));
            recorder.add(cold, Tag::const_new(TreeRecord::ROOT), tree.root(), root);
        }
        // Children have higher ids than the node under which they stand. A shared node stands in the record as what the
        // edges to it lead to.
        for first in 1..count {
            let Some((parent, position)) = recorder.parents[first] else { continue };
            let tag = recorder.tag(position);
            let children = parent.children(tree);
            let mut siblings = cold.take(first as u32, children.len());
            for (index, (child, data)) in children.zip(&mut siblings).enumerate() {
                recorder.add(cold, TreeRecord::extend_tag(tag.clone(), index), child, data);
            }
        }
        recorder.finish()
    }
}

/// A record in the making.
struct Recorder<'t, E> {
    environment: &'t E,
    problem: &'t Problem,
    tree: &'t Tree,
    nodes: Nodes,
    /// By the id of the first child: the node whose children are to stand in the record, and where its edge stands.
    parents: Vec<Option<(Node<'t>, usize)>>,
    edges: Vec<Edge>,
    /// Of the nodes, in ascending order, where they are asked for.
    ids: Option<Vec<NodeId>>,
}

impl<'t, E: Environment> Recorder<'t, E> {
    /// The tag of the node at a position.
    fn tag(&self, position: usize) -> Tag {
        self.nodes.get_index(position).map(|(tag, _)| tag.clone()).unwrap_or_default()
    }

    /// Adds a node behind those that are there; takes its texts and its ending.
    fn add(
        &mut self,
        cold: &StepTable<E::State>,
        tag: Tag,
        node: Node<'t>,
        data: &mut StepData<E::State>,
    ) {
        let position = self.nodes.len();
        self.ids.iter_mut().for_each(|ids| ids.push(node.id()));
        let state = data.shared.map(|shared| self.tree.shared(shared));
        let state = state.map(|state| (state, cold.get(state)));
        let first_edge = state.and_then(|(_, state)| state.first_edge.get().copied());
        if first_edge.is_none_or(|first| first == node.id()) {
            let parent = state.map_or(node, |(state, _)| state);
            if let Some(child) = parent.children(self.tree).next() {
                self.parents[child.id().index() as usize] = Some((parent, position));
            }
        }
        if let Some(first) = first_edge {
            self.edges.push(Edge { id: node.id(), position, first });
        }
        let stats = node.stats(self.tree);
        let value = data.value.get().or_else(|| state?.1.value.get());
        let reward = data.reward.get();
        let ending = data.terminal.take().or_else(|| state?.1.terminal.get().cloned());
        let correct = guard::verdict(self.environment, self.problem, ending.as_ref(), reward);
        let record = NodeRecord {
            step: data.step.take().unwrap_or_else(|| StepText::prompt("")),
            value,
            q_value: stats.q(),
            prior: data.prior,
            visit_count: stats.visits,
            tokens: data.tokens as usize,
            truncated: data.truncated,
            sampled: data.sampled.take(),
            terminal: ending,
            correct,
            reward,
            state: state.map(|(state, _)| {
                let (tag, stats) = (Tag::default(), state.stats(self.tree));
                let (visit_count, q_value) = (stats.visits, stats.q());
                Box::new(StateRecord { tag, visit_count, q_value })
            }),
        };
        self.nodes.insert(tag, record);
    }

    /// All nodes, with what only the last of them made known.
    fn finish(mut self) -> (Nodes, Vec<NodeId>) {
        // Only now: an edge that came first may have the higher id.
        for edge in &self.edges {
            let first = self.edges.binary_search_by_key(&edge.first, |edge| edge.id);
            let tag = first.map(|first| self.tag(self.edges[first].position)).unwrap_or_default();
            if let Some(state) = &mut self.nodes[edge.position].state {
                state.tag = tag;
            }
        }
        (self.nodes, self.ids.unwrap_or_default())
    }
}
