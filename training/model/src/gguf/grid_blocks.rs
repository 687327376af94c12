//! Blocks of 256 numbers that lie on the points of a code book: ggml's IQ1, IQ2 and IQ3 kinds.

use super::blocks::half;
use super::grids::{self, Grid, even_signs};

/// Appends `scale` times a point, with a minus where a bit of `signs` is set.
fn point(grid: &Grid, index: usize, scale: f32, signs: u8, values: &mut Vec<f32>) {
    let sign = |place: usize| if (signs >> place) & 1 == 1 { -1.0 } else { 1.0 };
    let numbers = grid.point(index).enumerate();
    values.extend(numbers.map(|(place, step)| scale * step * sign(place)));
}

fn u16_at(block: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([block[at], block[at + 1]])
}

fn u32_at(block: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([block[at], block[at + 1], block[at + 2], block[at + 3]])
}

/// The four bits of a place in a row of them.
fn nibble(bytes: &[u8], place: usize) -> f32 {
    f32::from((bytes[place / 2] >> (4 * (place % 2))) & 15)
}

/// 8 groups of 4 points, whose last 4 bits are the scale.
pub(super) fn iq2_xxs(block: &[u8], values: &mut Vec<f32>) {
    for group in block[2..].chunks_exact(8) {
        let rest = u32_at(group, 4);
        let scale = half(block, 0) * (0.5 + (rest >> 28) as f32) * 0.25;
        for (place, &index) in group[..4].iter().enumerate() {
            let signs = even_signs(rest >> (7 * place));
            point(&grids::IQ2_XXS, index.into(), scale, signs, values);
        }
    }
}

/// 32 points of 9 bits with 7 of signs, a scale for two of them.
pub(super) fn iq2_xs(block: &[u8], values: &mut Vec<f32>) {
    for place in 0..32 {
        let scale = half(block, 0) * (0.5 + nibble(&block[66..], place / 2)) * 0.25;
        let packed = u16_at(block, 2 + 2 * place);
        let (index, signs) = (packed & 511, even_signs(u32::from(packed >> 9)));
        point(&grids::IQ2_XS, index.into(), scale, signs, values);
    }
}

/// 32 points of 10 bits with all their signs, a scale for two of them.
pub(super) fn iq2_s(block: &[u8], values: &mut Vec<f32>) {
    for place in 0..32 {
        let scale = half(block, 0) * (0.5 + nibble(&block[74..], place / 2)) * 0.25;
        let high = usize::from((block[66 + place / 4] >> (2 * (place % 4))) & 3);
        let index = usize::from(block[2 + place]) | (high << 8);
        point(&grids::IQ2_S, index, scale, block[34 + place], values);
    }
}

/// 64 points, and for eight of them signs and a scale.
pub(super) fn iq3_xxs(block: &[u8], values: &mut Vec<f32>) {
    for place in 0..64 {
        let rest = u32_at(block, 66 + 4 * (place / 8));
        let scale = half(block, 0) * (0.5 + (rest >> 28) as f32) * 0.5;
        let signs = even_signs(rest >> (7 * (place % 8 / 2))) >> (4 * (place % 2));
        point(&grids::IQ3_XXS, block[2 + place].into(), scale, signs, values);
    }
}

/// 64 points of 9 bits with all their signs, a scale for eight of them.
pub(super) fn iq3_s(block: &[u8], values: &mut Vec<f32>) {
    for place in 0..64 {
        let scale = half(block, 0) * (1.0 + 2.0 * nibble(&block[106..], place / 8));
        let high = usize::from((block[66 + place / 8] >> (place % 8)) & 1);
        let index = usize::from(block[2 + place]) | (high << 8);
        let signs = block[74 + place / 2] >> (4 * (place % 2));
        point(&grids::IQ3_S, index, scale, signs, values);
    }
}

/// Appends `scale` times a point that is moved by an eighth.
fn moved(index: usize, scale: f32, down: bool, values: &mut Vec<f32>) {
    let delta = if down { -0.125 } else { 0.125 };
    values.extend(grids::IQ1.point(index).map(|step| scale * (step + delta)));
}

/// 32 points of 11 bits; four of them share a scale and a direction.
pub(super) fn iq1_s(block: &[u8], values: &mut Vec<f32>) {
    for place in 0..32 {
        let rest = u16_at(block, 34 + 2 * (place / 4));
        let scale = half(block, 0) * f32::from(2 * ((rest >> 12) & 7) + 1);
        let high = usize::from((rest >> (3 * (place % 4))) & 7);
        moved(usize::from(block[2 + place]) | (high << 8), scale, rest & 0x8000 != 0, values);
    }
}

/// 32 points of 11 bits, each with a direction; two share a scale. The block's own scale lies in the highest bits of theirs.
pub(super) fn iq1_m(block: &[u8], values: &mut Vec<f32>) {
    let scales: [u16; 4] = std::array::from_fn(|place| u16_at(block, 48 + 2 * place));
    let whole = scales.iter().rev().fold(0, |whole, part| (whole << 4) | (part >> 12));
    let whole = half::f16::from_bits(whole).to_f32();
    for place in 0..32 {
        let pair = place / 2;
        let scale = whole * f32::from(2 * ((scales[pair / 4] >> (3 * (pair % 4))) & 7) + 1);
        let rest = block[32 + pair] >> (4 * (place % 2));
        let index = usize::from(block[place]) | (usize::from(rest & 7) << 8);
        moved(index, scale, rest & 8 != 0, values);
    }
}
