//! Memory asked for ahead of its use.

use super::slot::Slot;

/// Asks for the cache lines of a run of siblings, whose header is the first of `slots`: how many there are stands in one of
/// these lines. Three lines hold a header and eleven siblings wherever in its line the run begins, or at least ten.
#[cfg(all(target_arch = "x86_64", not(miri), not(espalier_loom)))]
#[inline(always)]
#[allow(unsafe_code)]
pub(super) fn prefetch(slots: &[Slot]) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};

    const LINE: usize = 64;
    let first = slots.as_ptr().cast::<i8>();
    for line in 0..3 {
        // SAFETY: a prefetch is a hint that touches no memory as the program sees it and faults on no address; the pointer
        // is made without leaving the rules for pointers by `wrapping_add`.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(first.wrapping_add(line * LINE)) };
    }
}

/// Nothing where the processor's hint is not to be had.
#[cfg(not(all(target_arch = "x86_64", not(miri), not(espalier_loom))))]
#[inline(always)]
pub(super) fn prefetch(_: &[Slot]) {}
