//! A node as the rest of the crate sees it.

use super::Tree;
use super::link::{Link, NodeState};
use super::slot::{SLOT_BYTES, Slot};
use super::stats::Stats;
use crate::sync::Ordering;

/// A node's number in its tree: the root is 0, siblings have consecutive ones, and they grow in the
/// order of creation. A few stay unused where a chunk of the arena ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub(super) u32);

impl NodeId {
    /// Every tree's root.
    pub const ROOT: Self = Self(0);

    /// As a number, unique within the tree.
    #[must_use]
    pub fn index(self) -> u32 {
        self.0
    }
}

/// A node of a tree. Its accessors read what other threads may be changing: each value is whole in
/// itself, and several need not be of one moment.
#[derive(Clone, Copy)]
pub struct Node<'t> {
    pub(super) slot: &'t Slot,
    /// In front of the node and its siblings. A descent passes it on without a look, and only where it ends is the node's
    /// number read from it.
    pub(super) header: &'t Slot,
}

impl<'t> Node<'t> {
    /// The node's number.
    #[inline]
    #[must_use]
    pub fn id(self) -> NodeId {
        let (first, index) = self.place();
        NodeId(first.0 + index as u32)
    }

    /// The number of the first of the node and its siblings, and the node's place among them.
    #[inline]
    #[must_use]
    pub fn place(self) -> (NodeId, usize) {
        let bytes = std::ptr::from_ref(self.slot).addr() - std::ptr::from_ref(self.header).addr();
        (NodeId(self.header.first_id()), bytes / SLOT_BYTES - 1)
    }

    #[inline]
    pub(super) fn link(self) -> Link {
        // Acquire: pairs with the Release in `publish` and `end`; what lies below is whole.
        Link(self.slot.link.load(Ordering::Acquire))
    }

    /// What may happen at the node next.
    #[must_use]
    pub fn state(self) -> NodeState {
        self.link().state()
    }

    /// Whether nothing is left to search at or below the node.
    #[must_use]
    pub fn is_closed(self) -> bool {
        self.link().is_closed()
    }

    /// P(s, a) of the step into the node, in [0, 1]; NaN when selection passes the node over.
    #[inline]
    #[must_use]
    pub fn prior(self) -> f32 {
        // Relaxed: written before publication; the Acquire that led here makes it visible.
        f32::from_bits(self.slot.prior.load(Ordering::Relaxed))
    }

    /// The node's statistics.
    #[inline]
    #[must_use]
    pub fn stats(self, tree: &Tree) -> Stats {
        // Relaxed: one word carries all that belongs together, and nothing else is read on its
        // account.
        tree.layout().unpack(self.slot.stats.load(Ordering::Relaxed))
    }

    /// The node's children in order; none while it is not expanded.
    #[inline]
    pub fn children(self, tree: &'t Tree) -> impl ExactSizeIterator<Item = Node<'t>> + Clone {
        let link = self.link();
        let run = (link.state() == NodeState::Expanded).then(|| tree.run(link));
        let (header, siblings) = run.map_or((self.slot, &[][..]), |run| (run.header, run.siblings));
        siblings.iter().map(move |slot| Node { slot, header })
    }

    /// How often the node may be widened yet; 0 while it is not expanded.
    #[must_use]
    pub fn widenings(self, tree: &Tree) -> usize {
        let link = self.link();
        if link.state() == NodeState::Expanded { tree.run(link).header.widenings() } else { 0 }
    }

    /// How many of the node's children can still be searched.
    #[must_use]
    pub fn open_children(self, tree: &Tree) -> usize {
        let link = self.link();
        if link.state() == NodeState::Expanded { tree.run(link).header.open() } else { 0 }
    }
}

impl PartialEq for Node<'_> {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.slot, other.slot)
    }
}

impl std::fmt::Debug for Node<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "node {} ({:?})", self.id().0, self.state())
    }
}
