//! Causal attention over caches, for whole prompts and for samples that share a prompt.

use std::ops::Range;

use pulp::{Simd, WithSimd};

use super::cache::{CacheShape, PromptCache, SampleCache};
use super::elementwise::{add_weighted, dot, exponentiate, maximum};
use super::kernel::{Input, Output, PANEL, multiply};

/// Query rows of a prompt that are scored together: a multiple of the tile, small enough to waste little above the
/// diagonal.
const QUERY_BLOCK: usize = 12;

/// Sizes of the `[query, key, value]` rows. The queries are already divided by `sqrt(head_dim)`.
#[derive(Debug, Clone, Copy)]
pub(super) struct AttentionShape {
    pub cache: CacheShape,
    /// Query heads.
    pub heads: usize,
}

impl AttentionShape {
    /// Elements of a query row and of an output row.
    pub fn query(self) -> usize {
        self.heads * self.cache.head_dim
    }

    /// Elements of a `[query, key, value]` row.
    pub fn qkv(self) -> usize {
        self.query() + 2 * self.cache.heads * self.cache.head_dim
    }

    /// Where the keys and values of a query head are.
    fn at(self, layer: usize, head: usize) -> (usize, usize) {
        (layer, head / (self.heads / self.cache.heads))
    }

    /// The key and value of each head in a row.
    #[inline(always)]
    fn keys_and_values(self, row: &[f32]) -> impl Iterator<Item = (&[f32], &[f32])> {
        let head_dim = self.cache.head_dim;
        let (keys, values) = row[self.query()..].split_at(self.cache.heads * head_dim);
        keys.chunks_exact(head_dim).zip(values.chunks_exact(head_dim))
    }

    /// Scores `[rows, padded]` of queries against the first `positions` keys of a prompt.
    #[inline(always)]
    fn score<S: Simd>(
        self,
        simd: S,
        at: (usize, usize),
        (rows, queries): (usize, Input<'_>),
        (cache, positions): (&PromptCache, usize),
        (scores, padded): (&mut [f32], usize),
    ) {
        for panel in 0..positions.div_ceil(PANEL) {
            let keys = cache.keys(self.cache, at, panel);
            let values = &mut scores[panel * PANEL..];
            let mut out = Output { values, stride: padded, width: PANEL, accumulate: false };
            multiply(simd, rows, queries, keys, &mut out);
        }
    }

    /// Mixes the first `positions` values of a prompt by weights, into one head of `mixed`.
    #[inline(always)]
    fn mix<S: Simd>(
        self,
        simd: S,
        at: (usize, usize),
        (rows, weights): (usize, Input<'_>),
        (cache, positions): (&PromptCache, usize),
        mixed: &mut [f32],
    ) {
        let head_dim = self.cache.head_dim;
        for panel in 0..head_dim.div_ceil(PANEL) {
            let lanes = cache.values(self.cache, at, panel, positions);
            let values = &mut mixed[panel * PANEL..];
            let width = PANEL.min(head_dim - panel * PANEL);
            let mut out = Output { values, stride: self.query(), width, accumulate: false };
            multiply(simd, rows, weights, lanes, &mut out);
        }
    }
}

/// A prompt of which some rows are read.
pub(super) struct PromptRows {
    /// Rows of the batch: the prompt's last positions, at least one.
    pub rows: Range<usize>,
    /// Positions that the cache holds already.
    pub reused: usize,
    pub cache: PromptCache,
}

/// Stores the keys and values of prompts and attends causally within each.
pub(super) struct PromptAttention<'a> {
    pub shape: AttentionShape,
    pub layer: usize,
    pub qkv: &'a [f32],
    pub prompts: &'a mut [PromptRows],
    /// Whether only each prompt's last row is wanted, in the order of the prompts.
    pub last_only: bool,
    pub mixed: &'a mut [f32],
    pub scores: &'a mut Vec<f32>,
}

impl WithSimd for PromptAttention<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { shape, layer, qkv, prompts, last_only, mixed, scores } = self;
        let (width, stride, head_dim) = (shape.query(), shape.qkv(), shape.cache.head_dim);
        let mut written = 0;
        for PromptRows { rows, reused, cache } in prompts {
            let qkv = &qkv[rows.start * stride..rows.end * stride];
            for (row, position) in qkv.chunks_exact(stride).zip(*reused..) {
                for (head, (key, value)) in shape.keys_and_values(row).enumerate() {
                    cache.write(shape.cache, (layer, head), position, key, value);
                }
            }
            let mut from = if last_only { rows.len() - 1 } else { 0 };
            while from < rows.len() {
                let to = rows.len().min(from + QUERY_BLOCK);
                let (count, positions) = (to - from, *reused + to);
                let padded = positions.next_multiple_of(PANEL);
                scores.resize(count * padded, 0.0);
                for head in 0..shape.heads {
                    let at = shape.at(layer, head);
                    let queries = Input { values: &qkv[from * stride + head * head_dim..], stride };
                    shape.score(simd, at, (count, queries), (cache, positions), (scores, padded));
                    for (row, scores) in scores.chunks_exact_mut(padded).enumerate() {
                        softmax(scores, *reused + from + row + 1..padded);
                    }
                    let weights = Input { values: scores, stride: padded };
                    let mixed = &mut mixed[written * width + head * head_dim..];
                    shape.mix(simd, at, (count, weights), (cache, positions), mixed);
                }
                written += count;
                from = to;
            }
        }
    }
}

