//! An append-only table in chunks that double in size and never move, so that a reference stays
//! good while others append.

#[cfg(not(espalier_loom))]
use zerocopy::FromZeros;

#[cfg(not(espalier_loom))]
use super::zeroed::zeroed;
use crate::sync::OnceLock;

/// Log2 of the first chunk's length. A tree of forty simulations fits the first chunk. A model checker
/// gets small chunks: each item is state that it tracks.
const FIRST_BITS: u32 = if cfg!(espalier_loom) { 3 } else { 8 };
/// Log2 of the longest chunk's length.
const LAST_BITS: u32 = 26;
/// Chunks that double in length.
const DOUBLING: u32 = LAST_BITS - FIRST_BITS + 1;
/// All chunks; those after the doubling ones are all of the longest length.
const CHUNKS: u32 = 32;

/// How many items a table holds: about 10^9.
pub const CAPACITY: u32 =
    (1 << (LAST_BITS + 1)) - (1 << FIRST_BITS) + ((CHUNKS - DOUBLING) << LAST_BITS);

/// Where an item lies: its chunk in the upper 5 of 31 bits, its place there in the lower 26. Taking one apart
/// costs less than finding the chunk of an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Address(pub(super) u32);

impl Address {
    /// The address of an index below [`CAPACITY`].
    #[inline]
    pub(super) fn of(index: u32) -> Self {
        // Chunk `k` starts at index `2^(k + FIRST_BITS) - 2^FIRST_BITS`, so that the position of the highest
        // bit of `index + 2^FIRST_BITS` names the chunk and the bits below it the place.
        let shifted = index + (1 << FIRST_BITS);
        let bits = shifted.ilog2();
        if bits <= LAST_BITS {
            return Self((bits - FIRST_BITS) << LAST_BITS | (shifted - (1 << bits)));
        }
        // From there on chunks are of one length.
        let beyond = shifted - (1 << (LAST_BITS + 1));
        Self((DOUBLING << LAST_BITS) + beyond)
    }

    #[inline]
    fn chunk(self) -> usize {
        (self.0 >> LAST_BITS) as usize
    }

    #[inline]
    fn place(self) -> usize {
        (self.0 & ((1 << LAST_BITS) - 1)) as usize
    }
}

/// Items by `u32` index, for what a tree's nodes carry besides their hot records. Reading is wait-free;
/// the first to touch a chunk allocates it while others that need the same chunk wait for the allocation.
pub struct Chunked<T> {
    chunks: [OnceLock<Box<[T]>>; CHUNKS as usize],
}

impl<T: Default> Default for Chunked<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Default> Chunked<T> {
    /// An empty table.
    #[must_use]
    pub fn new() -> Self {
        Self { chunks: std::array::from_fn(|_| OnceLock::new()) }
    }

    /// Makes room for `index` and for every index of its chunk.
    ///
    /// # Panics
    /// When `index` is not below `CAPACITY`.
    pub fn reserve(&self, index: u32) {
        self.reserve_by(index, |length| std::iter::repeat_with(T::default).take(length).collect());
    }

    fn reserve_by(&self, index: u32, make: impl FnOnce(usize) -> Box<[T]>) {
        let chunk = Address::of(index).chunk() as u32;
        self.chunks[chunk as usize]
            .get_or_init(|| make(1_usize << (chunk + FIRST_BITS).min(LAST_BITS)));
    }

    /// The item at `index`.
    ///
    /// # Panics
    /// When its chunk was not reserved.
    #[inline]
    #[must_use]
    pub fn get(&self, index: u32) -> &T {
        &self.from(Address::of(index))[0]
    }

    /// The item at `index`, for one who has the table alone; `None` when its chunk was not reserved.
    #[must_use]
    pub fn get_mut(&mut self, index: u32) -> Option<&mut T> {
        let address = Address::of(index);
        Some(&mut self.chunks[address.chunk()].get_mut()?[address.place()])
    }

    /// The items from an address to the end of its chunk.
    #[inline]
    pub(super) fn from(&self, address: Address) -> &[T] {
        let chunk = self.chunks[address.chunk()].get();
        &chunk.expect("an item is used only after its chunk was reserved")[address.place()..]
    }
}

#[cfg(not(espalier_loom))]
impl<T: Default + FromZeros> Chunked<T> {
    /// As [`Chunked::reserve`], for items that are all zero at first: memory is touched only where it is used, and large
    /// chunks ask for huge pages.
    ///
    /// # Panics
    /// When `index` is not below `CAPACITY`, or memory is short.
    pub fn reserve_zeroed(&self, index: u32) {
        self.reserve_by(index, zeroed);
    }
}

#[cfg(espalier_loom)]
impl<T: Default> Chunked<T> {
    /// As [`Chunked::reserve`]: a model checker's atomics are not made of zeros.
    pub fn reserve_zeroed(&self, index: u32) {
        self.reserve(index);
    }
}

/// Whether the `count` (> 0) indices from `first` on lie in one chunk.
pub(super) fn fits_one_chunk(first: u32, count: u32) -> bool {
    Address::of(first).chunk() == Address::of(first + count - 1).chunk()
}

#[cfg(all(test, not(espalier_loom)))]
mod tests {
    use super::*;
    use crate::sync::{AtomicU32, Ordering};

    #[test]
    fn indices_fill_each_chunk_before_the_next() {
        let mut expected = (0, 0);
        for index in 0..5000 {
            let address = Address::of(index);
            assert_eq!((address.chunk(), address.place()), expected, "index {index}");
            expected.1 += 1;
            if expected.1 == 1 << (expected.0 as u32 + FIRST_BITS) {
                expected = (expected.0 + 1, 0);
            }
        }
        // The last place of the last doubling chunk, and what follows.
        let border = (1 << (LAST_BITS + 1)) - (1 << FIRST_BITS);
        assert_eq!(Address::of(border - 1).0 + 1, Address::of(border).0);
        assert_eq!((Address::of(border).chunk(), Address::of(border).place()), (19, 0));
        let last = Address::of(CAPACITY - 1);
        assert_eq!((last.chunk(), last.place()), (31, (1 << 26) - 1));
        assert_eq!(last.0, u32::MAX >> 1);
    }

    #[test]
    fn a_run_never_straddles_a_boundary() {
        assert!(fits_one_chunk(0, 256));
        assert!(!fits_one_chunk(0, 257));
        assert!(!fits_one_chunk(255, 2));
        assert!(fits_one_chunk(256, 512));
    }

    #[test]
    fn items_do_not_move_while_others_are_added() {
        let mut table: Chunked<AtomicU32> = Chunked::new();
        assert!(table.get_mut(0).is_none());
        table.reserve(0);
        let first: *const AtomicU32 = table.get(0);
        let count = if cfg!(miri) { 2_000 } else { 10_000 };
        for index in 0..count {
            table.reserve(index);
            table.get(index).store(index, Ordering::Relaxed);
        }
        assert_eq!(first, std::ptr::from_ref(table.get(0)));
        let run = table.from(Address::of(768));
        assert_eq!(run.len(), 1024);
        assert!((768..).zip(run).all(|(index, item)| item.load(Ordering::Relaxed) == index));
    }
}
