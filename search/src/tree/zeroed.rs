//! Memory for large chunks: zero without being touched, in huge pages where the system has them.

use zerocopy::FromZeros;

/// Bytes from which on huge pages are asked for.
const LARGE: usize = 4 << 20;

/// `length` items of zeros.
///
/// # Panics
/// When memory is short.
pub(super) fn zeroed<T: FromZeros>(length: usize) -> Box<[T]> {
    let items = <[T]>::new_box_zeroed_with_elems(length);
    let items = items.unwrap_or_else(|_| panic!("no memory for {length} more nodes of the tree"));
    if size_of_val(&*items) >= LARGE {
        ask_for_huge_pages(&items);
    }
    items
}

/// A wide tree is walked at random: with pages of 4 KiB most levels of a descent would miss the processor's page table
/// cache.
#[cfg(all(target_os = "linux", not(miri)))]
#[allow(unsafe_code)]
fn ask_for_huge_pages<T>(items: &[T]) {
    /// The advice covers whole pages; half a page at the border more or less does not matter.
    const PAGE: usize = 4096;
    let start = items.as_ptr().addr().next_multiple_of(PAGE);
    let end = (items.as_ptr().addr() + size_of_val(items)) / PAGE * PAGE;
    if start < end {
        // SAFETY: whole pages of a live allocation; this advice changes how they are backed and not what they hold.
        // Where it is not known it fails, which is as good.
        _ = unsafe {
            libc::madvise(
                items.as_ptr().with_addr(start).cast_mut().cast(),
                end - start,
                libc::MADV_HUGEPAGE,
            )
        };
    }
}

#[cfg(any(not(target_os = "linux"), miri))]
fn ask_for_huge_pages<T>(_: &[T]) {}

#[cfg(all(test, not(espalier_loom)))]
mod tests {
    use super::*;

    #[test]
    fn large_and_small_chunks_are_zero() {
        for length in [1, 256, 3 << 20] {
            let items: Box<[u64]> = zeroed(length);
            assert_eq!(items.len(), length);
            assert!(items.iter().step_by(511).all(|item| *item == 0));
        }
    }
}
