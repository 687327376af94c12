//! Numbers in memory, in 32 or 16 bits. Arithmetic is in 32 bits, and widening is exact.
//!
//! What a checkpoint keeps in 16 bits is kept so here: half the memory, and half of what a pass over few rows waits for.

use std::ops::Range;

use espalier_model::dtype::Dtype;
use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

use super::kernel::{Lane, PANEL};

/// A row of numbers.
#[derive(Debug, Clone)]
pub(super) enum Numbers {
    Float32(Vec<f32>),
    BFloat16(Vec<bf16>),
    Float16(Vec<f16>),
}

impl Default for Numbers {
    fn default() -> Self {
        Self::Float32(Vec::new())
    }
}

impl Numbers {
    /// In the narrowest type that holds every one of them exactly, so that what is computed from them has the bits that
    /// it would have from 32.
    pub fn exact(values: Vec<f32>) -> Self {
        if values.iter().all(|value| value.to_bits().trailing_zeros() >= 16) {
            return Self::BFloat16(values.into_iter().map(bf16::from_f32).collect());
        }
        let same = |&value: &f32| f16::from_f32(value).to_f32().to_bits() == value.to_bits();
        if values.iter().all(same) {
            return Self::Float16(values.into_iter().map(f16::from_f32).collect());
        }
        Self::Float32(values)
    }

    /// The same numbers, as [`Self::exact`] holds them.
    pub fn narrow(self) -> Self {
        match self {
            Self::Float32(values) => Self::exact(values),
            narrow => narrow,
        }
    }

    /// `count` zeros.
    pub fn zeros(dtype: Dtype, count: usize) -> Self {
        match dtype {
            Dtype::Float32 => Self::Float32(vec![0.0; count]),
            Dtype::BFloat16 => Self::BFloat16(vec![bf16::ZERO; count]),
            Dtype::Float16 => Self::Float16(vec![f16::ZERO; count]),
        }
    }

    /// Bytes that they take.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Float32(values) => size_of_val(values.as_slice()),
            Self::BFloat16(values) => size_of_val(values.as_slice()),
            Self::Float16(values) => size_of_val(values.as_slice()),
        }
    }

    /// One number.
    #[inline(always)]
    pub fn at(&self, index: usize) -> f32 {
        match self {
            Self::Float32(values) => values[index],
            Self::BFloat16(values) => values[index].to_f32(),
            Self::Float16(values) => values[index].to_f32(),
        }
    }

    /// Copies the numbers from `start` on.
    #[inline(always)]
    pub fn read(&self, start: usize, out: &mut [f32]) {
        let range = start..start + out.len();
        match self {
            Self::Float32(values) => out.copy_from_slice(&values[range]),
            Self::BFloat16(values) => {
                for (out, value) in out.iter_mut().zip(&values[range]) {
                    *out = f32::from_bits(u32::from(value.to_bits()) << 16);
                }
            }
            Self::Float16(values) => values[range].convert_to_f32_slice(out),
        }
    }

    /// Lanes of them: where they lie, or widened in `scratch`.
    #[inline(always)]
    pub fn lanes<'a>(&'a self, range: Range<usize>, scratch: &'a mut Vec<Lane>) -> &'a [Lane] {
        match self {
            Self::Float32(values) => &values.as_chunks().0[range],
            Self::BFloat16(_) | Self::Float16(_) => {
                scratch.resize(range.len(), [0.0; PANEL]);
                self.read(range.start * PANEL, scratch.as_flattened_mut());
                scratch
            }
        }
    }

    /// Overwrites one number, rounded to the nearest; what is beyond the type's range becomes its largest.
    #[inline(always)]
    pub fn set(&mut self, index: usize, value: f32) {
        match self {
            Self::Float32(values) => values[index] = value,
            Self::BFloat16(values) => values[index] = bf16::from_f32(value),
            Self::Float16(values) => {
                let largest = f16::MAX.to_f32();
                values[index] = f16::from_f32(value.clamp(-largest, largest));
            }
        }
    }

    /// Overwrites the numbers from `start` on, each as [`Self::set`].
    #[inline(always)]
    pub fn write(&mut self, start: usize, values: &[f32]) {
        match self {
            Self::Float32(numbers) => numbers[start..][..values.len()].copy_from_slice(values),
            Self::BFloat16(_) | Self::Float16(_) => {
                for (index, &value) in values.iter().enumerate() {
                    self.set(start + index, value);
                }
            }
        }
    }

    /// Overwrites a part with that of another row of the same type.
    pub fn copy_from(&mut self, other: &Self, range: Range<usize>) {
        match (self, other) {
            (Self::Float32(to), Self::Float32(from)) => {
                to[range.clone()].copy_from_slice(&from[range]);
            }
            (Self::BFloat16(to), Self::BFloat16(from)) => {
                to[range.clone()].copy_from_slice(&from[range]);
            }
            (Self::Float16(to), Self::Float16(from)) => {
                to[range.clone()].copy_from_slice(&from[range]);
            }
            (to, from) => to.clone_from(from),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_narrowest_exact_type_is_taken() {
        let third = 1.0f32 / 3.0;
        let brain = bf16::from_f32(third).to_f32();
        let half = f16::from_f32(third).to_f32();
        let dtype = |values: &[f32]| match Numbers::exact(values.to_vec()) {
            Numbers::Float32(_) => Dtype::Float32,
            Numbers::BFloat16(_) => Dtype::BFloat16,
            Numbers::Float16(_) => Dtype::Float16,
        };
        assert_eq!(dtype(&[1.0, brain, 0.0, -0.0]), Dtype::BFloat16);
        assert_eq!(dtype(&[1.0, half, -0.0]), Dtype::Float16);
        assert_eq!(dtype(&[brain, half]), Dtype::Float16);
        assert_eq!(dtype(&[half, third]), Dtype::Float32);
        // Beyond the range of a binary16.
        assert_eq!(dtype(&[half, 1e6]), Dtype::Float32);
    }

    #[test]
    fn numbers_come_back_from_every_type() {
        let values: Vec<f32> = (0..64u8).map(|index| f32::from(index) * 0.25 - 4.0).collect();
        for dtype in [Dtype::Float32, Dtype::BFloat16, Dtype::Float16] {
            let mut numbers = Numbers::zeros(dtype, 64);
            assert_eq!(numbers.bytes(), 64 * dtype.size());
            values.iter().enumerate().for_each(|(index, &value)| numbers.set(index, value));
            let mut copy = Numbers::zeros(dtype, 64);
            copy.copy_from(&numbers, 0..17);
            let mut read = vec![0.0; 10];
            copy.read(7, &mut read);
            assert_eq!(read, values[7..17]);
            let mut scratch = Vec::new();
            assert_eq!(numbers.lanes(1..3, &mut scratch).as_flattened(), &values[16..48]);
        }
    }

    #[test]
    fn a_half_saturates() {
        let mut numbers = Numbers::zeros(Dtype::Float16, 2);
        numbers.set(0, 1e9);
        numbers.set(1, -1e9);
        let mut read = [0.0; 2];
        numbers.read(0, &mut read);
        assert_eq!(read, [65504.0, -65504.0]);
    }
}
