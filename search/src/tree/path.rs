//! The nodes that a descent went through.

use super::node::Node;

/// From the root down to where a descent has come. Kept by the caller, so that its memory serves
/// one descent after the other. One simulation is in flight at each node on it until
/// [`super::Tree::backup`] or [`super::Tree::retreat`] takes it away.
#[derive(Debug, Default)]
pub struct Path<'t> {
    pub(super) nodes: Vec<Node<'t>>,
}

impl<'t> Path<'t> {
    /// A path through nothing.
    #[must_use]
    pub fn new() -> Self {
        Self { nodes: Vec::new() }
    }

    /// The node that the descent came to; `None` before the first descent.
    #[inline]
    #[must_use]
    pub fn leaf(&self) -> Option<Node<'t>> {
        self.nodes.last().copied()
    }

    /// Steps from the root to the leaf.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.nodes.len().saturating_sub(1)
    }

    /// The nodes, root first.
    #[must_use]
    pub fn nodes(&self) -> &[Node<'t>] {
        &self.nodes
    }
}
