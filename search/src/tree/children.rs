//! Where a node's children lie and whether it may still be searched, in one 64-bit word.
//!
//! ```text
//!  63          32 31        17 16         2 1   0
//! ┌──────────────┬────────────┬────────────┬─────┐
//! │ first child  │ count      │ open       │state│
//! └──────────────┴────────────┴────────────┴─────┘
//! ```
//! `open` counts the children below which there is still something to search. The child that closes
//! last brings it to 0 by the same atomic subtraction that everyone uses, so exactly one thread
//! carries the news to the parent.

use super::NodeId;

const STATE_MASK: u64 = 0b11;
const OPEN_SHIFT: u32 = 2;
const COUNT_SHIFT: u32 = 17;
const FIRST_SHIFT: u32 = 32;
const FIELD_MASK: u64 = (1 << 15) - 1;

/// Most children of a node.
pub const MAX_CHILDREN: usize = FIELD_MASK as usize;

/// What may happen at a node next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeState {
    /// A leaf that nobody has claimed.
    Unexpanded,
    /// A leaf whose evaluation is under way.
    Expanding,
    /// Its children are published.
    Expanded,
    /// The path ends here.
    Terminal,
}

/// A snapshot of the word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Children(pub(super) u64);

impl Children {
    pub(super) const UNEXPANDED: Self = Self(0);
    pub(super) const EXPANDING: Self = Self(1);
    pub(super) const TERMINAL: Self = Self(3);
    /// One open child.
    pub(super) const ONE_OPEN: u64 = 1 << OPEN_SHIFT;

    pub(super) fn expanded(first: NodeId, count: usize, open: usize) -> Self {
        debug_assert!(count <= MAX_CHILDREN && open <= count);
        let fields = ((count as u64) << COUNT_SHIFT) | ((open as u64) << OPEN_SHIFT);
        Self((u64::from(first.0) << FIRST_SHIFT) | fields | 2)
    }

    /// What may happen at the node next.
    #[inline]
    #[must_use]
    pub fn state(self) -> NodeState {
        match self.0 & STATE_MASK {
            0 => NodeState::Unexpanded,
            1 => NodeState::Expanding,
            2 => NodeState::Expanded,
            _ => NodeState::Terminal,
        }
    }

    /// How many children are published.
    #[inline]
    #[must_use]
    pub fn count(self) -> usize {
        (self.0 >> COUNT_SHIFT & FIELD_MASK) as usize
    }

    /// How many of them can still be searched.
    #[inline]
    #[must_use]
    pub fn open(self) -> usize {
        (self.0 >> OPEN_SHIFT & FIELD_MASK) as usize
    }

    /// Whether nothing is left to search at or below the node: it is terminal, or exhausted.
    #[inline]
    #[must_use]
    pub fn is_closed(self) -> bool {
        match self.state() {
            NodeState::Terminal => true,
            NodeState::Expanded => self.open() == 0,
            NodeState::Unexpanded | NodeState::Expanding => false,
        }
    }

    /// The children's ids in order.
    pub fn ids(self) -> impl ExactSizeIterator<Item = NodeId> {
        let first = self.first();
        (0..self.count()).map(move |index| NodeId(first + index as u32))
    }

    #[inline]
    pub(super) fn first(self) -> u32 {
        (self.0 >> FIRST_SHIFT) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_do_not_touch() {
        let word = Children::expanded(NodeId(u32::MAX), MAX_CHILDREN, MAX_CHILDREN);
        assert_eq!(word.0, u64::MAX - 1);
        let word = Children::expanded(NodeId(7), 3, 2);
        assert_eq!((word.first(), word.count(), word.open()), (7, 3, 2));
        assert_eq!(word.ids().collect::<Vec<_>>(), [NodeId(7), NodeId(8), NodeId(9)]);
        let closed = Children(word.0 - 2 * Children::ONE_OPEN);
        assert_eq!((closed.first(), closed.count(), closed.open()), (7, 3, 0));
        assert!(closed.is_closed() && !word.is_closed());
    }

    #[test]
    fn only_ends_are_closed_before_expansion() {
        assert!(!Children::UNEXPANDED.is_closed());
        assert!(!Children::EXPANDING.is_closed());
        assert!(Children::TERMINAL.is_closed());
        assert_eq!(Children::EXPANDING.state(), NodeState::Expanding);
    }
}
