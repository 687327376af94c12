//! What is done to single rows: RMSNorm, SwiGLU, rotation, softmax, dot products.
//!
//! Plain loops that the compiler vectorises: they are `#[inline(always)]` so that they are compiled for the vector
//! unit that [`pulp`] found. Sums run in eight fixed lanes, whatever the vector unit's width.

use pulp::{Arch, Simd, WithSimd};

const LANES: usize = 8;

/// `e^x` with a relative error below 2e-7, clamped to x in [-86.6, 88]; the same bits on every machine.
///
/// Cephes' scheme: `x = n ln 2 + r`, a polynomial for `e^r`, and `n` added to the exponent.
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    // Adding 1.5 * 2^23 rounds to an integer and leaves it in the low bits.
    const ROUND: f32 = 12_582_912.0;
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let x = x.clamp(-86.6, 88.0);
    let rounded = x * std::f32::consts::LOG2_E + ROUND;
    let n = rounded - ROUND;
    let r = x - n * LN2_HIGH - n * LN2_LOW;
    let p = 1.987_569_1e-4;
    let p = p * r + 1.398_199_9e-3;
    let p = p * r + 8.333_452e-3;
    let p = p * r + 4.166_579_6e-2;
    let p = p * r + 0.166_666_65;
    let p = p * r + 0.5;
    let power = p * (r * r) + r + 1.0;
    f32::from_bits(power.to_bits().wrapping_add(rounded.to_bits() << 23))
}

/// Sum of `f(x, y)` over pairs, in fixed lanes.
#[inline(always)]
fn sum_pairs(x: &[f32], y: &[f32], f: impl Fn(f32, f32) -> f32) -> f32 {
    let (x, x_tail) = x.as_chunks::<LANES>();
    let (y, y_tail) = y.as_chunks::<LANES>();
    let mut lanes = [0.0; LANES];
    for (x, y) in x.iter().zip(y) {
        for i in 0..LANES {
            lanes[i] += f(x[i], y[i]);
        }
    }
    let tail: f32 = x_tail.iter().zip(y_tail).map(|(&x, &y)| f(x, y)).sum();
    lanes.iter().sum::<f32>() + tail
}

/// Scalar product.
#[inline(always)]
pub(super) fn dot<S: Simd>(simd: S, x: &[f32], y: &[f32]) -> f32 {
    let (x, x_tail) = S::as_simd_f32s(x);
    let (y, y_tail) = S::as_simd_f32s(y);
    let mut sums = simd.splat_f32s(0.0);
    for (&x, &y) in x.iter().zip(y) {
        sums = simd.mul_add_e_f32s(x, y, sums);
    }
    let tail: f32 = x_tail.iter().zip(y_tail).map(|(x, y)| x * y).sum();
    simd.reduce_sum_f32s(sums) + tail
}

/// `out += sum over rows of weight * row`, for rows as wide as `out`.
#[inline(always)]
pub(super) fn add_weighted<S: Simd>(simd: S, weights: &[f32], rows: &[f32], out: &mut [f32]) {
    /// Registers that sum at a time; they hide each other's latency and stay out of memory.
    const SUMS: usize = 4;
    let width = out.len();
    let weighted = || weights.iter().zip(rows.chunks_exact(width));
    let whole = width - width % (SUMS * S::F32_LANES);
    for (index, out) in S::as_mut_simd_f32s(&mut out[..whole]).0.chunks_exact_mut(SUMS).enumerate()
    {
        let mut sums: [S::f32s; SUMS] = std::array::from_fn(|i| out[i]);
        for (&weight, row) in weighted() {
            let weight = simd.splat_f32s(weight);
            let row = &S::as_simd_f32s(&row[..whole]).0[index * SUMS..][..SUMS];
            for i in 0..SUMS {
                sums[i] = simd.mul_add_e_f32s(weight, row[i], sums[i]);
            }
        }
        out.copy_from_slice(&sums);
    }
    for (&weight, row) in weighted() {
        for (out, &x) in out[whole..].iter_mut().zip(&row[whole..]) {
            *out += weight * x;
        }
    }
}

/// `max` over a row; `-inf` when it is empty.
#[inline(always)]
pub(super) fn maximum(row: &[f32]) -> f32 {
    let (chunks, tail) = row.as_chunks::<LANES>();
    let mut lanes = [f32::NEG_INFINITY; LANES];
    for chunk in chunks {
        for i in 0..LANES {
            lanes[i] = lanes[i].max(chunk[i]);
        }
    }
    lanes.iter().chain(tail).fold(f32::NEG_INFINITY, |max, &x| max.max(x))
}

/// Replaces `x` by `e^((x - maximum) * factor)` and returns the sum.
#[inline(always)]
pub(super) fn exponentiate(row: &mut [f32], maximum: f32, factor: f32) -> f32 {
    for x in &mut *row {
        *x = exp((*x - maximum) * factor);
    }
    sum_pairs(row, row, |x, _| x)
}

/// `out = input / rms(input) * weight`, a row at a time.
pub(super) struct RmsNorm<'a> {
    pub input: &'a [f32],
    pub weight: &'a [f32],
    pub epsilon: f32,
    pub out: &'a mut [f32],
}

