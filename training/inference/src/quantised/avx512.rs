//! The kernel for AVX-512 with VNNI: one instruction multiplies and adds 64 pairs of bytes.

use std::arch::x86_64::*;

use fearless_simd::{Avx512, SimdFrom, f32x16, u8x64};

use super::blocks::{INTEGERS, SCALE, START_OF_4, START_OF_8, SUM, WORDS};
use super::kernel::{Panel, Product, Tile};
use crate::kernel::{Lane, TOGETHER};

fearless_simd::kernel!(
    /// A tile's product with one panel or two.
    pub(super) fn multiply(simd: Avx512, tile: Tile<'_>, panels: &[Panel<'_>], out: &mut Product) {
        match (tile.height, panels) {
            (1, &[one, other]) => with::<1, TOGETHER>(simd, tile, [one, other], out),
            (2, &[one, other]) => with::<2, TOGETHER>(simd, tile, [one, other], out),
            (3, &[one, other]) => with::<3, TOGETHER>(simd, tile, [one, other], out),
            (4, &[one, other]) => with::<4, TOGETHER>(simd, tile, [one, other], out),
            (5, &[one, other]) => with::<5, TOGETHER>(simd, tile, [one, other], out),
            (_, &[one, other]) => with::<6, TOGETHER>(simd, tile, [one, other], out),
            (1, _) => with::<1, 1>(simd, tile, [panels[0]], out),
            (2, _) => with::<2, 1>(simd, tile, [panels[0]], out),
            (3, _) => with::<3, 1>(simd, tile, [panels[0]], out),
            (4, _) => with::<4, 1>(simd, tile, [panels[0]], out),
            (5, _) => with::<5, 1>(simd, tile, [panels[0]], out),
            _ => with::<6, 1>(simd, tile, [panels[0]], out),
        }
    }
);

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn with<const M: usize, const P: usize>(
    simd: Avx512,
    tile: Tile<'_>,
    panels: [Panel<'_>; P],
    out: &mut Product,
) {
    let (words, _) = tile.words.as_chunks::<M>();
    match (panels[0].four_bits, panels[0].minimums.is_empty()) {
        (true, true) => product::<M, P, true, false>(simd, words, panels, out),
        (true, false) => product::<M, P, true, true>(simd, words, panels, out),
        (false, true) => product::<M, P, false, false>(simd, words, panels, out),
        (false, false) => product::<M, P, false, true>(simd, words, panels, out),
    }
}

/// `M` rows by `P` panels.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn product<const M: usize, const P: usize, const FOUR_BITS: bool, const MINIMUMS: bool>(
    simd: Avx512,
    words: &[[i32; M]],
    panels: [Panel<'_>; P],
    out: &mut Product,
) {
    let load = |bytes: &[u8; 64]| -> __m512i { u8x64::simd_from(simd, *bytes).into() };
    let lane = |lane: &Lane| -> __m512 { f32x16::simd_from(simd, *lane).into() };
    let low = _mm512_set1_epi8(15);
    let mut sums = [[_mm512_setzero_ps(); M]; P];
    let (words, _) = words.as_chunks::<WORDS>();
    let scales = panels.map(|panel| &panel.scales[..words.len()]);
    let registers = if FOUR_BITS { 4 } else { 8 };
    let bytes = panels.map(|panel| &panel.bytes[..registers * words.len()]);
    for (block, words) in words.iter().enumerate() {
        let mut integers = [[_mm512_setzero_si512(); M]; P];
        if !(FOUR_BITS && MINIMUMS) {
            let start = words[if FOUR_BITS { START_OF_4 } else { START_OF_8 }];
            for integers in &mut integers {
                for row in 0..M {
                    integers[row] = _mm512_set1_epi32(start[row]);
                }
            }
        }
        for register in 0..registers {
            for p in 0..P {
                let weights = load(&bytes[p][block * registers + register]);
                if FOUR_BITS {
                    let lower = _mm512_and_si512(weights, low);
                    let upper = _mm512_and_si512(_mm512_srli_epi16::<4>(weights), low);
                    for row in 0..M {
                        let factor = _mm512_set1_epi32(words[INTEGERS + register][row]);
                        let sum = _mm512_dpbusd_epi32(integers[p][row], lower, factor);
                        let factor = _mm512_set1_epi32(words[INTEGERS + 4 + register][row]);
                        integers[p][row] = _mm512_dpbusd_epi32(sum, upper, factor);
                    }
                } else {
                    for row in 0..M {
                        let factor = _mm512_set1_epi32(words[INTEGERS + register][row]);
                        integers[p][row] = _mm512_dpbusd_epi32(integers[p][row], weights, factor);
                    }
                }
            }
        }
        for p in 0..P {
            let scale = lane(&scales[p][block]);
            for row in 0..M {
                let factor = _mm512_set1_ps(f32::from_bits(words[SCALE][row].cast_unsigned()));
                let integer = _mm512_cvtepi32_ps(integers[p][row]);
                sums[p][row] = _mm512_fmadd_ps(_mm512_mul_ps(scale, factor), integer, sums[p][row]);
            }
            if MINIMUMS {
                let minimum = lane(&panels[p].minimums[block]);
                for row in 0..M {
                    let sum = _mm512_set1_ps(f32::from_bits(words[SUM][row].cast_unsigned()));
                    sums[p][row] = _mm512_fmadd_ps(minimum, sum, sums[p][row]);
                }
            }
        }
    }
    for (out, sums) in out.iter_mut().zip(sums) {
        for (out, sum) in out.iter_mut().zip(sums) {
            *out = f32x16::simd_from(simd, sum).into();
        }
    }
}
