//! Keys and values in pages: blocks of [`PANEL`] positions that sequences share.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use espalier_model::config::ModelConfig;
use espalier_model::dtype::Dtype;

use super::kernel::{Lane, PANEL};
use super::numbers::Numbers;

/// Sizes that all pages of a model share.
#[derive(Debug, Clone, Copy)]
pub(super) struct CacheShape {
    pub layers: usize,
    /// Key/value heads.
    pub heads: usize,
    pub head_dim: usize,
}

impl CacheShape {
    pub fn new(config: &ModelConfig) -> Self {
        Self {
            layers: config.num_hidden_layers,
            heads: config.key_value_heads(),
            head_dim: config.head_dim(),
        }
    }

    /// Panels that hold a vector of a head.
    pub fn panels(self) -> usize {
        self.head_dim.div_ceil(PANEL)
    }

    /// Lanes of one head of one layer: keys, then values.
    fn head_lanes(self) -> usize {
        self.head_dim + self.panels() * PANEL
    }

    fn lanes(self) -> usize {
        self.layers * self.heads * self.head_lanes()
    }

    fn start(self, (layer, head): (usize, usize)) -> usize {
        (layer * self.heads + head) * self.head_lanes()
    }
}

/// Where blocks come from and go back to.
pub(super) struct Pool {
    shape: CacheShape,
    /// The type of a block's numbers here, and how many they are; none where a device holds the content.
    dtype: Dtype,
    numbers: usize,
    block_bytes: usize,
    free: Mutex<Vec<(usize, Numbers)>>,
    /// Blocks that were ever made.
    made: AtomicUsize,
    live: AtomicUsize,
}

/// Keys and values of [`PANEL`] positions in every layer and head.
///
/// Keys are stored across, `[head_dim, PANEL]`: sixteen scores come from one panel product. Values are stored along,
/// `[head_dim / PANEL, positions, PANEL]`: a mix over positions is one panel product. What is beyond the positions that
/// a sequence has written is never read into a result.
pub(super) struct Block {
    numbers: Numbers,
    /// The place of its content where a device holds it.
    number: usize,
    /// What the next pass has yet to copy into it: the first so many positions of another. Until then it may hold nothing.
    source: Option<(Arc<Block>, usize)>,
    pool: Arc<Pool>,
}

impl Pool {
    /// A pool whose blocks hold numbers of a type.
    pub fn new(shape: CacheShape, dtype: Dtype) -> Arc<Self> {
        let numbers = shape.lanes() * PANEL;
        Self::of(shape, dtype, numbers, numbers * dtype.size())
    }

    /// A pool whose blocks' content, `block_bytes` each, a device holds.
    #[cfg(feature = "torch")]
    pub fn elsewhere(shape: CacheShape, block_bytes: usize) -> Arc<Self> {
        Self::of(shape, Dtype::Float32, 0, block_bytes)
    }

    fn of(shape: CacheShape, dtype: Dtype, numbers: usize, block_bytes: usize) -> Arc<Self> {
        let (free, zero) = (Mutex::default(), AtomicUsize::default);
        let (made, live) = (zero(), zero());
        Arc::new(Self { shape, dtype, numbers, block_bytes, free, made, live })
    }

    /// Bytes of a block.
    pub fn block_bytes(&self) -> usize {
        self.block_bytes
    }

    /// Bytes of the blocks in use.
    pub fn bytes(&self) -> usize {
        // Relaxed: a measure that bounds memory, nothing is published with it.
        self.live.load(Ordering::Relaxed) * self.block_bytes()
    }

    /// A block of undefined, finite content.
    pub fn take(self: &Arc<Self>) -> Block {
        self.reuse().unwrap_or_else(|| self.make(Numbers::zeros(self.dtype, self.numbers)))
    }

    /// A block that was used before, with what was left in it.
    fn reuse(self: &Arc<Self>) -> Option<Block> {
        let (number, numbers) = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop()?;
        Some(self.block(number, numbers))
    }

    fn make(self: &Arc<Self>, numbers: Numbers) -> Block {
        // Relaxed: a number of its own, nothing is published with it.
        self.block(self.made.fetch_add(1, Ordering::Relaxed), numbers)
    }

