//! Element types of stored tensors.

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use serde::{Deserialize, Serialize};

/// An element type of checkpoints, and of cached keys and values. Read from a checkpoint every number is an `f32`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dtype {
    /// IEEE 754 binary32.
    Float32,
    /// The upper half of a binary32.
    BFloat16,
    /// IEEE 754 binary16.
    Float16,
}

impl Dtype {
    /// By `transformers`' name, with or without `torch.` before it.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        match name.strip_prefix("torch.").unwrap_or(name) {
            "float32" => Some(Self::Float32),
            "bfloat16" => Some(Self::BFloat16),
            "float16" => Some(Self::Float16),
            _ => None,
        }
    }

    /// Whether a name is that of IEEE 754 binary64, which is read and never written.
    pub(crate) fn is_float64(name: &str) -> bool {
        name.strip_prefix("torch.").unwrap_or(name) == "float64"
    }

    /// `transformers`' name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Float32 => "float32",
            Self::BFloat16 => "bfloat16",
            Self::Float16 => "float16",
        }
    }

    /// Bytes a number.
    #[must_use]
    pub fn size(self) -> usize {
        match self {
            Self::Float32 => 4,
            Self::BFloat16 | Self::Float16 => 2,
        }
    }

    /// Appends the numbers of little-endian bytes; what is left over after the last whole one is ignored. Exact.
    pub(crate) fn widen(self, bytes: &[u8], values: &mut Vec<f32>) {
        let start = values.len();
        match self {
            Self::Float32 => {
                values.extend(bytes.as_chunks().0.iter().map(|&number| f32::from_le_bytes(number)));
            }
            Self::BFloat16 => values.extend(
                bytes.as_chunks().0.iter().map(|&number| bf16::from_le_bytes(number).to_f32()),
            ),
            Self::Float16 => {
                let halves: Vec<f16> =
                    bytes.as_chunks().0.iter().map(|&number| f16::from_le_bytes(number)).collect();
                values.resize(start + halves.len(), 0.0);
                halves.convert_to_f32_slice(&mut values[start..]);
            }
        }
    }

    /// Little-endian bytes of numbers, rounded to the nearest, ties to even. A number beyond the type's range becomes
    /// an infinity.
    pub(crate) fn narrow(self, values: &[f32]) -> Vec<u8> {
        match self {
            Self::Float32 => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
            Self::BFloat16 => {
                values.iter().flat_map(|&value| bf16::from_f32(value).to_le_bytes()).collect()
            }
            Self::Float16 => {
                values.iter().flat_map(|&value| f16::from_f32(value).to_le_bytes()).collect()
            }
        }
    }

    /// The largest number that does not become an infinity.
    pub(crate) fn largest(self) -> f32 {
        match self {
            Self::Float32 => f32::MAX,
            // Half a step above the largest finite number rounds to infinity.
            Self::BFloat16 => f32::from_bits(bf16::MAX.to_f32().to_bits() + 0x7fff),
            Self::Float16 => f32::from_bits(f16::MAX.to_f32().to_bits() + 0xfff),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Dtype; 3] = [Dtype::Float32, Dtype::BFloat16, Dtype::Float16];

    #[test]
    fn every_sixteen_bit_pattern_comes_back() {
        for dtype in [Dtype::BFloat16, Dtype::Float16] {
            let bytes: Vec<u8> = (0..=u16::MAX).flat_map(u16::to_le_bytes).collect();
            let mut values = Vec::new();
            dtype.widen(&bytes, &mut values);
            let again = dtype.narrow(&values);
            for (pattern, (one, other)) in bytes
                .chunks(2)
                .zip(again.chunks(2))
                .enumerate()
                .filter(|(i, _)| !values[*i].is_nan())
            {
                assert_eq!(one, other, "{dtype:?} {pattern:#x}");
            }
        }
    }

    #[test]
    fn the_largest_is_the_last_that_stays_finite() {
        for dtype in ALL {
            let finite = |value: f32| {
                let mut values = Vec::new();
                dtype.widen(&dtype.narrow(&[value]), &mut values);
                values[0].is_finite()
            };
            assert!(finite(dtype.largest()), "{dtype:?}");
            assert!(!finite(dtype.largest().next_up()), "{dtype:?}");
        }
    }

    #[test]
    fn names_are_read_with_and_without_prefix() {
        for dtype in ALL {
            assert_eq!(Dtype::of_name(dtype.name()), Some(dtype));
            assert_eq!(Dtype::of_name(&format!("torch.{}", dtype.name())), Some(dtype));
        }
        assert_eq!(Dtype::of_name("float8_e4m3fn"), None);
    }
}
