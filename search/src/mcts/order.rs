//! The simulations of a search in the order in which they expanded their leaves, kept where `keep_order` asks for it.

use std::collections::HashMap;

use super::state::Search;
use crate::Environment;
use crate::snapshot::{SimulationRecord, Tag, TreeRecord};
use crate::sync::{Mutex, PoisonError};
use crate::tree::{Node, NodeId};

/// What is remembered of one simulation.
pub(super) struct Simulation {
    leaf: NodeId,
    children: usize,
    values: u64,
    value_sum: f64,
}

/// Shared by the workers of a tree.
pub(super) type Order = Mutex<Vec<Simulation>>;

impl<E: Environment> Search<'_, E> {
    /// Remembers that a claimed leaf gets so many children and sends up these values. Before they are published: no
    /// simulation stands in front of the one that made its leaf.
    pub(super) fn note_simulation(&self, leaf: Node<'_>, new: usize, values: &[f64]) {
        let Some(order) = &self.order else { return };
        let simulation = Simulation {
            leaf: leaf.id(),
            children: leaf.children(&self.tree).count() + new,
            values: values.len() as u64,
            value_sum: values.iter().sum(),
        };
        order.lock().unwrap_or_else(PoisonError::into_inner).push(simulation);
    }

    /// Puts the simulations of a tree that was grown again into the order in which its record has them. A record without an order, or
    /// with one of other nodes, leaves that of growing again: the order of creation.
    pub(super) fn take_order(&self, record: &TreeRecord) {
        let (Some(order), Some(recorded)) = (&self.order, &record.order) else { return };
        let places: HashMap<NodeId, usize> = recorded
            .iter()
            .enumerate()
            .filter_map(|(place, simulation)| Some((self.node(&simulation.node).ok()?.id(), place)))
            .collect();
        let mut order = order.lock().unwrap_or_else(PoisonError::into_inner);
        order.sort_by_key(|simulation| places.get(&simulation.leaf).copied());
    }

    /// The order as a record has it; `tag_of` gives a node's.
    pub(super) fn recorded_order(
        &mut self,
        tag_of: impl Fn(NodeId) -> Option<Tag>,
    ) -> Option<Vec<SimulationRecord>> {
        let order = self.order.take()?.into_inner().unwrap_or_else(PoisonError::into_inner);
        let record = |Simulation { leaf, children, values, value_sum }| SimulationRecord {
            // Every claimed leaf is recorded.
            node: tag_of(leaf).unwrap_or(Tag::const_new(TreeRecord::ROOT)),
            children,
            values,
            value_sum,
        };
        Some(order.into_iter().map(record).collect())
    }
}
