//! The hot record of a node.

use crate::sync::{AtomicU32, AtomicU64};

/// 24 bytes of atomics, all that selection and backup touch; five siblings share two or three cache
/// lines. Text, states and other cold data lie in a table beside, under the same ids.
#[derive(Debug, Default)]
pub(super) struct Node {
    /// [`super::StatsLayout`].
    pub(super) stats: AtomicU64,
    /// [`super::Children`].
    pub(super) children: AtomicU64,
    /// Bits of an `f32` in [0, 1].
    pub(super) prior: AtomicU32,
    /// The parent's id; the root is its own.
    pub(super) parent: AtomicU32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_24_bytes() {
        assert_eq!(std::mem::size_of::<Node>(), 24);
        assert_eq!(std::mem::align_of::<Node>(), 8);
    }
}
