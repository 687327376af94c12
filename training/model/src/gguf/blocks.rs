//! Quantised numbers of GGUF files: blocks with scales, as ggml's `dequantize_row_*` read them.

use half::f16;

use super::{four_bit_blocks, grid_blocks, k_blocks, ternary_blocks};
use crate::dtype::Dtype;

/// An element type of a GGUF tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(non_camel_case_types, reason = "ggml's names")]
pub(super) enum Kind {
    Plain(Dtype),
    Q1_0,
    Q2_K,
    Q3_K,
    Q4_0,
    Q4_1,
    Q4_K,
    Q5_0,
    Q5_1,
    Q5_K,
    Q6_K,
    Q8_0,
    IQ1_S,
    IQ1_M,
    IQ2_XXS,
    IQ2_XS,
    IQ2_S,
    IQ3_XXS,
    IQ3_S,
    IQ4_NL,
    IQ4_XS,
    TQ1_0,
    TQ2_0,
    MXFP4,
    NVFP4,
}

/// Numbers in a block of the larger kinds.
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
            10 => Self::Q2_K,
            11 => Self::Q3_K,
            12 => Self::Q4_K,
            13 => Self::Q5_K,
            14 => Self::Q6_K,
            16 => Self::IQ2_XXS,
            17 => Self::IQ2_XS,
            18 => Self::IQ3_XXS,
            19 => Self::IQ1_S,
            20 => Self::IQ4_NL,
            21 => Self::IQ3_S,
            22 => Self::IQ2_S,
            23 => Self::IQ4_XS,
            29 => Self::IQ1_M,
            30 => Self::Plain(Dtype::BFloat16),
            34 => Self::TQ1_0,
            35 => Self::TQ2_0,
            39 => Self::MXFP4,
            40 => Self::NVFP4,
            41 => Self::Q1_0,
            other => return Err(other_name(other)),
        })
    }

    /// Numbers in a block, and bytes that it takes.
    pub fn block(self) -> (usize, usize) {
        match self {
            Self::Plain(dtype) => (1, dtype.size()),
            Self::Q1_0 => (128, 18),
            Self::Q2_K => (SUPER, 84),
            Self::Q3_K | Self::IQ3_S => (SUPER, 110),
            Self::Q4_0 | Self::IQ4_NL => (32, 18),
            Self::Q4_1 => (32, 20),
            Self::Q4_K => (SUPER, 144),
            Self::Q5_0 => (32, 22),
            Self::Q5_1 => (32, 24),
            Self::Q5_K => (SUPER, 176),
            Self::Q6_K => (SUPER, 210),
            Self::Q8_0 => (32, 34),
            Self::IQ1_S => (SUPER, 50),
            Self::IQ1_M => (SUPER, 56),
            Self::IQ2_XXS | Self::TQ2_0 => (SUPER, 66),
            Self::IQ2_XS => (SUPER, 74),
            Self::IQ2_S => (SUPER, 82),
            Self::IQ3_XXS => (SUPER, 98),
            Self::IQ4_XS => (SUPER, 136),
            Self::TQ1_0 => (SUPER, 54),
            Self::MXFP4 => (32, 17),
            Self::NVFP4 => (64, 36),
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
                Self::Q1_0 => ternary_blocks::q1_0(block, values),
                Self::Q2_K => k_blocks::q2_k(block, values),
                Self::Q3_K => k_blocks::q3_k(block, values),
                Self::Q4_0 => nibbles(&block[2..], [0; 4], values, |x| (x - 8.0) * half(block, 0)),
                Self::Q4_1 => {
                    nibbles(&block[4..], [0; 4], values, |x| x * half(block, 0) + half(block, 2));
                }
                Self::Q4_K => k_blocks::q4_q5_k(block, None, &block[16..], values),
                Self::Q5_0 => {
                    let high = four(block, 2);
                    nibbles(&block[6..], high, values, |x| (x - 16.0) * half(block, 0));
                }
                Self::Q5_1 => {
                    let high = four(block, 4);
                    nibbles(&block[8..], high, values, |x| x * half(block, 0) + half(block, 2));
                }
                Self::Q5_K => {
                    k_blocks::q4_q5_k(block, Some(&block[16..48]), &block[48..], values);
                }
                Self::Q6_K => k_blocks::q6_k(block, values),
                Self::Q8_0 => {
                    let scale = half(block, 0);
                    values.extend(block[2..].iter().map(|&x| f32::from(x.cast_signed()) * scale));
                }
                Self::IQ1_S => grid_blocks::iq1_s(block, values),
                Self::IQ1_M => grid_blocks::iq1_m(block, values),
                Self::IQ2_XXS => grid_blocks::iq2_xxs(block, values),
                Self::IQ2_XS => grid_blocks::iq2_xs(block, values),
                Self::IQ2_S => grid_blocks::iq2_s(block, values),
                Self::IQ3_XXS => grid_blocks::iq3_xxs(block, values),
                Self::IQ3_S => grid_blocks::iq3_s(block, values),
                Self::IQ4_NL => four_bit_blocks::iq4_nl(block, values),
                Self::IQ4_XS => four_bit_blocks::iq4_xs(block, values),
                Self::TQ1_0 => ternary_blocks::tq1_0(block, values),
                Self::TQ2_0 => ternary_blocks::tq2_0(block, values),
                Self::MXFP4 => four_bit_blocks::mxfp4(block, values),
                Self::NVFP4 => four_bit_blocks::nvfp4(block, values),
            }
        }
    }
}

/// ggml's names of types that are not read: numbers that no net's weights are, forms that only computations have, and forms that are gone.
fn other_name(number: u32) -> String {
    let name = match number {
        4 => "Q4_2",
        5 => "Q4_3",
        9 => "Q8_1",
        15 => "Q8_K",
        24 => "I8",
        25 => "I16",
        26 => "I32",
        27 => "I64",
        28 => "F64",
        31 => "Q4_0_4_4",
        32 => "Q4_0_4_8",
        33 => "Q4_0_8_8",
        36 => "IQ4_NL_4_4",
        37 => "IQ4_NL_4_8",
        38 => "IQ4_NL_8_8",
        42 => "Q2_0",
        other => return format!("ggml type {other}"),
    };
    name.to_owned()
}

/// A binary16 in a block.
pub(super) fn half(block: &[u8], at: usize) -> f32 {
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

#[cfg(test)]
mod tests {
    use super::*;

    /// `make.py` let the gguf package widen random blocks.
    #[test]
    fn every_kind_is_widened_as_by_gguf() {
        let path =
            concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/gguf_blocks.safetensors");
        let file = std::fs::read(path).unwrap();
        let file = safetensors::SafeTensors::deserialize(&file).unwrap();
        let mut kinds = 0;
        for name in file.names().iter().filter_map(|name| name.strip_suffix(".bytes")) {
            kinds += 1;
            let number = file.tensor(&format!("{name}.number")).unwrap().data()[0];
            let kind = Kind::of_number(number.into()).unwrap();
            assert!(format!("{kind:?}") == name || matches!(kind, Kind::Plain(_)));
            let bytes = file.tensor(&format!("{name}.bytes")).unwrap();
            let (mut found, mut expected) = (Vec::new(), Vec::new());
            kind.widen(bytes.data(), &mut found);
            let values = file.tensor(&format!("{name}.values")).unwrap();
            Dtype::Float32.widen(values.data(), &mut expected);
            let bits = |values: Vec<f32>| values.into_iter().map(f32::to_bits).collect::<Vec<_>>();
            assert_eq!(bits(found), bits(expected), "{name}");
        }
        assert_eq!(kinds, 26);
    }
}