    fn block(self: &Arc<Self>, number: usize, numbers: Numbers) -> Block {
        self.live.fetch_add(1, Ordering::Relaxed);
        Block { numbers, number, source: None, pool: Arc::clone(self) }
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        let content = (self.number, std::mem::take(&mut self.numbers));
        if self.pool.numbers == 0 || content.1.bytes() > 0 {
            self.pool.free.lock().unwrap_or_else(PoisonError::into_inner).push(content);
        }
        self.pool.live.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Block {
    /// A block that is to have the same content at the first `positions`, and to be written on. The pass that does so
    /// copies it first, by [`Self::fill`] or on a device: many are given up before.
    pub fn copy(self: &Arc<Self>, positions: usize) -> Self {
        let mut block = self.pool.reuse().unwrap_or_else(|| self.pool.make(Numbers::default()));
        // A copy that was not made yet has its source's content.
        let source = self.source.as_ref().map_or(self, |(source, _)| source);
        block.source = Some((Arc::clone(source), positions));
        block
    }

    /// Makes the copy that it is to be, if that is still to be done.
    pub fn fill(&mut self) {
        match self.source.take() {
            Some((source, _)) if self.numbers.bytes() == 0 => self.numbers = source.numbers.clone(),
            Some((source, positions)) => self.overwrite(&source, positions),
            None => {}
        }
    }

    /// Copies the first `positions` of another block.
    fn overwrite(&mut self, other: &Self, positions: usize) {
        let shape = self.pool.shape;
        for head in 0..shape.layers * shape.heads {
            let keys = head * shape.head_lanes();
            let values = keys + shape.head_dim;
            // The keys, which lie across, and the first panel of values behind them.
            self.numbers.copy_from(&other.numbers, keys * PANEL..(values + positions) * PANEL);
            for panel in 1..shape.panels() {
                let start = values + panel * PANEL;
                self.numbers.copy_from(&other.numbers, start * PANEL..(start + positions) * PANEL);
            }
        }
    }

    /// Its number among the pool's blocks: no other in use has the same.
    #[cfg(feature = "torch")]
    pub fn number(&self) -> usize {
        self.number
    }

    /// The block whose content a device is to copy into this one, handed out once.
    #[cfg(feature = "torch")]
    pub fn take_source(&mut self) -> Option<Arc<Self>> {
        Some(self.source.take()?.0)
    }

    /// Stores the key and value, each `[panels, PANEL]`, of one position of one head.
    #[inline(always)]
    pub fn write(&mut self, at: (usize, usize), position: usize, key: &[f32], value: &[f32]) {
        let shape = self.pool.shape;
        let place = position % PANEL;
        let keys = shape.start(at) * PANEL + place;
        for (lane, &element) in key[..shape.head_dim].iter().enumerate() {
            self.numbers.set(keys + lane * PANEL, element);
        }
        let values = (shape.start(at) + shape.head_dim + place) * PANEL;
        for (panel, elements) in value.chunks_exact(PANEL).enumerate() {
            self.numbers.write(values + panel * PANEL * PANEL, elements);
        }
    }

    /// The keys of a head, `[head_dim]` lanes of [`PANEL`] positions; `wide` holds them where they are kept in 16 bits.
    #[inline(always)]
    pub fn keys<'a>(&'a self, at: (usize, usize), wide: &'a mut Vec<Lane>) -> &'a [Lane] {
        let shape = self.pool.shape;
        let start = shape.start(at);
        self.numbers.lanes(start..start + shape.head_dim, wide)
    }

    /// One panel of the values of a head at the first `positions`, a lane each; `wide` as in [`Self::keys`].
    #[inline(always)]
    pub fn values<'a>(
        &'a self,
        at: (usize, usize),
        panel: usize,
        positions: usize,
        wide: &'a mut Vec<Lane>,
    ) -> &'a [Lane] {
        let shape = self.pool.shape;
        let start = shape.start(at) + shape.head_dim + panel * PANEL;
        self.numbers.lanes(start..start + positions, wide)
    }
}

/// The blocks of a sequence: those that it shares, then those that it writes.
#[derive(Default)]
pub(super) struct Table {
    pub shared: Vec<Arc<Block>>,
    pub own: Vec<Block>,
}

impl Table {
    /// A table that continues `length` positions of other blocks. A block of them that is not full is copied, since what
    /// follows is written into it.
    pub fn continued(mut blocks: Vec<Arc<Block>>, length: usize) -> Self {
        blocks.truncate(length.div_ceil(PANEL));
        let tail = (!length.is_multiple_of(PANEL)).then(|| blocks.pop()).flatten();
        let tail = tail.map(|block| block.copy(length % PANEL));
        Self { shared: blocks, own: tail.into_iter().collect() }
    }

    /// Makes room for a sequence of `length` positions.
    pub fn reserve(&mut self, pool: &Arc<Pool>, length: usize) {
        while (self.shared.len() + self.own.len()) * PANEL < length {
            self.own.push(pool.take());
        }
    }

    /// The block that position `position` is written into.
    #[inline(always)]
    pub fn writable(&mut self, position: usize) -> &mut Block {
        &mut self.own[position / PANEL - self.shared.len()]
    }

    /// The block of positions `index * PANEL ..`.
    #[inline(always)]
    pub fn block(&self, index: usize) -> &Block {
        match self.shared.get(index) {
            Some(block) => block,
            None => &self.own[index - self.shared.len()],
        }
    }

