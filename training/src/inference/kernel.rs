//! The one matrix product that everything is built from: rows of activations times a packed panel.
//!
//! Every output element is a single chain of fused multiply-adds over `k` in ascending order. It does not depend on
//! which rows are computed together, so a request's result is the same bit for bit in every batch.

use pulp::Simd;

/// Columns of a panel: two AVX2 registers. With six rows, twelve accumulators fit sixteen registers.
pub(super) const PANEL: usize = 16;
/// A panel's elements of one `k`.
pub(super) type Lane = [f32; PANEL];
/// Most rows of a tile.
const TILE: usize = 6;

/// Left operand: row `i` is `values[i * stride..][..k]`.
#[derive(Clone, Copy)]
pub(super) struct Input<'a> {
    pub values: &'a [f32],
    pub stride: usize,
}

/// Where a product goes: row `i` is `values[i * stride..][..width]`.
pub(super) struct Output<'a> {
    pub values: &'a mut [f32],
    pub stride: usize,
    /// At most [`PANEL`].
    pub width: usize,
    /// Whether the product is added to what is there.
    pub accumulate: bool,
}

/// `out[i] = sum over k of input[i][k] * panel[k]` for `rows` rows.
#[inline(always)]
pub(super) fn multiply<S: Simd>(
    simd: S,
    rows: usize,
    input: Input<'_>,
    panel: &[Lane],
    out: &mut Output<'_>,
) {
    match S::F32_LANES {
        16 => multiply_with::<S, 1>(simd, rows, input, panel, out),
        8 => multiply_with::<S, 2>(simd, rows, input, panel, out),
        4 => multiply_with::<S, 4>(simd, rows, input, panel, out),
        2 => multiply_with::<S, 8>(simd, rows, input, panel, out),
        _ => multiply_with::<S, 16>(simd, rows, input, panel, out),
    }
}

/// `V` registers make a [`Lane`].
#[inline(always)]
fn multiply_with<S: Simd, const V: usize>(
    simd: S,
    rows: usize,
    input: Input<'_>,
    panel: &[Lane],
    out: &mut Output<'_>,
) {
    // Tiles of nearly equal height: a low one cannot hide the latency of its multiply-adds.
    let tiles = rows.div_ceil(TILE);
    let mut row = 0;
    for left in (1..=tiles).rev() {
        let height = (rows - row).div_ceil(left);
        match height {
            6 => tile::<S, V, 6>(simd, row, input, panel, out),
            5 => tile::<S, V, 5>(simd, row, input, panel, out),
            4 => tile::<S, V, 4>(simd, row, input, panel, out),
            3 => tile::<S, V, 3>(simd, row, input, panel, out),
            2 => tile::<S, V, 2>(simd, row, input, panel, out),
            _ => tile::<S, V, 1>(simd, row, input, panel, out),
        }
        row += height;
    }
}

#[inline(always)]
fn tile<S: Simd, const V: usize, const M: usize>(
    simd: S,
    row: usize,
    input: Input<'_>,
    panel: &[Lane],
    out: &mut Output<'_>,
) {
    let k = panel.len();
    // Sliced to one length that the loop shares, so that the compiler drops the bounds checks in it.
    let inputs: [&[f32]; M] =
        std::array::from_fn(|i| &input.values[(row + i) * input.stride..][..k]);
    let mut sums = [[simd.splat_f32s(0.0); V]; M];
    for (index, lane) in panel.iter().enumerate() {
        let registers = S::as_simd_f32s(lane).0;
        let registers: [S::f32s; V] = std::array::from_fn(|v| registers[v]);
        for i in 0..M {
            let factor = simd.splat_f32s(inputs[i][index]);
            for v in 0..V {
                sums[i][v] = simd.mul_add_e_f32s(factor, registers[v], sums[i][v]);
            }
        }
    }
    for (i, sums) in sums.iter().enumerate() {
        let target = &mut out.values[(row + i) * out.stride..][..out.width];
        if out.width == PANEL {
            let target = S::as_mut_simd_f32s(target).0;
            for v in 0..V {
                target[v] =
                    if out.accumulate { simd.add_f32s(target[v], sums[v]) } else { sums[v] };
            }
        } else {
            let mut whole = [0.0; PANEL];
            S::as_mut_simd_f32s(&mut whole).0.copy_from_slice(sums);
            for (target, sum) in target.iter_mut().zip(whole) {
                *target = if out.accumulate { *target + sum } else { sum };
            }
        }
    }
}
