//! The cold sides of a tree's nodes.

use super::step_data::StepData;
use crate::sync::OnceLock;
use crate::tree::{Chunked, Node, NodeId};

/// Step data by family: siblings come and stay together, and each family is moved in as a whole, and not one by one. Where a
/// node is widened, its children are several families, each behind the one before.
pub(super) struct StepTable<S> {
    /// By the id of the first sibling.
    families: Chunked<OnceLock<Box<[StepData<S>]>>>,
}

impl<S> StepTable<S> {
    /// A table without an entry.
    pub(super) fn new() -> Self {
        Self { families: Chunked::new() }
    }

    /// The data of a node that this thread claimed, created, or read of in a published word.
    #[inline]
    pub(super) fn get(&self, node: Node<'_>) -> &StepData<S> {
        let (first, mut index) = node.place();
        let mut first = first.index();
        loop {
            let family = self.families.get(first).get();
            let family = family.expect("cold data are written before a node is published");
            if let Some(data) = family.get(index) {
                return data;
            }
            first += family.len() as u32;
            index -= family.len();
        }
    }

    /// Writes the data of siblings that are not published yet; their ids go on from `first`.
    pub(super) fn insert(&self, first: NodeId, family: Vec<StepData<S>>) {
        let first = first.index();
        self.families.reserve(first);
        let fresh = self.families.get(first).set(family.into_boxed_slice());
        debug_assert!(fresh.is_ok(), "an id is handed out once");
    }

    /// Takes the data of `count` siblings out, `first` the first of them; none when they were taken before.
    pub(super) fn take(&mut self, first: u32, count: usize) -> Vec<StepData<S>> {
        let mut siblings = self.take_family(first);
        while siblings.len() < count {
            let more = self.take_family(first + siblings.len() as u32);
            if more.is_empty() {
                break;
            }
            siblings.extend(more);
        }
        siblings
    }

    fn take_family(&mut self, first: u32) -> Vec<StepData<S>> {
        let family = self.families.get_mut(first).and_then(OnceLock::take);
        family.map_or_else(Vec::new, Vec::from)
    }
}
