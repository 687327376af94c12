//! The product of quantised rows and panels, by whichever instructions the processor has: the same bits by all.
//!
//! A block's products are summed in integers, exactly. Blocks are added in ascending order, with one fused multiply-add
//! each, so that a row's result depends on nothing but the row and the weights.

use fearless_simd::Level;

use super::blocks::{BLOCK, INTEGERS, SCALE, START_OF_4, START_OF_8, SUM, WORDS};
#[cfg(target_arch = "x86_64")]
use super::{avx2, avx512};
use crate::kernel::{Lane, PANEL, TILE, TOGETHER};

/// Rows whose activations lie side by side: `[blocks, WORDS, height]`.
#[derive(Clone, Copy)]
pub(crate) struct Tile<'a> {
    pub words: &'a [i32],
    pub height: usize,
}

/// Sixteen outputs' weights.
#[derive(Clone, Copy)]
pub(crate) struct Panel<'a> {
    /// `[blocks, registers]`, each with four numbers of every output: a byte for each, or half a byte for each of two steps
    /// that are four registers apart.
    pub bytes: &'a [[u8; 64]],
    pub four_bits: bool,
    /// `[blocks]`.
    pub scales: &'a [Lane],
    /// What is added to a block's numbers, `[blocks]`, or nothing.
    pub minimums: &'a [Lane],
}

/// Row `i` of panel `p` is `product[p][i]`.
pub(crate) type Product = [[Lane; TILE]; TOGETHER];

/// The instructions that compute.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Instructions {
    #[cfg(target_arch = "x86_64")]
    Avx512(fearless_simd::Avx512),
    #[cfg(target_arch = "x86_64")]
    Avx2(fearless_simd::Avx2),
    Portable,
}

impl Instructions {
    /// All that this processor has, the fastest first.
    pub fn all() -> impl Iterator<Item = Self> {
        let level = Level::new();
        #[cfg(target_arch = "x86_64")]
        let found = [level.as_avx512().map(Self::Avx512), level.as_avx2().map(Self::Avx2)];
        #[cfg(not(target_arch = "x86_64"))]
        let found = [None];
        found.into_iter().flatten().chain([Self::Portable])
    }

    /// The fastest.
    pub fn best() -> Self {
        Self::all().next().unwrap_or(Self::Portable)
    }

    /// A tile's product with one panel or [`TOGETHER`].
    pub fn multiply(self, tile: Tile<'_>, panels: &[Panel<'_>], out: &mut Product) {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(simd) => avx512::multiply(simd, tile, panels, out),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(simd) => avx2::multiply(simd, tile, panels, out),
            Self::Portable => portable(tile, panels, out),
        }
    }
}

fn portable(tile: Tile<'_>, panels: &[Panel<'_>], out: &mut Product) {
    let height = tile.height;
    for (panel, out) in panels.iter().zip(out) {
        let start = match (panel.four_bits, panel.minimums.is_empty()) {
            (true, true) => Some(START_OF_4),
            (true, false) => None,
            (false, _) => Some(START_OF_8),
        };
        let registers = if panel.four_bits { 4 } else { 8 };
        for (row, out) in out[..height].iter_mut().enumerate() {
            *out = [0.0; PANEL];
            for (block, words) in tile.words.chunks_exact(WORDS * height).enumerate() {
                let word = |word: usize| words[word * height + row];
                let float = |index: usize| f32::from_bits(word(index).cast_unsigned());
                let bytes = &panel.bytes[registers * block..][..registers];
                let mut integers = [start.map_or(0, word); PANEL];
                for step in 0..BLOCK / 4 {
                    let factors = word(INTEGERS + step).to_le_bytes().map(u8::cast_signed);
                    let (fours, _) = bytes[step % registers].as_chunks::<4>();
                    for (integer, four) in integers.iter_mut().zip(fours) {
                        for (&weight, factor) in four.iter().zip(factors) {
                            let weight = match (panel.four_bits, step < registers) {
                                (true, true) => weight & 15,
                                (true, false) => weight >> 4,
                                (false, _) => weight,
                            };
                            *integer += i32::from(weight) * i32::from(factor);
                        }
                    }
                }
                for (lane, (out, integer)) in out.iter_mut().zip(integers).enumerate() {
                    let scale = panel.scales[block][lane] * float(SCALE);
                    *out = scale.mul_add(integer as f32, *out);
                    if let Some(minimums) = panel.minimums.get(block) {
                        *out = minimums[lane].mul_add(float(SUM), *out);
                    }
                }
            }
        }
    }
}
