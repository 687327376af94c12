//! The cold sides of a tree's nodes.

use super::step_data::StepData;
use crate::sync::{AtomicU32, OnceLock, Ordering};
use crate::tree::{Chunked, NodeId};

/// Step data by node id. Siblings come and stay together: each family is moved in as a whole, and not one by one.
pub(super) struct StepTable<S> {
    /// By the id of the first sibling.
    families: Chunked<OnceLock<Box<[StepData<S>]>>>,
    /// By id: that of the first sibling.
    first: Chunked<AtomicU32>,
}

impl<S> StepTable<S> {
    /// A table without an entry.
    pub(super) fn new() -> Self {
        Self { families: Chunked::new(), first: Chunked::new() }
    }

    /// The data of a node that this thread claimed, created, or read of in a published word.
    #[inline]
    pub(super) fn get(&self, id: NodeId) -> &StepData<S> {
        // Relaxed: written before the node was published.
        let first = self.first.get(id.index()).load(Ordering::Relaxed);
        let family = self.families.get(first).get();
        &family.expect("cold data are written before a node is published")
            [(id.index() - first) as usize]
    }

    /// Writes the data of siblings that are not published yet; their ids go on from `first`.
    pub(super) fn insert(&self, first: NodeId, family: Vec<StepData<S>>) {
        let first = first.index();
        for (id, _) in (first..).zip(&family) {
            self.first.reserve_zeroed(id);
            // Relaxed: published with the node.
            self.first.get(id).store(first, Ordering::Relaxed);
        }
        self.families.reserve(first);
        let fresh = self.families.get(first).set(family.into_boxed_slice());
        debug_assert!(fresh.is_ok(), "an id is handed out once");
    }

    /// Takes the data of siblings out; `None` for a node that is not the first of them, or when they were taken before.
    pub(super) fn take(&mut self, id: u32) -> Option<Vec<StepData<S>>> {
        // Relaxed: the table is this thread's alone.
        let first = self.first.get(id).load(Ordering::Relaxed);
        if first == id { self.families.get_mut(first).take().map(Vec::from) } else { None }
    }
}
