//! The one matrix product that everything is built from: rows of activations times packed panels.
//!
//! Every output element is a single chain of fused multiply-adds over `k` in ascending order. It does not depend on
//! which rows are computed together, so a request's result is the same bit for bit in every batch.

use pulp::Simd;

/// Columns of a panel: two AVX2 registers, or one of AVX-512. With six rows, twelve accumulators fit sixteen registers.
pub(super) const PANEL: usize = 16;
/// A panel's elements of one `k`.
pub(super) type Lane = [f32; PANEL];
/// Most rows of a tile.
pub(super) const TILE: usize = 6;

/// Heights of the tiles of `rows` rows, nearly equal: a low tile cannot hide the latency of its multiply-adds.
pub(super) fn tile_heights(rows: usize) -> impl Iterator<Item = usize> {
    let mut rest = rows;
    (1..=rows.div_ceil(TILE)).rev().map(move |left| {
        let height = rest.div_ceil(left);
        rest -= height;
        height
    })
}

/// Most panels that are multiplied together. Where one register holds a lane, the rows of a tile alone are too few chains
/// to hide the latency of a multiply-add.
pub(super) const TOGETHER: usize = 2;

/// Where the chains start.
#[derive(Clone, Copy)]
pub(super) enum Start<'a> {
    /// At 0.
    Zero,
    /// At the same numbers in every row, a lane for each panel.
    Bias(&'a [Lane]),
    /// At what is in the output.
    Output,
}

/// Where a product goes: row `i` of panel `p` is `values[p * next + i * stride..][..PANEL]`.
pub(super) struct Output<'a> {
    pub values: &'a mut [f32],
    pub stride: usize,
    pub next: usize,
}

impl Output<'_> {
    /// The output from `offset` on.
    #[inline(always)]
    fn from(&mut self, offset: usize) -> Output<'_> {
        Output { values: &mut self.values[offset..], stride: self.stride, next: self.next }
    }
}

/// Left operand of a tile of `M` rows: their elements of one `k`.
trait Left<const M: usize> {
    fn at(&self, k: usize) -> [f32; M];
}

/// Rows that lie apart.
struct Strided<'a, const M: usize>([&'a [f32]; M]);

impl<const M: usize> Left<M> for Strided<'_, M> {
    #[inline(always)]
    fn at(&self, k: usize) -> [f32; M] {
        std::array::from_fn(|row| self.0[row][k])
    }
}

impl<const M: usize> Left<M> for &[[f32; M]] {
    #[inline(always)]
    fn at(&self, k: usize) -> [f32; M] {
        self[k]
    }
}

/// `out[p][i] = start + sum over k of input[i][k] * panels[p][k]`, where row `i` is `input[i * stride..]`. One panel or
/// [`TOGETHER`], of the same length.
#[inline(always)]
pub(super) fn multiply<S: Simd>(
    simd: S,
    rows: usize,
    (input, stride): (&[f32], usize),
    panels: &[&[Lane]],
    start: Start<'_>,
    out: &mut Output<'_>,
) {
    let mut row = 0;
    for height in tile_heights(rows) {
        let input = &input[row * stride..];
        let mut out = out.from(row * out.stride);
        match height {
            6 => strided::<S, 6>(simd, input, stride, panels, start, &mut out),
            5 => strided::<S, 5>(simd, input, stride, panels, start, &mut out),
            4 => strided::<S, 4>(simd, input, stride, panels, start, &mut out),
            3 => strided::<S, 3>(simd, input, stride, panels, start, &mut out),
            2 => strided::<S, 2>(simd, input, stride, panels, start, &mut out),
            _ => strided::<S, 1>(simd, input, stride, panels, start, &mut out),
        }
        row += height;
    }
}

#[inline(always)]
fn strided<S: Simd, const M: usize>(
    simd: S,
    input: &[f32],
    stride: usize,
    panels: &[&[Lane]],
    start: Start<'_>,
    out: &mut Output<'_>,
) {
    // Sliced to one length that the loop shares, so that the compiler drops the bounds checks in it.
    let length = panels[0].len();
    let rows = Strided::<M>(std::array::from_fn(|row| &input[row * stride..][..length]));
    tile(simd, &rows, panels, start, out);
}

