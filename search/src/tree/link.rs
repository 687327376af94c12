//! What lies below a node, in 32 bits.
//!
//! ```text
//!  31     30                                    0
//! ┌──────┬──────────────────────────────────────┐
//! │closed│ 0 unexpanded · 1 expanding · 2 ended │
//! │      │ otherwise the run's address          │
//! └──────┴──────────────────────────────────────┘
//! ```
//! *Closed* says that nothing is left to search at or below the node.

use super::chunked::Address;

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
pub(super) struct Link(pub(super) u32);

impl Link {
    pub(super) const UNEXPANDED: Self = Self(0);
    pub(super) const EXPANDING: Self = Self(1);
    /// An end that selection may come to again.
    pub(super) const ENDED: Self = Self(2);
    /// The lowest address that a run may have.
    pub(super) const FIRST_RUN: u32 = 3;
    /// The flag.
    pub(super) const CLOSED: u32 = 1 << 31;

    #[inline]
    pub(super) fn closed(self) -> Self {
        Self(self.0 | Self::CLOSED)
    }

    #[inline]
    pub(super) fn is_closed(self) -> bool {
        self.0 & Self::CLOSED != 0
    }

    /// The address of the children's run; meaningless unless the state is `Expanded`.
    #[inline]
    pub(super) fn run(self) -> Address {
        Address(self.0 & !Self::CLOSED)
    }

    #[inline]
    pub(super) fn state(self) -> NodeState {
        match self.run().0 {
            0 => NodeState::Unexpanded,
            1 => NodeState::Expanding,
            2 => NodeState::Terminal,
            _ => NodeState::Expanded,
        }
    }
}

#[cfg(all(test, not(espalier_loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_flag_and_the_slot_do_not_touch() {
        let last = Link(Link::CLOSED - 1);
        assert_eq!((last.closed().run().0, last.closed().is_closed()), (last.0, true));
        assert_eq!((last.state(), last.is_closed()), (NodeState::Expanded, false));
        assert_eq!(Link(Link::FIRST_RUN).state(), NodeState::Expanded);
        assert_eq!(Link::ENDED.closed().state(), NodeState::Terminal);
        assert!(!Link::UNEXPANDED.is_closed() && !Link::EXPANDING.is_closed());
    }
}
