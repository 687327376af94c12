//! Keys and values of sequences: of a prompt as panels, because many rows read them; of a sample as plain rows,
//! because they are written one by one and read by one row.

use super::kernel::{Lane, PANEL};

/// Sizes that all caches of a model share.
#[derive(Debug, Clone, Copy)]
pub(super) struct CacheShape {
    pub layers: usize,
    /// Key/value heads.
    pub heads: usize,
    pub head_dim: usize,
}

impl CacheShape {
    /// Panels that hold a value vector.
    fn value_panels(self) -> usize {
        self.head_dim.div_ceil(PANEL)
    }
}

/// Keys and values of a prompt of up to `capacity` positions in every layer and head.
///
/// Keys are stored across: `[capacity / PANEL, head_dim, PANEL]`, so that sixteen scores come from one panel. Values
/// are stored along: `[head_dim / PANEL, capacity, PANEL]`, so that a mix over positions is one panel product. What is
/// beyond the written positions is never read into a result.
pub(super) struct PromptCache {
    lanes: Vec<Lane>,
    /// A multiple of [`PANEL`].
    capacity: usize,
}

impl PromptCache {
    /// Room for `positions`.
    pub fn new(shape: CacheShape, positions: usize) -> Self {
        let mut cache = Self { lanes: Vec::new(), capacity: positions.next_multiple_of(PANEL) };
        let lanes = shape.layers * shape.heads * cache.head_lanes(shape);
        cache.lanes.resize(lanes, [0.0; PANEL]);
        cache
    }

    /// Room for `capacity` positions, the first `positions` of them taken from another cache.
    pub fn continued(
        shape: CacheShape,
        capacity: usize,
        (other, positions): (&Self, usize),
    ) -> Self {
        let mut cache = Self::new(shape, capacity);
        let key_lanes = positions.div_ceil(PANEL) * shape.head_dim;
        let heads = (0..shape.layers).flat_map(|layer| (0..shape.heads).map(move |h| (layer, h)));
        for (layer, head) in heads {
            let (to, from) = (cache.start(shape, layer, head), other.start(shape, layer, head));
            cache.lanes[to..][..key_lanes].copy_from_slice(&other.lanes[from..][..key_lanes]);
            for panel in 0..shape.value_panels() {
                let to = to + cache.key_lanes(shape) + panel * cache.capacity;
                let from = from + other.key_lanes(shape) + panel * other.capacity;
                cache.lanes[to..][..positions].copy_from_slice(&other.lanes[from..][..positions]);
            }
        }
        cache
    }

    /// Size in memory.
    pub fn bytes(&self) -> usize {
        self.lanes.len() * size_of::<Lane>()
    }

    fn key_lanes(&self, shape: CacheShape) -> usize {
        self.capacity / PANEL * shape.head_dim
    }

    /// Lanes of one head of one layer.
    fn head_lanes(&self, shape: CacheShape) -> usize {
        self.key_lanes(shape) + shape.value_panels() * self.capacity
    }

    fn start(&self, shape: CacheShape, layer: usize, head: usize) -> usize {
        (layer * shape.heads + head) * self.head_lanes(shape)
    }

    /// Stores one position's key and value of one head.
    #[inline(always)]
    pub fn write(
        &mut self,
        shape: CacheShape,
        (layer, head): (usize, usize),
        position: usize,
        key: &[f32],
        value: &[f32],
    ) {
        let start = self.start(shape, layer, head);
        let values = start + self.key_lanes(shape);
        let panel = &mut self.lanes[start + position / PANEL * shape.head_dim..][..shape.head_dim];
        for (lane, &element) in panel.iter_mut().zip(key) {
            lane[position % PANEL] = element;
        }
        for (index, elements) in value.chunks(PANEL).enumerate() {
            self.lanes[values + index * self.capacity + position][..elements.len()]
                .copy_from_slice(elements);
        }
    }

    /// The panel with the keys of positions `panel * PANEL ..`, `[head_dim]` lanes.
    #[inline(always)]
    pub fn keys(&self, shape: CacheShape, (layer, head): (usize, usize), panel: usize) -> &[Lane] {
        let start = self.start(shape, layer, head);
        &self.lanes[start + panel * shape.head_dim..][..shape.head_dim]
    }

    /// Elements `panel * PANEL ..` of the values of the first `positions` positions, `[positions]` lanes.
    #[inline(always)]
    pub fn values(
        &self,
        shape: CacheShape,
        (layer, head): (usize, usize),
        panel: usize,
        positions: usize,
    ) -> &[Lane] {
        let start = self.start(shape, layer, head) + self.key_lanes(shape);
        &self.lanes[start + panel * self.capacity..][..positions]
    }
}

/// Keys and values of the tokens that a sample has written: `[layer, head, key | value, capacity, head_dim]`. What
/// is beyond the written positions is never read, so a cache is reused without clearing.
#[derive(Default)]
pub(super) struct SampleCache {
    elements: Vec<f32>,
    capacity: usize,
}

impl SampleCache {
    /// Makes room for `positions`; what was stored is lost.
    pub fn reset(&mut self, shape: CacheShape, positions: usize) {
        self.capacity = positions;
        let elements = shape.layers * shape.heads * 2 * positions * shape.head_dim;
        if self.elements.len() < elements {
            self.elements.resize(elements, 0.0);
        }
    }

    fn start(&self, shape: CacheShape, (layer, head): (usize, usize)) -> usize {
        (layer * shape.heads + head) * 2 * self.capacity * shape.head_dim
    }

    /// Stores one position's key and value of one head.
    #[inline(always)]
    pub fn write(
        &mut self,
        shape: CacheShape,
        at: (usize, usize),
        position: usize,
        key: &[f32],
        value: &[f32],
    ) {
        let key_start = self.start(shape, at) + position * shape.head_dim;
        let value_start = key_start + self.capacity * shape.head_dim;
        self.elements[key_start..][..shape.head_dim].copy_from_slice(key);
        self.elements[value_start..][..shape.head_dim].copy_from_slice(value);
    }

    /// The first `positions` keys of a head, `[positions, head_dim]`.
    #[inline(always)]
    pub fn keys(&self, shape: CacheShape, at: (usize, usize), positions: usize) -> &[f32] {
        &self.elements[self.start(shape, at)..][..positions * shape.head_dim]
    }

    /// The first `positions` values of a head, `[positions, head_dim]`.
    #[inline(always)]
    pub fn values(&self, shape: CacheShape, at: (usize, usize), positions: usize) -> &[f32] {
        let start = self.start(shape, at) + self.capacity * shape.head_dim;
        &self.elements[start..][..positions * shape.head_dim]
    }
}
