//! The kernel for AVX2. Its one instruction for pairs of bytes adds two products in 16 bits and saturates there, so numbers of
//! 8 bits are taken as two of 4: then all products of a block fit.

use std::arch::x86_64::*;

use fearless_simd::{Avx2, SimdFrom, f32x8, u8x32};

use super::blocks::{INTEGERS, SCALE, START_OF_4, START_OF_8, SUM, WORDS};
use super::kernel::{Panel, Product, Tile};
use crate::kernel::Lane;

fearless_simd::kernel!(
    /// A tile's product with one panel or two.
    pub(super) fn multiply(simd: Avx2, tile: Tile<'_>, panels: &[Panel<'_>], out: &mut Product) {
        for (&panel, out) in panels.iter().zip(out) {
            // Few rows leave registers for both halves of a lane, which are then read together.
            match tile.height {
                1 => with::<1, 2>(simd, tile, panel, out),
                2 => with::<2, 2>(simd, tile, panel, out),
                3 => with::<3, 1>(simd, tile, panel, out),
                4 => with::<4, 1>(simd, tile, panel, out),
                5 => with::<5, 1>(simd, tile, panel, out),
                _ => with::<6, 1>(simd, tile, panel, out),
            }
        }
    }
);

#[inline]
#[target_feature(enable = "avx2,fma")]
fn with<const M: usize, const H: usize>(
    simd: Avx2,
    tile: Tile<'_>,
    panel: Panel<'_>,
    out: &mut [Lane],
) {
    let (words, _) = tile.words.as_chunks::<M>();
    for half in (0..2).step_by(H) {
        match (panel.four_bits, panel.minimums.is_empty()) {
            (true, true) => product::<M, H, true, false>(simd, words, (panel, half), out),
            (true, false) => product::<M, H, true, true>(simd, words, (panel, half), out),
            (false, true) => product::<M, H, false, false>(simd, words, (panel, half), out),
            (false, false) => product::<M, H, false, true>(simd, words, (panel, half), out),
        }
    }
}

/// `M` rows by `H` halves of a panel's lanes, from `first` on.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn product<const M: usize, const H: usize, const FOUR_BITS: bool, const MINIMUMS: bool>(
    simd: Avx2,
    words: &[[i32; M]],
    (panel, first): (Panel<'_>, usize),
    out: &mut [Lane],
) {
    let load = |bytes: &[u8; 64], half: usize| -> __m256i {
        u8x32::simd_from(simd, bytes.as_chunks().0[half]).into()
    };
    let lane = |lane: &Lane, half: usize| -> __m256 {
        f32x8::simd_from(simd, lane.as_chunks().0[half]).into()
    };
    let low = _mm256_set1_epi8(15);
    let (ones, sixteens) = (_mm256_set1_epi16(1), _mm256_set1_epi16(16));
    let mut sums = [[_mm256_setzero_ps(); M]; H];
    let (words, _) = words.as_chunks::<WORDS>();
    let registers = if FOUR_BITS { 4 } else { 8 };
    let (scales, bytes) = (&panel.scales[..words.len()], &panel.bytes[..registers * words.len()]);
    for (block, words) in words.iter().enumerate() {
        let mut lowers = [[_mm256_setzero_si256(); M]; H];
        let mut uppers = [[_mm256_setzero_si256(); M]; H];
        for register in 0..registers {
            for half in 0..H {
                let weights = load(&bytes[block * registers + register], first + half);
                let lower = _mm256_and_si256(weights, low);
                let upper = _mm256_and_si256(_mm256_srli_epi16::<4>(weights), low);
                for row in 0..M {
                    let factor = _mm256_set1_epi32(words[INTEGERS + register][row]);
                    let products = _mm256_maddubs_epi16(lower, factor);
                    lowers[half][row] = _mm256_add_epi16(lowers[half][row], products);
                    if FOUR_BITS {
                        // The upper four bits are another step's numbers.
                        let factor = _mm256_set1_epi32(words[INTEGERS + 4 + register][row]);
                        let products = _mm256_maddubs_epi16(upper, factor);
                        lowers[half][row] = _mm256_add_epi16(lowers[half][row], products);
                    } else {
                        let products = _mm256_maddubs_epi16(upper, factor);
                        uppers[half][row] = _mm256_add_epi16(uppers[half][row], products);
                    }
                }
            }
        }
        for half in 0..H {
            let scale = lane(&scales[block], first + half);
            for row in 0..M {
                let start = match (FOUR_BITS, MINIMUMS) {
                    (true, true) => 0,
                    (true, false) => words[START_OF_4][row],
                    (false, _) => words[START_OF_8][row],
                };
                let mut integer = _mm256_madd_epi16(lowers[half][row], ones);
                if !FOUR_BITS {
                    let upper = _mm256_madd_epi16(uppers[half][row], sixteens);
                    integer = _mm256_add_epi32(integer, upper);
                }
                let integer = _mm256_add_epi32(integer, _mm256_set1_epi32(start));
                let factor = _mm256_set1_ps(f32::from_bits(words[SCALE][row].cast_unsigned()));
                let factor = _mm256_mul_ps(scale, factor);
                let integer = _mm256_cvtepi32_ps(integer);
                sums[half][row] = _mm256_fmadd_ps(factor, integer, sums[half][row]);
            }
            if MINIMUMS {
                let minimum = lane(&panel.minimums[block], first + half);
                for row in 0..M {
                    let sum = _mm256_set1_ps(f32::from_bits(words[SUM][row].cast_unsigned()));
                    sums[half][row] = _mm256_fmadd_ps(minimum, sum, sums[half][row]);
                }
            }
        }
    }
    for (half, sums) in sums.into_iter().enumerate() {
        for (out, sum) in out.iter_mut().zip(sums) {
            out.as_chunks_mut().0[first + half] = f32x8::simd_from(simd, sum).into();
        }
    }
}
