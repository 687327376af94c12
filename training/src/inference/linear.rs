//! Weight matrices packed for [`super::kernel`].

use pulp::{Arch, Simd, WithSimd};

use super::kernel::{Input, Lane, Output, PANEL, multiply};

/// Rows that are taken through all panels together: their activations stay in the first-level cache's neighbour
/// while a panel is used for all of them. A multiple of the tile.
const BLOCK: usize = 96;

/// A linear layer without bias, or several that share their input.
pub(super) struct Linear {
    inputs: usize,
    outputs: usize,
    /// `[outputs / PANEL, inputs, PANEL]`; the last panel is filled up with zeros.
    panels: Vec<f32>,
}

impl Linear {
    /// Packs matrices in Hugging Face's layout `[outputs, inputs]`; their outputs follow one another.
    pub fn new(inputs: usize, matrices: &[&[f32]]) -> Self {
        let rows: Vec<&[f32]> =
            matrices.iter().flat_map(|matrix| matrix.chunks_exact(inputs)).collect();
        let mut panels = vec![0.0; rows.len().div_ceil(PANEL) * inputs * PANEL];
        for (output, row) in rows.iter().enumerate() {
            let panel = &mut panels[output / PANEL * inputs * PANEL..];
            for (input, &weight) in row.iter().enumerate() {
                panel[input * PANEL + output % PANEL] = weight;
            }
        }
        Self { inputs, outputs: rows.len(), panels }
    }

    /// `[rows, inputs] -> [rows, outputs]`; the product replaces what is in `out`.
    pub fn apply(&self, arch: Arch, input: &[f32], out: &mut [f32]) {
        arch.dispatch(Apply { linear: self, input, out, accumulate: false });
    }

    /// As [`Self::apply`], but adds the product to what is in `out`.
    pub fn apply_add(&self, arch: Arch, input: &[f32], out: &mut [f32]) {
        arch.dispatch(Apply { linear: self, input, out, accumulate: true });
    }
}

struct Apply<'a> {
    linear: &'a Linear,
    input: &'a [f32],
    out: &'a mut [f32],
    accumulate: bool,
}

impl WithSimd for Apply<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { linear: &Linear { inputs, outputs, ref panels }, input, out, accumulate } = self;
        let lanes: &[Lane] = panels.as_chunks().0;
        let blocks = input.chunks(BLOCK * inputs).zip(out.chunks_mut(BLOCK * outputs));
        for (input, out) in blocks {
            let rows = input.len() / inputs;
            for (index, panel) in lanes.chunks_exact(inputs).enumerate() {
                let column = index * PANEL;
                let mut out = Output {
                    values: &mut out[column..],
                    stride: outputs,
                    width: PANEL.min(outputs - column),
                    accumulate,
                };
                multiply(simd, rows, Input { values: input, stride: inputs }, panel, &mut out);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{normal, stream};

    fn noise(count: usize, seed: u64) -> Vec<f32> {
        let mut rng = stream(seed, [0, 0]);
        (0..count).map(|_| normal(&mut rng)).collect()
    }

    #[test]
    fn multiplies_like_the_textbook_for_all_shapes() {
        let arch = Arch::new();
        for (rows, inputs, outputs) in
            [(1, 1, 1), (5, 3, 16), (7, 32, 17), (13, 20, 98), (200, 8, 40)]
        {
            let (input, weights) = (noise(rows * inputs, 1), noise(outputs * inputs, 2));
            let (first, second) = weights.split_at(outputs / 3 * inputs);
            let linear = Linear::new(inputs, &[first, second]);
            let mut out = vec![f32::NAN; rows * outputs];
            linear.apply(arch, &input, &mut out);
            let check = |out: &[f32], factor: f64| {
                for (row, column) in (0..rows).flat_map(|r| (0..outputs).map(move |c| (r, c))) {
                    let expected: f64 = (0..inputs)
                        .map(|k| {
                            f64::from(input[row * inputs + k])
                                * f64::from(weights[column * inputs + k])
                        })
                        .sum::<f64>()
                        * factor;
                    let found = f64::from(out[row * outputs + column]);
                    assert!((found - expected).abs() < 1e-4, "{found} {expected}");
                }
            };
            check(&out, 1.0);
            linear.apply_add(arch, &input, &mut out);
            check(&out, 2.0);
        }
    }

    #[test]
    fn a_row_has_the_same_bits_in_every_batch() {
        let arch = Arch::new();
        let (inputs, outputs, rows) = (50, 37, 211);
        let linear = Linear::new(inputs, &[&noise(inputs * outputs, 3)]);
        let input = noise(rows * inputs, 4);
        let mut all = vec![0.0; rows * outputs];
        linear.apply(arch, &input, &mut all);
        for (from, to) in [(0, 1), (3, 4), (100, 108), (95, 97), (150, 211)] {
            let mut some = vec![0.0; (to - from) * outputs];
            linear.apply(arch, &input[from * inputs..to * inputs], &mut some);
            assert_eq!(some, all[from * outputs..to * outputs], "rows {from}..{to}");
        }
    }
}
