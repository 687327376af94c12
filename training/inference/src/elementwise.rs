//! What is done to single rows: RMSNorm, SwiGLU, rotation, softmax.
//!
//! Plain loops that the compiler vectorises: they are `#[inline(always)]` so that they are compiled for the vector
//! unit that [`pulp`] found. Sums run in eight fixed lanes, whatever the vector unit's width.

use std::ops::Range;

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

/// Divides a row by its root mean square and multiplies by a weight (Zhang & Sennrich, arXiv 1910.07467).
#[inline(always)]
pub(super) fn rms_norm(row: &mut [f32], weight: &[f32], epsilon: f32) {
    let mean_square = sum_pairs(row, row, |x, y| x * y) / row.len() as f32;
    let scale = 1.0 / (mean_square + epsilon).sqrt();
    for (x, &weight) in row.iter_mut().zip(weight) {
        *x = *x * scale * weight;
    }
}

/// `silu(gate) * up`, in place of the gate (Shazeer, arXiv 2002.05202).
#[inline(always)]
pub(super) fn swiglu(gate: &mut [f32], up: &[f32]) {
    for (gate, &up) in gate.iter_mut().zip(up) {
        *gate = *gate / (1.0 + exp(-*gate)) * up;
    }
}

/// `gelu(gate) * up`, in place of the gate, by the tanh approximation (Hendrycks & Gimpel, arXiv 1606.08415): `x / 2 * (1 +
/// tanh(z))` is `x * sigmoid(2 z)`.
#[inline(always)]
pub(super) fn geglu(gate: &mut [f32], up: &[f32]) {
    const ROOT: f32 = 0.797_884_6;
    for (gate, &up) in gate.iter_mut().zip(up) {
        let x = *gate;
        let z = ROOT * (x + 0.044_715 * x * x * x);
        *gate = x / (1.0 + exp(-2.0 * z)) * up;
    }
}

/// `cap * tanh(x / cap)` of each element.
#[inline(always)]
pub(super) fn soft_cap(row: &mut [f32], cap: f32) {
    let slope = 2.0 / cap;
    for x in row {
        // An odd function: of a positive argument the exponential is at least 1, and nothing overflows.
        let raised = exp(x.abs() * slope);
        *x = (cap * ((raised - 1.0) / (raised + 1.0))).copysign(*x);
    }
}

/// Turns the pairs `(i, i + head_dim / 2)` of a head by a position's angles, each table `[head_dim / 2]`.
#[inline(always)]
pub(super) fn rotate(head: &mut [f32], cosines: &[f32], sines: &[f32]) {
    let (low, high) = head.split_at_mut(head.len() / 2);
    for (((x, y), &cosine), &sine) in low.iter_mut().zip(high).zip(cosines).zip(sines) {
        (*x, *y) = (*x * cosine - *y * sine, *y * cosine + *x * sine);
    }
}

/// Softmax of a row of scores of which only a range is seen: the weights of the others become exactly 0. Until then they
/// stand as [`f32::MIN`]: their terms are e^-86 each and vanish in the rounding of the sum, which is at least 1, so the
/// result does not depend on how many there are.
#[inline(always)]
pub(super) fn softmax(row: &mut [f32], seen: Range<usize>) {
    row[..seen.start].fill(f32::MIN);
    row[seen.end..].fill(f32::MIN);
    let maximum = maximum(row);
    let scale = 1.0 / exponentiate(row, maximum, 1.0);
    for weight in &mut row[seen.clone()] {
        *weight *= scale;
    }
    row[..seen.start].fill(0.0);
    row[seen.end..].fill(0.0);
}

/// Runs a function over rows compiled for the vector unit that was found.
pub(super) fn vectorised<R>(arch: Arch, work: impl FnOnce() -> R) -> R {
    struct Work<F>(F);
    impl<R, F: FnOnce() -> R> WithSimd for Work<F> {
        type Output = R;

        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) -> R {
            (self.0)()
        }
    }
    arch.dispatch(Work(work))
}

/// `e^((x - max) * factor)` of a row into `out`; returns the maximum and the sum.
pub(super) fn softmax_terms(
    arch: Arch,
    row: &[f32],
    factor: f32,
    out: &mut Vec<f32>,
) -> (f32, f32) {
    out.clear();
    out.extend_from_slice(row);
    vectorised(
        arch,
        #[inline(always)]
        || {
            let maximum = maximum(out);
            (maximum, exponentiate(out, maximum, factor))
        },
    )
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
        let mut row = [3.0, 4.0, 0.0, 10.0];
        rms_norm(&mut row, &[1.0, 2.0, 1.0, 2.0], 0.0);
        let root = 31.25f32.sqrt();
        for (found, expected) in row.iter().zip([3.0, 8.0, 0.0, 20.0]) {
            assert!((found - expected / root).abs() < 1e-6);
        }
    }

    #[test]
    fn swiglu_is_silu_of_the_gate_times_up() {
        let mut gate = [0.0, 1.0];
        swiglu(&mut gate, &[5.0, 2.0]);
        assert_eq!(gate[0], 0.0);
        assert!((gate[1] - 2.0 / (1.0 + (-1f32).exp())).abs() < 1e-6);
    }

    #[test]
    fn geglu_is_gelu_of_the_gate_times_up() {
        let mut gate = [0.0, 1.0, -2.0];
        geglu(&mut gate, &[5.0, 2.0, 1.0]);
        assert_eq!(gate[0], 0.0);
        // torch.nn.functional.gelu(x, approximate="tanh").
        assert!((gate[1] - 2.0 * 0.841_192).abs() < 1e-5);
        assert!((gate[2] - -0.045_402_3).abs() < 1e-6);
    }

    #[test]
    fn a_soft_cap_bends_towards_the_cap() {
        let mut row = [0.0, 1e-3, -1.0, 30.0, -1e4, 1e4];
        soft_cap(&mut row, 30.0);
        let expected = [0.0, 1e-3, -0.999_629_8, 22.847_825, -30.0, 30.0];
        for (found, expected) in row.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-5, "{found} {expected}");
        }
    }

    #[test]
    fn softmax_sees_a_window() {
        let mut row = [9.0, 1.0, 2.0, 7.0];
        softmax(&mut row, 1..3);
        assert_eq!((row[0], row[3]), (0.0, 0.0));
        assert!((row[1] - 1.0 / (1.0 + 1f32.exp())).abs() < 1e-6);
    }

    #[test]
    fn softmax_does_not_depend_on_the_padding() {
        let scores: Vec<f32> = (0..19u8).map(|index| f32::from(index % 7) * 0.3).collect();
        let weights = |padded: usize| {
            let mut row = scores.clone();
            row.resize(padded, 7.0);
            softmax(&mut row, 0..scores.len());
            assert!(row[scores.len()..].iter().all(|&weight| weight == 0.0));
            row.truncate(scores.len());
            row
        };
        assert_eq!(weights(32), weights(96));
        assert!((weights(32).iter().sum::<f32>() - 1.0).abs() < 1e-6);
    }

    #[test]
    fn the_maximum_does_not_lose_the_tail() {
        let x: Vec<f32> = (1..=19u8).map(f32::from).collect();
        assert_eq!(maximum(&x), 19.0);
        assert_eq!(maximum(&[]), f32::NEG_INFINITY);
    }
}
