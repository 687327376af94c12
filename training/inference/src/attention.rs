//! Causal attention of a pass's rows over the blocks of their sequences.

use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};

use super::elementwise::{rms_norm, rotate, soft_cap, softmax, vectorised};
use super::kernel::{Lane, Output, PANEL, Start, TOGETHER, multiply};
use super::linear::{Linear, Packed, Panels};
use super::pages::{CacheShape, Table};
use super::team::Team;

/// Rows of a sequence that are scored together: enough for whole tiles, few enough to waste little above the diagonal.
const QUERY_BLOCK: usize = 12;

/// What attention needs to know of a layer. Queries, keys and values lie in this order in a row of the projection, each
/// head from a new panel on.
pub(super) struct Heads<'a> {
    pub cache: CacheShape,
    /// Query heads; a multiple of the key/value heads.
    pub heads: usize,
    /// What a query is multiplied by, which saves dividing every score.
    pub scale: f32,
    /// Soft cap of the scores.
    pub cap: Option<f32>,
    /// Positions that a row sees, its own included; none for all.
    pub window: Option<usize>,
    /// RMSNorm over each query and key head: their weights `[head_dim]`, and epsilon.
    pub norms: Option<(&'a [f32], &'a [f32], f32)>,
    /// Pairs of a head that are rotated, and their tables, `[positions, pairs]`.
    pub pairs: usize,
    pub cosines: &'a [f32],
    pub sines: &'a [f32],
}

/// Consecutive rows of one sequence.
pub(super) struct Sequence<'a> {
    pub rows: Range<usize>,
    /// Position of the first row.
    pub position: usize,
    /// How many of its last rows' final states are wanted.
    pub wanted: usize,
    pub table: &'a mut Table,
}

/// Rows whose first blocks are the same, so that they are scored together.
#[derive(Debug, Clone)]
pub(super) struct Unit {
    /// The sequences that the rows are of: one, or one for each row.
    sequences: Range<usize>,
    /// Rows of the projection.
    rows: Range<usize>,
    /// Row of the result that the first of them becomes.
    target: usize,
    /// How many blocks they have in common.
    common: usize,
}

impl Unit {
    /// Rows of one sequence, in units of a few.
    pub fn of_sequence(
        index: usize,
        sequence: &Sequence<'_>,
        rows: Range<usize>,
        target: usize,
    ) -> impl Iterator<Item = Self> {
        let offset = sequence.position - sequence.rows.start;
        let first = rows.start;
        rows.clone().step_by(QUERY_BLOCK).map(move |start| {
            let rows = start..rows.end.min(start + QUERY_BLOCK);
            let common = (rows.end + offset).div_ceil(PANEL);
            Self { sequences: index..index + 1, target: target + start - first, rows, common }
        })
    }

    /// One row of each of several sequences whose first `common` blocks are the same.
    pub fn of_group(
        sequences: Range<usize>,
        rows: Range<usize>,
        target: usize,
        common: usize,
    ) -> Self {
        Self { sequences, rows, target, common }
    }

    fn sequence<'a, 'b>(&self, all: &'a [Sequence<'b>], index: usize) -> &'a Sequence<'b> {
        let several = self.sequences.len() > 1;
        &all[self.sequences.start + if several { index } else { 0 }]
    }

    /// Positions that a row of the unit sees, its own included.
    fn length(&self, all: &[Sequence<'_>], row: usize) -> usize {
        let sequence = self.sequence(all, row);
        let before =
            if self.sequences.len() > 1 { 0 } else { self.rows.start + row - sequence.rows.start };
        sequence.position + before + 1
    }
}

