//! Blocks of 256 numbers in groups whose scales are quantised too: ggml's K kinds.

use super::blocks::half;

/// 256 numbers of 2 bits in 16 groups, each with a 4-bit scale and a 4-bit minimum.
pub(super) fn q2_k(block: &[u8], values: &mut Vec<f32>) {
    let (scales, quants) = block.split_at(16);
    let (scale, minimum) = (half(block, 80), half(block, 82));
    two_bits(quants, values, |group, _, low| {
        let packed = scales[group];
        scale * f32::from(packed & 15) * f32::from(low) - minimum * f32::from(packed >> 4)
    });
}

/// 256 numbers of 3 bits in 16 groups with 6-bit scales.
pub(super) fn q3_k(block: &[u8], values: &mut Vec<f32>) {
    let (high, quants, packed) = (&block[..32], &block[32..96], &block[96..108]);
    let scale = half(block, 108);
    let group_scale = |group: usize| {
        let low = (packed[group % 8] >> (4 * (group / 8))) & 15;
        let upper = (packed[8 + group % 4] >> (2 * (group / 4))) & 3;
        scale * (f32::from(low | (upper << 4)) - 32.0)
    };
    two_bits(quants, values, |group, index, low| {
        // Four is taken away where the third bit is not set.
        let third = (high[index] >> (group / 2)) & 1;
        group_scale(group) * (f32::from(low) - 4.0 * f32::from(1 - third))
    });
}

/// 256 numbers of 2 bits: four in a byte that lie 32 apart. Gives `number` the group of 16, the place among 32, and the bits.
fn two_bits(quants: &[u8], values: &mut Vec<f32>, number: impl Fn(usize, usize, u8) -> f32) {
    for part in 0..2 {
        for quarter in 0..4 {
            let bytes = quants[32 * part..][..32].iter().enumerate();
            values.extend(bytes.map(|(index, byte)| {
                let group = 8 * part + 2 * quarter + index / 16;
                number(group, index, (byte >> (2 * quarter)) & 3)
            }));
        }
    }
}

/// 256 numbers of 4 bits (5 with `high`) in 8 groups, each with a 6-bit scale and a 6-bit minimum.
pub(super) fn q4_q5_k(block: &[u8], high: Option<&[u8]>, quants: &[u8], values: &mut Vec<f32>) {
    let (scale, minimum) = (half(block, 0), half(block, 2));
    let packed = &block[4..16];
    let group_scales = |group: usize| {
        let (a, b) = if group < 4 {
            (packed[group] & 63, packed[group + 4] & 63)
        } else {
            let (last, first) = (packed[group + 4], group - 4);
            let upper = |at: usize| (packed[at] >> 6) << 4;
            ((last & 15) | upper(first), (last >> 4) | upper(group))
        };
        (scale * f32::from(a), minimum * f32::from(b))
    };
    for (pair, bytes) in quants.chunks_exact(32).enumerate() {
        for side in 0..2 {
            let group = 2 * pair + side;
            let (scale, minimum) = group_scales(group);
            values.extend(bytes.iter().enumerate().map(|(index, &byte)| {
                let low = if side == 0 { byte & 15 } else { byte >> 4 };
                let fifth = high.map_or(0, |high| ((high[index] >> group) & 1) << 4);
                scale * f32::from(low | fifth) - minimum
            }));
        }
    }
}

/// 256 numbers of 6 bits in 16 groups with 8-bit scales.
pub(super) fn q6_k(block: &[u8], values: &mut Vec<f32>) {
    let (low, high, scales) = (&block[..128], &block[128..192], &block[192..208]);
    let scale = half(block, 208);
    for part in 0..2 {
        let (low, high) = (&low[64 * part..][..64], &high[32 * part..][..32]);
        let scales = &scales[8 * part..][..8];
        for quarter in 0..4 {
            let lows = &low[32 * (quarter % 2)..][..32];
            values.extend(lows.iter().zip(high).enumerate().map(|(index, (&low, &high))| {
                let low = if quarter < 2 { low & 15 } else { low >> 4 };
                let upper = ((high >> (2 * quarter)) & 3) << 4;
                let group = f32::from(scales[2 * quarter + index / 16].cast_signed());
                scale * group * (f32::from(low | upper) - 32.0)
            }));
        }
    }
}
