//! Quantised numbers of GGUF files: blocks with scales, as ggml's `dequantize_row_*` read them.

use half::f16;

use crate::dtype::Dtype;

/// An element type of a GGUF tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Plain(Dtype),
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q8_0,
    Q4K,
    Q5K,
    Q6K,
}

/// Numbers in a block of the K kinds.
const SUPER: usize = 256;

impl Kind {
    /// By ggml's number for it, else what the number stands for.
    pub fn of_number(number: u32) -> Result<Self, String> {
        Ok(match number {
            0 => Self::Plain(Dtype::Float32),
            1 => Self::Plain(Dtype::Float16),
            2 => Self::Q4_0,
            3 => Self::Q4_1,
            6 => Self::Q5_0,
            7 => Self::Q5_1,
            8 => Self::Q8_0,
            12 => Self::Q4K,
            13 => Self::Q5K,
            14 => Self::Q6K,
            30 => Self::Plain(Dtype::BFloat16),
            10 => return Err("Q2_K".to_owned()),
            11 => return Err("Q3_K".to_owned()),
            other => return Err(format!("ggml type {other}")),
        })
    }

    /// Numbers in a block, and bytes that it takes.
    pub fn block(self) -> (usize, usize) {
        match self {
            Self::Plain(dtype) => (1, dtype.size()),
            Self::Q4_0 => (32, 18),
            Self::Q4_1 => (32, 20),
            Self::Q5_0 => (32, 22),
            Self::Q5_1 => (32, 24),
            Self::Q8_0 => (32, 34),
            Self::Q4K => (SUPER, 144),
            Self::Q5K => (SUPER, 176),
            Self::Q6K => (SUPER, 210),
        }
    }

    /// Appends the numbers of whole blocks.
    pub fn widen(self, bytes: &[u8], values: &mut Vec<f32>) {
        if let Self::Plain(dtype) = self {
            return dtype.widen(bytes, values);
        }
        for block in bytes.chunks_exact(self.block().1) {
            match self {
                Self::Plain(_) => {}
                Self::Q4_0 => nibbles(&block[2..], [0; 4], values, |x| (x - 8.0) * half(block, 0)),
                Self::Q4_1 => {
                    nibbles(&block[4..], [0; 4], values, |x| x * half(block, 0) + half(block, 2));
                }
                Self::Q5_0 => {
                    let high = four(block, 2);
                    nibbles(&block[6..], high, values, |x| (x - 16.0) * half(block, 0));
                }
                Self::Q5_1 => {
                    let high = four(block, 4);
                    nibbles(&block[8..], high, values, |x| x * half(block, 0) + half(block, 2));
                }
                Self::Q8_0 => {
                    let scale = half(block, 0);
                    values.extend(block[2..].iter().map(|&x| f32::from(x.cast_signed()) * scale));
                }
                Self::Q4K => q4_q5_k(block, None, &block[16..], values),
                Self::Q5K => q4_q5_k(block, Some(&block[16..48]), &block[48..], values),
                Self::Q6K => q6_k(block, values),
            }
        }
    }
}

/// A binary16 in a block.
fn half(block: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([block[at], block[at + 1]]).to_f32()
}

fn four(block: &[u8], at: usize) -> [u8; 4] {
    [block[at], block[at + 1], block[at + 2], block[at + 3]]
}

/// 32 numbers of 4 bits, all lower halves first, each with a fifth bit of `high`.
fn nibbles(bytes: &[u8], high: [u8; 4], values: &mut Vec<f32>, scale: impl Fn(f32) -> f32) {
    let high = u32::from_le_bytes(high);
    let fifth = |index: usize| (((high >> index) & 1) << 4) as u8;
    let low = bytes.iter().enumerate().map(|(index, &byte)| (byte & 15) | fifth(index));
    let upper = bytes.iter().enumerate().map(|(index, &byte)| (byte >> 4) | fifth(index + 16));
    values.extend(low.chain(upper).map(|x| scale(f32::from(x))));
}

/// 256 numbers of 4 bits (5 with `high`) in 8 groups, each with a 6-bit scale and a 6-bit minimum.
fn q4_q5_k(block: &[u8], high: Option<&[u8]>, quants: &[u8], values: &mut Vec<f32>) {
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
fn q6_k(block: &[u8], values: &mut Vec<f32>) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parameters::Parameter;

    /// `make.py` let the gguf package widen random blocks.
    #[test]
    fn every_kind_is_widened_as_by_gguf() {
        let path =
            concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/gguf_blocks.safetensors");
        let file = std::fs::read(path).unwrap();
        let file = safetensors::SafeTensors::deserialize(&file).unwrap();
        for (name, number) in [
            ("F16", 1),
            ("BF16", 30),
            ("Q4_0", 2),
            ("Q4_1", 3),
            ("Q5_0", 6),
            ("Q5_1", 7),
            ("Q8_0", 8),
            ("Q4_K", 12),
            ("Q5_K", 13),
            ("Q6_K", 14),
        ] {
            let kind = Kind::of_number(number).unwrap();
            let bytes = file.tensor(&format!("{name}.bytes")).unwrap();
            let (mut found, mut expected) = (Vec::new(), Vec::new());
            kind.widen(bytes.data(), &mut found);
            let values = file.tensor(&format!("{name}.values")).unwrap();
            Dtype::Float32.widen(values.data(), &mut expected);
            let parameter = |values| Parameter { shape: vec![256], values };
            assert_eq!(parameter(found), parameter(expected), "{name}");
        }
    }
}