impl Heads<'_> {
    /// Query heads that share a key/value head.
    fn group(&self) -> usize {
        self.heads / self.cache.heads
    }

    /// Elements of a head's panels.
    fn padded(&self) -> usize {
        self.cache.panels() * PANEL
    }

    /// Elements of a row of the result: every query head's panels.
    pub fn width(&self) -> usize {
        self.heads * self.padded()
    }

    /// Positions that the last of `length` sees.
    fn seen(&self, length: usize) -> Range<usize> {
        self.window.map_or(0, |window| length.saturating_sub(window))..length
    }

    /// Normalises and rotates a head.
    #[inline(always)]
    fn place(&self, head: &mut [f32], weight: Option<(&[f32], f32)>, position: usize) {
        let (dim, pairs) = (self.cache.head_dim, self.pairs);
        if let Some((weight, epsilon)) = weight {
            rms_norm(&mut head[..dim], weight, epsilon);
        }
        let cosines = &self.cosines[position * pairs..][..pairs];
        let sines = &self.sines[position * pairs..][..pairs];
        rotate(&mut head[..2 * pairs], cosines, sines);
    }

    /// Normalises each row's query and key, over all of their heads.
    pub fn normalise(
        &self,
        arch: Arch,
        qkv: &mut Panels,
        (query, key, epsilon): (&[f32], &[f32], f32),
    ) {
        let (dim, panels) = (self.cache.head_dim, self.cache.panels());
        let mut values = Vec::new();
        vectorised(
            arch,
            #[inline(always)]
            || {
                for row in 0..qkv.rows() {
                    for (first, weight) in [(0, query), (self.heads, key)] {
                        values.resize(weight.len(), 0.0);
                        for (head, values) in (first..).zip(values.chunks_exact_mut(dim)) {
                            qkv.read(head * panels, row, values);
                        }
                        rms_norm(&mut values, weight, epsilon);
                        for (head, values) in (first..).zip(values.chunks_exact(dim)) {
                            for (panel, values) in (head * panels..).zip(values.chunks(PANEL)) {
                                qkv.lane_mut(panel, row)[..values.len()].copy_from_slice(values);
                            }
                        }
                    }
                }
            },
        );
    }

    /// Stores the keys and values of all rows.
    pub fn store(&self, arch: Arch, layer: usize, qkv: &Panels, sequences: &mut [Sequence<'_>]) {
        arch.dispatch(Store { heads: self, layer, qkv, sequences });
    }

    /// Attends into `mixed`, unit by unit `[key/value head, row, query head of it, panels, PANEL]`.
    pub fn attend(
        &self,
        (team, arch): (&Team, Arch),
        layer: usize,
        qkv: &Panels,
        sequences: &[Sequence<'_>],
        units: &[Unit],
        mixed: &mut Vec<f32>,
    ) {
        let rows: usize = units.iter().map(|unit| unit.rows.len()).sum();
        mixed.resize(rows * self.width(), 0.0);
        let mut tasks = Vec::with_capacity(units.len() * self.cache.heads);
        let mut rest = mixed.as_mut_slice();
        for unit in units {
            for head in 0..self.cache.heads {
                let (out, later) =
                    rest.split_at_mut(unit.rows.len() * self.group() * self.padded());
                tasks.push(Attend { heads: self, at: (layer, head), qkv, sequences, unit, out });
                rest = later;
            }
        }
        team.each(tasks, |task| {
            SCRATCH.with_borrow_mut(|scratch| arch.dispatch(WithScratch { task, scratch }));
        });
    }

    /// Packs the result of [`Self::attend`] for the output projection.
    pub fn pack(
        &self,
        (team, output): (&Team, &Linear),
        units: &[Unit],
        mixed: &[f32],
        packed: &mut Packed,
    ) {
        let (width, group, padded) = (self.width(), self.group(), self.padded());
        let mut places = Vec::new();
        for unit in units {
            places.extend((0..unit.rows.len()).map(|row| (unit.target, unit.rows.len(), row)));
        }
        packed.fill(team, output, places.len(), |row, out| {
            let (target, count, row) = places[row];
            let unit = &mixed[target * width..][..count * width];
            for (head, out) in out.chunks_exact_mut(group * padded).enumerate() {
                out.copy_from_slice(
                    &unit[(head * count + row) * group * padded..][..group * padded],
                );
            }
        });
    }
}

struct Store<'a, 'b> {
    heads: &'a Heads<'a>,
    layer: usize,
    qkv: &'a Panels,
    sequences: &'a mut [Sequence<'b>],
}

impl WithSimd for Store<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { heads, layer, qkv, sequences } = self;
        let (panels, count) = (heads.cache.panels(), heads.cache.heads);
        let norm = heads.norms.map(|(_, weight, epsilon)| (weight, epsilon));
        let (mut key, mut value) = (vec![0.0; heads.padded()], vec![0.0; heads.padded()]);
        for Sequence { rows, position, table, .. } in sequences {
            for (row, position) in rows.clone().zip(*position..) {
                for head in 0..count {
                    qkv.read((heads.heads + head) * panels, row, &mut key);
                    qkv.read((heads.heads + count + head) * panels, row, &mut value);
                    heads.place(&mut key, norm, position);
                    table.writable(position).write((layer, head), position, &key, &value);
                }
            }
        }
    }
}

/// Buffers of a thread.
#[derive(Default)]
struct Scratch {
    queries: Vec<f32>,
    scores: Vec<f32>,
    /// Keys or values in 32 bits.
    wide: [Vec<Lane>; TOGETHER],
}

thread_local! {
    static SCRATCH: std::cell::RefCell<Scratch> = std::cell::RefCell::default();
}

/// The attention of a unit's rows in one key/value head.
struct Attend<'a, 'b> {
    heads: &'a Heads<'a>,
    at: (usize, usize),
    qkv: &'a Panels,
    sequences: &'a [Sequence<'b>],
    unit: &'a Unit,
    /// `[row, query head, panels, PANEL]`.
    out: &'a mut [f32],
}

struct WithScratch<'a, 'b, 'c> {
    task: Attend<'a, 'b>,
    scratch: &'c mut Scratch,
}

