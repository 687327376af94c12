//! An append-only table in chunks that double in size and never move, so that a reference stays
//! good while others append.

use crate::sync::OnceLock;

/// Log2 of the first chunk's length. A tree of forty simulations fits the first chunk; a million
/// need twelve.
const FIRST_BITS: u32 = 8;
/// Chunks `0 .. CHUNKS` hold `2^32 - 2^FIRST_BITS` items: every index of a 32-bit id but the last
/// few.
const CHUNKS: usize = (u32::BITS - FIRST_BITS) as usize;

/// Items by `u32` index. Reading is wait-free; the first to touch a chunk allocates it while others
/// that need the same chunk wait for the allocation.
pub(crate) struct Chunked<T> {
    chunks: [OnceLock<Box<[T]>>; CHUNKS],
}

impl<T: Default> Chunked<T> {
    pub(crate) fn new() -> Self {
        Self { chunks: std::array::from_fn(|_| OnceLock::new()) }
    }

    /// Makes room for `index` and for every index of its chunk.
    pub(crate) fn reserve(&self, index: u32) {
        let (chunk, _) = locate(index);
        self.chunks[chunk].get_or_init(|| {
            let length = 1_usize << (chunk as u32 + FIRST_BITS);
            std::iter::repeat_with(T::default).take(length).collect()
        });
    }

    /// The item at `index`, whose chunk was reserved.
    #[inline]
    pub(crate) fn get(&self, index: u32) -> &T {
        let (chunk, offset) = locate(index);
        &self.chunk(chunk)[offset]
    }

    /// `count` items from `first` on. They lie in one chunk: see [`fits_one_chunk`].
    #[inline]
    pub(crate) fn run(&self, first: u32, count: usize) -> &[T] {
        let (chunk, offset) = locate(first);
        &self.chunk(chunk)[offset..offset + count]
    }

    #[inline]
    fn chunk(&self, chunk: usize) -> &[T] {
        self.chunks[chunk].get().expect("an id is handed out only after its chunk was reserved")
    }
}

/// Whether the `count` (> 0) indices from `first` on lie in one chunk.
pub(crate) fn fits_one_chunk(first: u32, count: u32) -> bool {
    first.checked_add(count - 1).is_some_and(|last| locate(first).0 == locate(last).0)
}

/// Chunk `k` starts at index `2^(k + FIRST_BITS) - 2^FIRST_BITS`, so that the position of the
/// highest bit of `index + 2^FIRST_BITS` names the chunk and the bits below it the offset.
#[inline]
fn locate(index: u32) -> (usize, usize) {
    let shifted = u64::from(index) + (1 << FIRST_BITS);
    let bits = shifted.ilog2();
    ((bits - FIRST_BITS) as usize, (shifted - (1 << bits)) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::{AtomicU32, Ordering};

    #[test]
    fn indices_fill_each_chunk_before_the_next() {
        let mut expected = (0, 0);
        for index in 0..5000 {
            assert_eq!(locate(index), expected, "index {index}");
            expected.1 += 1;
            if expected.1 == 1 << (expected.0 as u32 + FIRST_BITS) {
                expected = (expected.0 + 1, 0);
            }
        }
        let last = u32::MAX - (1 << FIRST_BITS);
        assert_eq!(locate(last), (CHUNKS - 1, (1 << 31) - 1));
    }

    #[test]
    fn a_run_never_straddles_a_boundary() {
        assert!(fits_one_chunk(0, 256));
        assert!(!fits_one_chunk(0, 257));
        assert!(!fits_one_chunk(255, 2));
        assert!(fits_one_chunk(256, 512));
        assert!(!fits_one_chunk(u32::MAX, 2));
    }

    #[test]
    fn items_do_not_move_while_others_are_added() {
        let table: Chunked<AtomicU32> = Chunked::new();
        table.reserve(0);
        let first: *const AtomicU32 = table.get(0);
        for index in 0..10_000 {
            table.reserve(index);
            table.get(index).store(index, Ordering::Relaxed);
        }
        assert_eq!(first, std::ptr::from_ref(table.get(0)));
        let run = table.run(768, 1024);
        assert!((768..).zip(run).all(|(index, item)| item.load(Ordering::Relaxed) == index));
    }
}
