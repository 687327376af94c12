//! Keys and values in pages: blocks of [`PANEL`] positions that sequences share.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::kernel::{Lane, PANEL};

/// Sizes that all pages of a model share.
#[derive(Debug, Clone, Copy)]
pub(super) struct CacheShape {
    pub layers: usize,
    /// Key/value heads.
    pub heads: usize,
    pub head_dim: usize,
}

impl CacheShape {
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
    /// Lanes of a block here; none where a device holds the content.
    lanes: usize,
    block_bytes: usize,
    free: Mutex<Vec<(usize, Vec<Lane>)>>,
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
    lanes: Vec<Lane>,
    /// The place of its content where a device holds it.
    number: usize,
    /// What a device has yet to copy into it.
    source: Option<Arc<Block>>,
    pool: Arc<Pool>,
}

impl Pool {
    pub fn new(shape: CacheShape) -> Arc<Self> {
        Self::of(shape, shape.lanes(), shape.lanes() * size_of::<Lane>())
    }

    /// A pool whose blocks' content, `block_bytes` each, a device holds.
    pub fn elsewhere(shape: CacheShape, block_bytes: usize) -> Arc<Self> {
        Self::of(shape, 0, block_bytes)
    }

    fn of(shape: CacheShape, lanes: usize, block_bytes: usize) -> Arc<Self> {
        let (free, zero) = (Mutex::default(), AtomicUsize::default);
        Arc::new(Self { shape, lanes, block_bytes, free, made: zero(), live: zero() })
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
        let used = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let (number, lanes) = used.unwrap_or_else(|| {
            // Relaxed: a number of its own, nothing is published with it.
            (self.made.fetch_add(1, Ordering::Relaxed), vec![[0.0; PANEL]; self.lanes])
        });
        self.live.fetch_add(1, Ordering::Relaxed);
        Block { lanes, number, source: None, pool: Arc::clone(self) }
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        let content = (self.number, std::mem::take(&mut self.lanes));
        self.pool.free.lock().unwrap_or_else(PoisonError::into_inner).push(content);
        self.pool.live.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Block {
    /// A block of the same content, to be written on.
    pub fn copy(self: &Arc<Self>) -> Self {
        let mut block = self.pool.take();
        block.lanes.copy_from_slice(&self.lanes);
        if self.lanes.is_empty() {
            // A copy that was not made yet has its source's content.
            block.source = Some(Arc::clone(self.source.as_ref().unwrap_or(self)));
        }
        block
    }

    /// Its number among the pool's blocks: no other in use has the same.
    pub fn number(&self) -> usize {
        self.number
    }

    /// The block whose content a device is to copy into this one, handed out once.
    pub fn take_source(&mut self) -> Option<Arc<Self>> {
        self.source.take()
    }

    /// Stores the key and value, each `[panels, PANEL]`, of one position of one head.
    #[inline(always)]
    pub fn write(&mut self, at: (usize, usize), position: usize, key: &[f32], value: &[f32]) {
        let shape = self.pool.shape;
        let place = position % PANEL;
        let lanes = &mut self.lanes[shape.start(at)..][..shape.head_lanes()];
        let (keys, values) = lanes.split_at_mut(shape.head_dim);
        for (lane, &element) in keys.iter_mut().zip(key) {
            lane[place] = element;
        }
        for (lanes, elements) in values.chunks_exact_mut(PANEL).zip(value.as_chunks().0) {
            lanes[place] = *elements;
        }
    }

    /// The keys of a head, `[head_dim]` lanes of [`PANEL`] positions.
    #[inline(always)]
    pub fn keys(&self, at: (usize, usize)) -> &[Lane] {
        let shape = self.pool.shape;
        &self.lanes[shape.start(at)..][..shape.head_dim]
    }

    /// One panel of the values of a head, `[PANEL positions]` lanes.
    #[inline(always)]
    pub fn values(&self, at: (usize, usize), panel: usize) -> &[Lane] {
        let shape = self.pool.shape;
        &self.lanes[shape.start(at) + shape.head_dim + panel * PANEL..][..PANEL]
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
        Self { shared: blocks, own: tail.map(|block| block.copy()).into_iter().collect() }
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
        let pool = Pool::new(SHAPE);
        let mut block = pool.take();
        for (layer, head) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            for position in 0..PANEL {
                let seed = layer * 50 + head * 20 + position;
                block.write((layer, head), position, &vector(seed), &vector(seed + 1000));
            }
        }
        for (layer, head) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            for position in 0..PANEL {
                let seed = layer * 50 + head * 20 + position;
                for (element, &expected) in vector(seed)[..20].iter().enumerate() {
                    assert_eq!(block.keys((layer, head))[element][position], expected);
                }
                for (panel, expected) in
                    vector(seed + 1000).as_chunks::<PANEL>().0.iter().enumerate()
                {
                    assert_eq!(&block.values((layer, head), panel)[position], expected);
                }
            }
        }
    }

    #[test]
    fn a_shared_tail_is_copied_before_it_is_written() {
        let pool = Pool::new(SHAPE);
        let mut first = Table::default();
        first.reserve(&pool, 20);
        first.writable(0).write((0, 0), 0, &vector(1), &vector(2));
        first.writable(16).write((0, 0), 16, &vector(3), &vector(4));
        let blocks = first.freeze();
        let mut second = Table::continued(blocks.clone(), 17);
        second.reserve(&pool, 18);
        assert_eq!((second.shared.len(), second.own.len()), (1, 1));
        second.writable(17).write((0, 0), 17, &vector(5), &vector(6));
        assert_eq!(blocks[1].keys((0, 0))[0][1], 0.0);
        assert_eq!(second.block(1).keys((0, 0))[0][..2], [300.0, 500.0]);
        let whole = Table::continued(blocks, 32);
        assert_eq!((whole.shared.len(), whole.own.len()), (2, 0));
    }

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
        let pool = Pool::new(SHAPE);
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
