//! Blocks of numbers that are a scale, its negative or zero.

use super::blocks::half;

/// 128 numbers of one bit.
pub(super) fn q1_0(block: &[u8], values: &mut Vec<f32>) {
    let scale = half(block, 0);
    for byte in &block[2..] {
        values.extend((0..8).map(|bit| if (byte >> bit) & 1 == 1 { scale } else { -scale }));
    }
}

/// Five digits to the base of three in a byte, as a fraction of 256: multiplied by three, the first one comes out on top.
pub(super) fn tq1_0(block: &[u8], values: &mut Vec<f32>) {
    let scale = half(block, 52);
    for (range, digits) in [(0..32, 5), (32..48, 5), (48..52, 4)] {
        for digit in 0..digits {
            values.extend(block[range.clone()].iter().map(|byte| {
                let rest = byte.wrapping_mul(3_u8.pow(digit));
                let digit = (u16::from(rest) * 3) >> 8;
                scale * (f32::from(digit) - 1.0)
            }));
        }
    }
}

/// Two bits each, four in a byte that lie 32 apart.
pub(super) fn tq2_0(block: &[u8], values: &mut Vec<f32>) {
    let scale = half(block, 64);
    for part in block[..64].chunks_exact(32) {
        for place in 0..4 {
            let number = |byte: &u8| scale * (f32::from((byte >> (2 * place)) & 3) - 1.0);
            values.extend(part.iter().map(number));
        }
    }
}
