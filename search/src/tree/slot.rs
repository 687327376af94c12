//! The unit of the arena: 16 bytes, a node's hot record or the header of a run of siblings.

use crate::sync::{AtomicU32, AtomicU64, Ordering};

/// All of a node that selection and backup touch; or, in front of each run of siblings, what they
/// share. The siblings lie behind their header, so that a level costs two or three cache lines.
#[derive(Debug, Default)]
#[cfg_attr(not(espalier_loom), derive(zerocopy::FromZeros))]
pub(super) struct Slot {
    /// Node: [`super::StatsLayout`]. Header: the number of siblings in the upper half; in the lower a flag whether a thread
    /// is widening them (1 bit), how often they may be widened yet (15), and how many of them are open (16).
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

/// One sibling, in a header's word.
const SIBLING: u64 = 1 << 32;
/// A thread is widening the siblings.
const CLAIMED: u64 = 1 << 31;
/// One widening that is left.
const WIDENING: u64 = 1 << 16;
/// The bits of the widenings that are left.
const WIDENINGS: u64 = CLAIMED - WIDENING;
/// The bits of the open siblings.
const OPEN: u64 = WIDENING - 1;

impl Slot {
    /// Makes an unpublished slot a header. `open` is at most [`super::MAX_CHILDREN`], `widenings` at most
    /// [`super::MAX_WIDENINGS`].
    pub(super) fn write_header(&self, count: usize, open: usize, widenings: usize, first_id: u32) {
        let word = count as u64 * SIBLING + widenings as u64 * WIDENING + open as u64;
        // Relaxed: nobody reads a slot before `Tree::publish` stores the leaf's link with Release.
        self.stats.store(word, Ordering::Relaxed);
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
        // Acquire: pairs with the Release in `show_more`; the siblings that it counts are whole.
        (self.stats.load(Ordering::Acquire) / SIBLING) as usize
    }

    /// Of a header: how many siblings can still be searched.
    pub(super) fn open(&self) -> usize {
        // Relaxed: a count that is its own message.
        (self.stats.load(Ordering::Relaxed) & OPEN) as usize
    }

    /// Of a header: one open sibling less; true for the thread after which nothing is left to search.
    pub(super) fn close_one(&self) -> bool {
        // Relaxed: exactly one subtraction brings the count to 0, whatever the order.
        is_exhausted(self.stats.fetch_sub(1, Ordering::Relaxed) - 1)
    }

    /// Of a header: whether no sibling can be searched, and none will be added.
    pub(super) fn is_exhausted(&self) -> bool {
        // Relaxed: as for `open`.
        is_exhausted(self.stats.load(Ordering::Relaxed))
    }

    /// Of a header: how often the siblings may be widened yet.
    pub(super) fn widenings(&self) -> usize {
        // Relaxed: as for `open`.
        ((self.stats.load(Ordering::Relaxed) & WIDENINGS) / WIDENING) as usize
    }

    /// Of a header: whether a thread is widening the siblings.
    pub(super) fn is_claimed(&self) -> bool {
        // Relaxed: as for `open`.
        self.stats.load(Ordering::Relaxed) & CLAIMED != 0
    }

    /// Of a header: takes the siblings for widening, which uses one up, when none of them is open and no other thread has them.
    pub(super) fn claim_widening(&self) -> bool {
        let may = |word: u64| word & (OPEN | CLAIMED) == 0 && word & WIDENINGS != 0;
        let claim = |word: u64| may(word).then(|| word - WIDENING + CLAIMED);
        // Acquire on success pairs with the Release in `show_more` and `release_widening`: a second claimant sees what the
        // first one left behind. Relaxed on failure: nothing is read then.
        self.stats.fetch_update(Ordering::Acquire, Ordering::Relaxed, claim).is_ok()
    }

    /// Of a header: gives claimed siblings back as they were.
    pub(super) fn release_widening(&self) {
        // Release: pairs with the Acquire in `claim_widening`.
        self.stats.fetch_sub(CLAIMED - WIDENING, Ordering::Release);
    }

    /// Of a header that this thread has claimed: shows so many siblings more, which lie written behind the others.
    pub(super) fn show_more(&self, count: usize, open: usize) {
        let more = count as u64 * SIBLING + open as u64;
        // Release: pairs with the Acquire in `count`.
        self.stats.fetch_add(more.wrapping_sub(CLAIMED), Ordering::Release);
    }

    /// Of a header: the siblings are enough.
    pub(super) fn stop_widening(&self) {
        // Relaxed: as for `open`.
        self.stats.fetch_and(!WIDENINGS, Ordering::Relaxed);
    }

    /// Of a header: the id of the first sibling.
    #[inline]
    pub(super) fn first_id(&self) -> u32 {
        // Relaxed: as for `count`.
        self.link.load(Ordering::Relaxed)
    }
}

fn is_exhausted(header: u64) -> bool {
    header & (OPEN | CLAIMED | WIDENINGS) == 0
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
        header.write_header(u32::MAX as usize, 2, 0, 7);
        assert!(!header.close_one());
        assert!(header.close_one());
        assert_eq!((header.count(), header.open(), header.first_id()), (u32::MAX as usize, 0, 7));
        assert_eq!(header.value(), None);
        header.set_value(-0.25);
        assert_eq!((header.count(), header.value()), (u32::MAX as usize, Some(-0.25)));
    }

    #[test]
    fn siblings_are_widened_once_they_are_closed_and_by_one_at_a_time() {
        let header = Slot::default();
        header.write_header(2, 1, 2, 7);
        assert!(!header.claim_widening(), "one is open");
        assert!(!header.close_one() && !header.is_exhausted(), "two widenings are left");
        assert!(header.claim_widening() && header.is_claimed());
        assert!(!header.claim_widening(), "another thread has them");
        header.release_widening();
        assert_eq!((header.widenings(), header.is_claimed()), (2, false));
        assert!(header.claim_widening());
        header.show_more(3, 1);
        assert_eq!((header.count(), header.open(), header.widenings()), (5, 1, 1));
        assert!(!header.is_claimed() && !header.close_one());
        header.stop_widening();
        assert!(header.is_exhausted() && !header.claim_widening());
    }
}