/// As [`multiply`], for one tile whose rows are packed: `input[k * height + i]`.
#[inline(always)]
pub(super) fn multiply_packed<S: Simd>(
    simd: S,
    height: usize,
    input: &[f32],
    panels: &[&[Lane]],
    start: Start<'_>,
    out: &mut Output<'_>,
) {
    match height {
        6 => packed::<S, 6>(simd, input, panels, start, out),
        5 => packed::<S, 5>(simd, input, panels, start, out),
        4 => packed::<S, 4>(simd, input, panels, start, out),
        3 => packed::<S, 3>(simd, input, panels, start, out),
        2 => packed::<S, 2>(simd, input, panels, start, out),
        _ => packed::<S, 1>(simd, input, panels, start, out),
    }
}

#[inline(always)]
fn packed<S: Simd, const M: usize>(
    simd: S,
    input: &[f32],
    panels: &[&[Lane]],
    start: Start<'_>,
    out: &mut Output<'_>,
) {
    let rows = &input.as_chunks::<M>().0[..panels[0].len()];
    tile(simd, &rows, panels, start, out);
}

#[inline(always)]
fn tile<S: Simd, const M: usize>(
    simd: S,
    input: &impl Left<M>,
    panels: &[&[Lane]],
    start: Start<'_>,
    out: &mut Output<'_>,
) {
    if let (PANEL, &[first, second]) = (S::F32_LANES, panels) {
        return tile_of::<S, 1, TOGETHER, M>(simd, input, [first, second], start, out);
    }
    for (index, &panel) in panels.iter().enumerate() {
        let start = match start {
            Start::Bias(lanes) => Start::Bias(&lanes[index..]),
            same => same,
        };
        let mut out = out.from(index * out.next);
        match S::F32_LANES {
            16 => tile_of::<S, 1, 1, M>(simd, input, [panel], start, &mut out),
            8 => tile_of::<S, 2, 1, M>(simd, input, [panel], start, &mut out),
            4 => tile_of::<S, 4, 1, M>(simd, input, [panel], start, &mut out),
            2 => tile_of::<S, 8, 1, M>(simd, input, [panel], start, &mut out),
            _ => tile_of::<S, 16, 1, M>(simd, input, [panel], start, &mut out),
        }
    }
}

/// `V` registers make a [`Lane`].
#[inline(always)]
fn tile_of<S: Simd, const V: usize, const P: usize, const M: usize>(
    simd: S,
    input: &impl Left<M>,
    panels: [&[Lane]; P],
    start: Start<'_>,
    out: &mut Output<'_>,
) {
    let load = |lane: &[f32]| -> [S::f32s; V] {
        let registers = S::as_simd_f32s(lane).0;
        std::array::from_fn(|v| registers[v])
    };
    let length = panels[0].len();
    let panels = panels.map(|panel| &panel[..length]);
    let mut sums: [[[S::f32s; V]; P]; M] = match start {
        Start::Zero => [[[simd.splat_f32s(0.0); V]; P]; M],
        Start::Bias(lanes) => [std::array::from_fn(|p| load(&lanes[p])); M],
        Start::Output => std::array::from_fn(|row| {
            std::array::from_fn(|p| load(&out.values[p * out.next + row * out.stride..][..PANEL]))
        }),
    };
    for (k, _) in panels[0].iter().enumerate() {
        let factors = input.at(k);
        let registers: [[S::f32s; V]; P] = std::array::from_fn(|p| load(&panels[p][k]));
        for (sums, factor) in sums.iter_mut().zip(factors) {
            let factor = simd.splat_f32s(factor);
            for p in 0..P {
                for v in 0..V {
                    sums[p][v] = simd.mul_add_e_f32s(factor, registers[p][v], sums[p][v]);
                }
            }
        }
    }
    for (row, sums) in sums.iter().enumerate() {
        for (p, sums) in sums.iter().enumerate() {
            let target = &mut out.values[p * out.next + row * out.stride..][..PANEL];
            S::as_mut_simd_f32s(target).0.copy_from_slice(sums);
        }
    }
}
