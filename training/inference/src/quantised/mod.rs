//! Weight matrices in blocks of 32 small integers with a scale, multiplied by activations in such blocks of 8 bits.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod blocks;
mod kernel;

use half::f16;
use half::slice::HalfFloatSliceExt;
use smallvec::SmallVec;

pub(super) use blocks::{BLOCK, activations};
pub(super) use kernel::{Instructions, Panel, Product, Tile};

use crate::config::WeightFormat;
use crate::kernel::{Lane, PANEL, TOGETHER};
use blocks::{WORDS, q4_0, q8_0};

/// Words that the activations of one row take.
pub(super) fn words(inputs: usize) -> usize {
    inputs.div_ceil(BLOCK) * WORDS
}

/// A matrix `[outputs, inputs]` in panels of sixteen outputs.
pub(super) struct Quantised {
    format: WeightFormat,
    /// Blocks of a row; the last is filled up with zeros.
    blocks: usize,
    /// `[panels, blocks, registers]`; [`Panel::bytes`].
    bytes: Vec<[u8; 64]>,
    /// `[panels, blocks]`.
    scales: Vec<[f16; PANEL]>,
}

/// Scales of a few panels in 32 bits.
#[derive(Default)]
pub(super) struct Scales(Vec<Lane>);

impl Quantised {
    /// Room for so many panels, all zeros.
    pub fn new(format: WeightFormat, inputs: usize, panels: usize) -> Self {
        let blocks = inputs.div_ceil(BLOCK);
        let count = panels * blocks;
        let bytes = vec![[0; 64]; count * registers(format)];
        Self { format, blocks, bytes, scales: vec![[f16::ZERO; PANEL]; count] }
    }

    /// Quantises one output's weights.
    #[inline(always)]
    pub fn write(&mut self, panel: usize, lane: usize, row: &[f32]) {
        let registers = registers(self.format);
        for (block, numbers) in row.chunks(BLOCK).enumerate() {
            let mut values = [0.0; BLOCK];
            values[..numbers.len()].copy_from_slice(numbers);
            let block = panel * self.blocks + block;
            let (integers, scale) = match self.format {
                WeightFormat::Q8_0 => q8_0(&values),
                WeightFormat::Q4_0 => q4_0(&values),
            };
            self.scales[block][lane] = scale;
            let bytes = &mut self.bytes[block * registers..][..registers];
            for (step, four) in integers.as_chunks::<4>().0.iter().enumerate() {
                let target = &mut bytes[step % registers][4 * lane..][..4];
                let shift = if step < registers { 0 } else { 4 };
                target.iter_mut().zip(four).for_each(|(byte, integer)| *byte |= integer << shift);
            }
        }
    }

    /// Reads one output's weights.
    pub fn read(&self, panel: usize, lane: usize, out: &mut [f32]) {
        let (registers, offset) = match self.format {
            WeightFormat::Q8_0 => (8, 128.0),
            WeightFormat::Q4_0 => (4, 8.0),
        };
        for (block, out) in out.chunks_mut(BLOCK).enumerate() {
            let block = panel * self.blocks + block;
            let scale = self.scales[block][lane].to_f32();
            let bytes = &self.bytes[block * registers..][..registers];
            for (step, out) in out.chunks_mut(4).enumerate() {
                let four = &bytes[step % registers][4 * lane..][..4];
                for (out, &byte) in out.iter_mut().zip(four) {
                    let integer = match (registers, step < registers) {
                        (8, _) => byte,
                        (_, true) => byte & 15,
                        (_, false) => byte >> 4,
                    };
                    *out = (f32::from(integer) - offset) * scale;
                }
            }
        }
    }

    /// Bytes.
    pub fn bytes(&self) -> usize {
        size_of_val(self.bytes.as_slice()) + size_of_val(self.scales.as_slice())
    }

    /// The panels from `first` on.
    pub fn panels<'a>(
        &'a self,
        first: usize,
        count: usize,
        scales: &'a mut Scales,
    ) -> SmallVec<[Panel<'a>; TOGETHER]> {
        let (blocks, registers) = (self.blocks, registers(self.format));
        scales.0.resize(count * blocks, [0.0; PANEL]);
        let narrow = &self.scales[first * blocks..][..count * blocks];
        narrow.as_flattened().convert_to_f32_slice(scales.0.as_flattened_mut());
        let bytes = self.bytes[first * blocks * registers..].chunks_exact(blocks * registers);
        let panels = scales.0.chunks_exact(blocks).zip(bytes);
        panels
            .map(|(scales, bytes)| Panel {
                bytes,
                four_bits: registers == 4,
                scales,
                minimums: &[],
            })
            .collect()
    }
}

/// Registers of 64 bytes that a block of sixteen outputs takes.
fn registers(format: WeightFormat) -> usize {
    match format {
        WeightFormat::Q8_0 => 8,
        WeightFormat::Q4_0 => 4,
    }
}

#[cfg(test)]
mod tests;
