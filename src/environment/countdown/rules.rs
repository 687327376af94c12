//! What steps may do.

/// Which results there may be, and whether all numbers must be used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Rules {
    pub(super) negative: bool,
    pub(super) fractions: bool,
    pub(super) leftover: bool,
}

impl Rules {
    /// All that there are.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        (0..8).map(|bits| Self {
            negative: bits & 1 != 0,
            fractions: bits & 2 != 0,
            leftover: bits & 4 != 0,
        })
    }

    /// Whether all numbers are whole and not negative.
    pub(super) fn are_plain(self) -> bool {
        !self.negative && !self.fractions
    }
}
