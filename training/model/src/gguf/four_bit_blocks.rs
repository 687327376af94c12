//! Blocks whose four bits choose one of sixteen numbers.

use super::blocks::half;

/// ggml's uneven steps of IQ4.
const UNEVEN: [i8; 16] = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];
/// Twice the numbers of E2M1: a sign, two bits of exponent, one of mantissa.
const E2M1: [i8; 16] = [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12];

/// Appends `scale` times the chosen numbers, all lower halves first.
fn choose(steps: &[i8; 16], scale: f32, bytes: &[u8], values: &mut Vec<f32>) {
    let number = |chosen: u8| scale * f32::from(steps[usize::from(chosen)]);
    values.extend(bytes.iter().map(|byte| number(byte & 15)));
    values.extend(bytes.iter().map(|byte| number(byte >> 4)));
}

pub(super) fn iq4_nl(block: &[u8], values: &mut Vec<f32>) {
    choose(&UNEVEN, half(block, 0), &block[2..], values);
}

/// 8 groups of 32 numbers with 6-bit scales.
pub(super) fn iq4_xs(block: &[u8], values: &mut Vec<f32>) {
    let upper = u16::from_le_bytes([block[2], block[3]]);
    for (group, bytes) in block[8..].chunks_exact(16).enumerate() {
        let low = (block[4 + group / 2] >> (4 * (group % 2))) & 15;
        let high = ((upper >> (2 * group)) & 3) as u8;
        let scale = half(block, 0) * (f32::from(low | (high << 4)) - 32.0);
        choose(&UNEVEN, scale, bytes, values);
    }
}

/// Microscaling: the scale is a power of two (E8M0), halved because the steps are doubled.
pub(super) fn mxfp4(block: &[u8], values: &mut Vec<f32>) {
    let exponent = u32::from(block[0]);
    let bits = if exponent < 2 { 0x0020_0000 << exponent } else { (exponent - 1) << 23 };
    choose(&E2M1, f32::from_bits(bits), &block[1..], values);
}

/// 4 groups of 16 numbers, each with a scale of E4M3 without sign.
pub(super) fn nvfp4(block: &[u8], values: &mut Vec<f32>) {
    let (scales, quants) = block.split_at(4);
    for (&scale, bytes) in scales.iter().zip(quants.chunks_exact(8)) {
        choose(&E2M1, half_of_e4m3(scale), bytes, values);
    }
}

/// Half of what an E4M3 stands for; the pattern of its NaN is zero, as in ggml.
fn half_of_e4m3(bits: u8) -> f32 {
    let (exponent, mantissa) = (i32::from((bits >> 3) & 15), f32::from(bits & 7));
    match (bits, exponent) {
        (0x7f, _) => 0.0,
        (_, 0) => mantissa * 2.0_f32.powi(-10),
        _ => (1.0 + mantissa / 8.0) * 2.0_f32.powi(exponent - 8),
    }
}