impl WithSimd for WithScratch<'_, '_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Attend { heads, at, qkv, sequences, unit, out } = self.task;
        let Scratch { queries, scores, wide } = self.scratch;
        let (group, width, scale) = (heads.group(), heads.padded(), heads.scale);
        let norm = heads.norms.map(|(weight, _, epsilon)| (weight, epsilon));
        let count = unit.rows.len();
        queries.resize(count * group * width, 0.0);
        // Blocks before the first that some row sees are not read.
        let (mut longest, mut first) = (0, usize::MAX);
        let length = |row: usize| unit.length(sequences, row);
        for (row, heads_of_row) in queries.chunks_exact_mut(group * width).enumerate() {
            longest = longest.max(length(row));
            first = first.min(heads.seen(length(row)).start / PANEL);
            for (index, query) in heads_of_row.chunks_exact_mut(width).enumerate() {
                let head = at.1 * group + index;
                qkv.read(head * heads.cache.panels(), unit.rows.start + row, query);
                heads.place(query, norm, length(row) - 1);
                query.iter_mut().for_each(|x| *x *= scale);
            }
        }
        let padded = longest.next_multiple_of(PANEL);
        scores.resize(count * group * padded, 0.0);
        let (queries, scores) = (queries.as_slice(), scores.as_mut_slice());
        let common = first.min(unit.common)..unit.common;
        let blocks = |row: usize| first.max(unit.common)..length(row).div_ceil(PANEL);

        let span = |row: usize, count: usize| Span {
            at,
            table: unit.sequence(sequences, row).table,
            rows: count * group,
            length: if count == 1 { length(row) } else { longest },
            first,
        };
        let all = span(0, count);
        all.score(simd, common.clone(), (queries, width), (&mut *scores, padded), wide);
        for row in 0..count {
            let queries = &queries[row * group * width..];
            let scores = &mut scores[row * group * padded..][..group * padded];
            span(row, 1).score(simd, blocks(row), (queries, width), (scores, padded), wide);
            for scores in scores.chunks_exact_mut(padded) {
                let seen = heads.seen(length(row));
                if let Some(cap) = heads.cap {
                    soft_cap(&mut scores[seen.clone()], cap);
                }
                softmax(scores, seen);
            }
        }
        all.mix(simd, common, (scores, padded), (&mut *out, width), wide);
        for row in 0..count {
            let scores = &scores[row * group * padded..];
            let out = &mut out[row * group * width..];
            span(row, 1).mix(simd, blocks(row), (scores, padded), (out, width), wide);
        }
    }
}

/// Query rows that read the same blocks of one key/value head.
struct Span<'a> {
    at: (usize, usize),
    table: &'a Table,
    rows: usize,
    /// Positions that were written.
    length: usize,
    /// The first block that is read.
    first: usize,
}

/// Rows with the distance of one from the next.
type Strided<T> = (T, usize);

impl Span<'_> {
    /// Products of the queries with the keys of some blocks: `scores[row][position]`.
    #[inline(always)]
    fn score<S: Simd>(
        &self,
        simd: S,
        blocks: Range<usize>,
        queries: Strided<&[f32]>,
        (scores, stride): Strided<&mut [f32]>,
        [first, second]: &mut [Vec<Lane>; TOGETHER],
    ) {
        for block in blocks.clone().step_by(TOGETHER) {
            let keys = self.table.block(block).keys(self.at, first);
            let mut panels = [keys; TOGETHER];
            let pair = block + 1 < blocks.end;
            if pair {
                panels[1] = self.table.block(block + 1).keys(self.at, second);
            }
            let panels = &panels[..1 + usize::from(pair)];
            let values = &mut scores[block * PANEL..];
            let mut out = Output { values, stride, next: PANEL };
            multiply(simd, self.rows, queries, panels, Start::Zero, &mut out);
        }
    }

    /// Adds the values of some blocks, weighted, to `out[row][dimension]`; the first block overwrites what is there.
    #[inline(always)]
    fn mix<S: Simd>(
        &self,
        simd: S,
        blocks: Range<usize>,
        (weights, weight_stride): Strided<&[f32]>,
        (out, stride): Strided<&mut [f32]>,
        [first, second]: &mut [Vec<Lane>; TOGETHER],
    ) {
        let count = stride / PANEL;
        for panel in (0..count).step_by(TOGETHER) {
            for index in blocks.clone() {
                let block = self.table.block(index);
                // Only written positions are read: others may hold NaN, and 0 times NaN is NaN.
                let written = PANEL.min(self.length - index * PANEL);
                let mut panels = [block.values(self.at, panel, written, first); TOGETHER];
                let pair = panel + 1 < count;
                if pair {
                    panels[1] = block.values(self.at, panel + 1, written, second);
                }
                let panels = &panels[..1 + usize::from(pair)];
                let start = if index == self.first { Start::Zero } else { Start::Output };
                let weights = (&weights[index * PANEL..], weight_stride);
                let values = &mut out[panel * PANEL..];
                let mut out = Output { values, stride, next: PANEL };
                multiply(simd, self.rows, weights, panels, start, &mut out);
            }
        }
    }
}