    /// All blocks, from now on shared.
    pub fn freeze(self) -> Vec<Arc<Block>> {
        let Self { mut shared, own } = self;
        shared.extend(own.into_iter().map(Arc::new));
        shared
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: CacheShape = CacheShape { layers: 2, heads: 2, head_dim: 20 };

    fn vector(seed: usize) -> Vec<f32> {
        (0..32).map(|index| (seed * 100 + index) as f32).collect()
    }

    #[test]
    fn a_block_gives_back_what_was_written() {
        // Up to 2,048 binary16 holds every integer.
        for dtype in [Dtype::Float32, Dtype::Float16] {
            let pool = Pool::new(SHAPE, dtype);
            assert_eq!(pool.block_bytes(), 2 * 2 * (20 + 32) * PANEL * dtype.size());
            written_and_read(pool.take());
        }
    }

    fn written_and_read(mut block: Block) {
        let mut wide = Vec::new();
        let exact = |seed: usize| -> Vec<f32> {
            (0..32).map(|index| ((seed * 37 + index * 5) % 2048) as f32).collect()
        };
        for (layer, head) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            for position in 0..PANEL {
                let seed = layer * 50 + head * 20 + position;
                block.write((layer, head), position, &exact(seed), &exact(seed + 1000));
            }
        }
        for (layer, head) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            for position in 0..PANEL {
                let seed = layer * 50 + head * 20 + position;
                for (element, &expected) in exact(seed)[..20].iter().enumerate() {
                    assert_eq!(block.keys((layer, head), &mut wide)[element][position], expected);
                }
                for (panel, expected) in
                    exact(seed + 1000).as_chunks::<PANEL>().0.iter().enumerate()
                {
                    assert_eq!(
                        &block.values((layer, head), panel, PANEL, &mut wide)[position],
                        expected
                    );
                }
            }
        }
    }

    #[test]
    fn a_shared_tail_is_copied_before_it_is_written() {
        let pool = Pool::new(SHAPE, Dtype::Float32);
        let mut first = Table::default();
        first.reserve(&pool, 20);
        first.writable(0).write((0, 0), 0, &vector(1), &vector(2));
        first.writable(16).write((0, 0), 16, &vector(3), &vector(4));
        let blocks = first.freeze();
        let mut second = Table::continued(blocks.clone(), 17);
        second.reserve(&pool, 18);
        assert_eq!((second.shared.len(), second.own.len()), (1, 1));
        second.writable(17).fill();
        second.writable(17).write((0, 0), 17, &vector(5), &vector(6));
        let mut wide = Vec::new();
        assert_eq!(blocks[1].keys((0, 0), &mut wide)[0][1], 0.0);
        assert_eq!(second.block(1).keys((0, 0), &mut wide)[0][..2], [300.0, 500.0]);
        // A block that was used before takes over what was written, and no more.
        drop(second);
        let mut third = Table::continued(blocks.clone(), 17);
        assert!(pool.free.lock().unwrap().is_empty());
        third.writable(17).fill();
        third.writable(17).write((0, 0), 17, &vector(7), &vector(8));
        assert_eq!(third.block(1).keys((0, 0), &mut wide)[0][..2], [300.0, 700.0]);
        for panel in 0..2 {
            let written = third.block(1).values((0, 0), panel, 2, &mut wide);
            let expected = [400.0, 800.0].map(|first| first + (panel * PANEL) as f32);
            assert_eq!([written[0][0], written[1][0]], expected);
        }
        let whole = Table::continued(blocks.clone(), 32);
        assert_eq!((whole.shared.len(), whole.own.len()), (2, 0));
        // A copy of a copy that was never made is one of the first; one that is given up leaves nothing behind.
        let unmade = Table::continued(blocks, 17).freeze();
        let mut fourth = Table::continued(unmade.clone(), 17);
        drop(unmade);
        fourth.writable(17).fill();
        assert_eq!(fourth.block(1).keys((0, 0), &mut wide)[0][0], 300.0);
        let bytes = pool.bytes();
        drop((third, fourth));
        assert_eq!(pool.bytes(), bytes - 2 * pool.block_bytes());
        let kept = pool.free.lock().unwrap();
        assert!(kept.iter().all(|(_, numbers)| numbers.bytes() == pool.block_bytes()));
    }

    #[cfg(feature = "torch")]
    #[test]
    fn a_device_is_told_what_to_copy() {
        let pool = Pool::elsewhere(SHAPE, 1000);
        let mut first = Table::default();
        first.reserve(&pool, 20);
        let blocks = first.freeze();
        assert_eq!(pool.bytes(), 2000);
        let second = Table::continued(blocks.clone(), 17);
        // The copy is not made yet when the third is made from it.
        let mut third = Table::continued(second.freeze(), 18);
        third.reserve(&pool, 33);
        assert_eq!((third.shared.len(), third.own.len()), (1, 2));
        let source = third.own[0].take_source().unwrap();
        assert!(Arc::ptr_eq(&source, &blocks[1]));
        let mut numbers = vec![blocks[0].number(), blocks[1].number()];
        numbers.extend(third.own.iter_mut().map(|block| block.number()));
        assert!(third.own.iter_mut().all(|block| block.take_source().is_none()));
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), 4);
    }

    #[test]
    fn dropped_blocks_are_used_again() {
        let pool = Pool::new(SHAPE, Dtype::Float32);
        let (one, two) = (pool.take(), pool.take());
        assert_eq!(pool.bytes(), 2 * pool.block_bytes());
        drop(one);
        let three = pool.take();
        assert_eq!(pool.bytes(), 2 * pool.block_bytes());
        assert!(pool.free.lock().unwrap().is_empty());
        drop((two, three));
        assert_eq!(pool.bytes(), 0);
    }
}
