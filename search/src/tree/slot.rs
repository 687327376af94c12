//! The unit of the arena: 16 bytes, a node's hot record or the header of a run of siblings.

use crate::sync::{AtomicU32, AtomicU64, Ordering};

/// All of a node that selection and backup touch; or, in front of each run of siblings, what they
/// share. The siblings lie behind their header, so that a level costs two or three cache lines.
#[derive(Debug, Default)]
#[cfg_attr(not(espalier_loom), derive(zerocopy::FromZeros))]
pub(super) struct Slot {
    /// Node: [`super::StatsLayout`]. Header: the number of siblings in the upper half, how many of
    /// them are open in the lower.
    pub(super) stats: AtomicU64,
    /// Node: [`super::link::Link`]. Header: the id of the first sibling.
    pub(super) link: AtomicU32,
    /// Node: bits of its prior, an `f32` in [0, 1], or of a NaN when selection is to pass it over.
    /// Header: bits of the value net's opinion of the state above the siblings, an `f32` in [-1, 1], or of a NaN
    /// when it was not given.
    pub(super) prior: AtomicU32,
}

/// Bytes of a slot.
pub(super) const SLOT_BYTES: usize = size_of::<Slot>();

impl Slot {
    /// Makes an unpublished slot a header.
    pub(super) fn write_header(&self, count: usize, open: usize, first_id: u32) {
        // Relaxed: nobody reads a slot before `Tree::publish` stores the leaf's link with Release.
        self.stats.store(((count as u64) << 32) | open as u64, Ordering::Relaxed);
        self.link.store(first_id, Ordering::Relaxed);
        self.prior.store(f32::NAN.to_bits(), Ordering::Relaxed);
    }

    /// Of a header that is not published yet: notes the value net's opinion of the state above the siblings.
    pub(super) fn set_value(&self, value: f32) {
        // Relaxed: as for `write_header`.
        self.prior.store(value.to_bits(), Ordering::Relaxed);
    }

    /// Of a header: the value net's opinion of the state above the siblings.
    pub(super) fn value(&self) -> Option<f32> {
        // Relaxed: constant since before publication.
        let value = f32::from_bits(self.prior.load(Ordering::Relaxed));
        (!value.is_nan()).then_some(value)
    }

    /// Of a header: how many siblings there are.
    #[inline]
    pub(super) fn count(&self) -> usize {
        // Relaxed: constant since before publication; the Acquire that led here makes it visible.
        (self.stats.load(Ordering::Relaxed) >> 32) as usize
    }

    /// Of a header: how many siblings can still be searched.
    pub(super) fn open(&self) -> usize {
        // Relaxed: a count that is its own message.
        self.stats.load(Ordering::Relaxed) as u32 as usize
    }

    /// Of a header: one open sibling less; true for the thread that closed the last one.
    pub(super) fn close_one(&self) -> bool {
        // Relaxed: exactly one subtraction brings the count to 0, whatever the order.
        self.stats.fetch_sub(1, Ordering::Relaxed) as u32 == 1
    }

    /// Of a header: the id of the first sibling.
    #[inline]
    pub(super) fn first_id(&self) -> u32 {
        // Relaxed: as for `count`.
        self.link.load(Ordering::Relaxed)
    }
}

#[cfg(all(test, not(espalier_loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_16_bytes() {
        assert_eq!((SLOT_BYTES, align_of::<Slot>()), (16, 8));
    }

    #[test]
    fn a_header_counts_down_without_touching_the_rest() {
        let header = Slot::default();
        header.write_header(u32::MAX as usize, 2, 7);
        assert!(!header.close_one());
        assert!(header.close_one());
        assert_eq!((header.count(), header.open(), header.first_id()), (u32::MAX as usize, 0, 7));
        assert_eq!(header.value(), None);
        header.set_value(-0.25);
        assert_eq!((header.count(), header.value()), (u32::MAX as usize, Some(-0.25)));
    }
}