impl WithSimd for RmsNorm<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let width = self.weight.len();
        for (input, out) in self.input.chunks_exact(width).zip(self.out.chunks_exact_mut(width)) {
            let mean_square = sum_pairs(input, input, |x, y| x * y) / width as f32;
            let scale = 1.0 / (mean_square + self.epsilon).sqrt();
            for ((out, &x), &weight) in out.iter_mut().zip(input).zip(self.weight) {
                *out = x * scale * weight;
            }
        }
    }
}

/// `out = silu(gate) * up` for rows of `[gate, up]`, each half `inner` wide.
pub(super) struct SwiGlu<'a> {
    pub inner: usize,
    pub gate_up: &'a [f32],
    pub out: &'a mut [f32],
}

impl WithSimd for SwiGlu<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let rows = self.gate_up.chunks_exact(2 * self.inner);
        for (row, out) in rows.zip(self.out.chunks_exact_mut(self.inner)) {
            let (gate, up) = row.split_at(self.inner);
            for ((out, &gate), &up) in out.iter_mut().zip(gate).zip(up) {
                *out = gate / (1.0 + exp(-gate)) * up;
            }
        }
    }
}

/// Rotates the query and key heads at the front of each `[query, key, value]` row.
pub(super) struct Rotate<'a> {
    pub qkv: &'a mut [f32],
    pub stride: usize,
    /// Query and key elements.
    pub rotated: usize,
    pub head_dim: usize,
    /// Position of each row.
    pub positions: &'a [usize],
    /// `[positions, head_dim / 2]`.
    pub cosines: &'a [f32],
    pub sines: &'a [f32],
}

impl WithSimd for Rotate<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let half = self.head_dim / 2;
        for (row, &position) in self.qkv.chunks_exact_mut(self.stride).zip(self.positions) {
            let cosines = &self.cosines[position * half..][..half];
            let sines = &self.sines[position * half..][..half];
            for head in row[..self.rotated].chunks_exact_mut(self.head_dim) {
                let (low, high) = head.split_at_mut(half);
                for (((x, y), &cosine), &sine) in low.iter_mut().zip(high).zip(cosines).zip(sines) {
                    (*x, *y) = (*x * cosine - *y * sine, *y * cosine + *x * sine);
                }
            }
        }
    }
}

/// `e^((x - max) * factor)` of a row into `out`; returns the maximum and the sum.
pub(super) fn softmax_terms(
    arch: Arch,
    row: &[f32],
    factor: f32,
    out: &mut Vec<f32>,
) -> (f32, f32) {
    struct Terms<'a>(&'a mut [f32], f32);
    impl WithSimd for Terms<'_> {
        type Output = (f32, f32);

        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) -> (f32, f32) {
            let maximum = maximum(self.0);
            (maximum, exponentiate(self.0, maximum, self.1))
        }
    }
    out.clear();
    out.extend_from_slice(row);
    arch.dispatch(Terms(out, factor))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_accurate() {
        for step in -8660..8800 {
            let x = step as f32 / 100.0;
            let exact = f64::from(x).exp();
            let error = (f64::from(exp(x)) / exact - 1.0).abs();
            assert!(error < 2e-7, "exp({x}) is off by {error}");
        }
        assert_eq!(exp(0.0), 1.0);
        assert!(exp(f32::NEG_INFINITY) < 1e-37);
        assert!(exp(1000.0).is_finite());
    }

    #[test]
    fn rms_norm_divides_by_the_root_mean_square() {
        let mut out = [0.0; 4];
        let input = [3.0, 4.0, 0.0, 10.0];
        Arch::new().dispatch(RmsNorm {
            input: &input,
            weight: &[1.0, 2.0],
            epsilon: 0.0,
            out: &mut out,
        });
        let root = 12.5f32.sqrt();
        assert_eq!(out[..2], [3.0 * (1.0 / root), 8.0 * (1.0 / root)]);
        assert!((out[3] - 2.0 * 2f32.sqrt()).abs() < 1e-6);
    }

    #[test]
    fn swiglu_is_silu_of_the_gate_times_up() {
        let mut out = [0.0; 2];
        Arch::new().dispatch(SwiGlu { inner: 2, gate_up: &[0.0, 1.0, 5.0, 2.0], out: &mut out });
        assert_eq!(out[0], 0.0);
        assert!((out[1] - 2.0 / (1.0 + (-1f32).exp())).abs() < 1e-6);
    }

    /// The first row's square, and `out += 2 * first row + 3 * second row`.
    struct Both<'a>(&'a [f32], &'a mut [f32]);

    impl WithSimd for Both<'_> {
        type Output = f32;

        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) -> f32 {
            let Self(rows, out) = self;
            let first = &rows[..out.len()];
            add_weighted(simd, &[2.0, 3.0], rows, out);
            dot(simd, first, first)
        }
    }

    #[test]
    fn sums_do_not_lose_the_tail() {
        let x: Vec<f32> = (1..=19u8).map(f32::from).collect();
        for width in [19, 32, 33, 70] {
            let rows: Vec<f32> = (0..2 * width).map(|index| index as f32).collect();
            let mut out = vec![1.0; width];
            let found = Arch::new().dispatch(Both(&rows, &mut out));
            let squares: usize = (0..width).map(|index| index * index).sum();
            assert_eq!(found, squares as f32);
            let expected = |index: usize| (1 + 2 * index + 3 * (width + index)) as f32;
            assert_eq!(out, (0..width).map(expected).collect::<Vec<_>>());
        }
        assert_eq!(maximum(&x), 19.0);
        assert_eq!(maximum(&[]), f32::NEG_INFINITY);
    }
}