/// Softmax of a row of scores of which a range is padding: its weights become exactly 0.
#[inline(always)]
fn softmax(row: &mut [f32], padding: Range<usize>) {
    row[padding.clone()].fill(f32::MIN);
    normalise(row);
    row[padding].fill(0.0);
}

/// Softmax. Padding must be [`f32::MIN`]: its terms are e^-86 each and vanish in the rounding of the sum, which is at
/// least 1, so the result does not depend on how much of it there is.
#[inline(always)]
fn normalise(row: &mut [f32]) {
    let maximum = maximum(row);
    let scale = 1.0 / exponentiate(row, maximum, 1.0);
    for weight in row {
        *weight *= scale;
    }
}

/// Samples of one prompt that read one more token each.
pub(super) struct SampleRows<'a> {
    /// Rows of the batch, one for each sample.
    pub rows: Range<usize>,
    pub prompt: &'a PromptCache,
    /// Positions of the prompt.
    pub length: usize,
    /// Tokens that each sample has stored before this one.
    pub stored: usize,
}

/// Stores the keys and values of one more token of every sample and attends over its prompt and its own tokens.
pub(super) struct SampleAttention<'a> {
    pub shape: AttentionShape,
    pub layer: usize,
    /// Rows from the first sample's on, as in `mixed`.
    pub qkv: &'a [f32],
    pub groups: &'a [SampleRows<'a>],
    /// Which of `caches` each row uses.
    pub slots: &'a [usize],
    pub caches: &'a mut [SampleCache],
    pub mixed: &'a mut [f32],
    pub scores: &'a mut Vec<f32>,
}

impl WithSimd for SampleAttention<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { shape, layer, qkv, groups, slots, caches, mixed, scores } = self;
        let (width, stride, head_dim) = (shape.query(), shape.qkv(), shape.cache.head_dim);
        for &SampleRows { ref rows, prompt, length, stored } in groups {
            let own = stored + 1;
            let qkv = &qkv[rows.start * stride..rows.end * stride];
            let slots = &slots[rows.clone()];
            for (row, &slot) in qkv.chunks_exact(stride).zip(slots) {
                for (head, (key, value)) in shape.keys_and_values(row).enumerate() {
                    caches[slot].write(shape.cache, (layer, head), stored, key, value);
                }
            }
            // A row of scores: the prompt's, padding, the sample's own, padding.
            let own_start = length.next_multiple_of(PANEL);
            let padded = (own_start + own).next_multiple_of(PANEL);
            scores.resize(rows.len() * padded, 0.0);
            for head in 0..shape.heads {
                let at = shape.at(layer, head);
                let queries = Input { values: &qkv[head * head_dim..], stride };
                let prompt = (prompt, length);
                shape.score(simd, at, (rows.len(), queries), prompt, (scores, padded));
                for (row, &slot) in slots.iter().enumerate() {
                    let scores = &mut scores[row * padded..][..padded];
                    scores[length..].fill(f32::MIN);
                    let query = &qkv[row * stride + head * head_dim..][..head_dim];
                    let keys = caches[slot].keys(shape.cache, at, own);
                    let own_scores = scores[own_start..].iter_mut();
                    for (score, key) in own_scores.zip(keys.chunks_exact(head_dim)) {
                        *score = dot(simd, query, key);
                    }
                    normalise(scores);
                }
                let weights = Input { values: scores, stride: padded };
                let start = rows.start * width + head * head_dim;
                shape.mix(simd, at, (rows.len(), weights), prompt, &mut mixed[start..]);
                for (row, &slot) in slots.iter().enumerate() {
                    let weights = &scores[row * padded + own_start..][..own];
                    let values = caches[slot].values(shape.cache, at, own);
                    let mixed = &mut mixed[start + row * width..][..head_dim];
                    add_weighted(simd, weights, values, mixed);
                }
            }
        }
    }
}
