//! Weight matrices in blocks of 32 small integers with a scale, multiplied by activations in such blocks of 8 bits.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod blocks;
mod kernel;
mod stored;

use espalier_model::dtype::Dtype;
use smallvec::SmallVec;

pub(super) use blocks::{BLOCK, activations};
pub(super) use kernel::{Instructions, Panel, Product, Tile};

use crate::config::WeightFormat;
use crate::kernel::{Lane, PANEL, TOGETHER};
use crate::numbers::Numbers;
use blocks::{Block, WORDS, q4_0, q8_0};

/// Words that the activations of one row take.
pub(super) fn words(inputs: usize) -> usize {
    inputs.div_ceil(BLOCK) * WORDS
}

/// A matrix `[outputs, inputs]` in panels of sixteen outputs.
pub(super) struct Quantised {
    layout: Layout,
    /// Blocks of a row; the last is filled up with zeros.
    blocks: usize,
    /// `[panels, blocks, registers]`; [`Panel::bytes`].
    bytes: Vec<[u8; 64]>,
    /// `[panels, blocks, PANEL]`.
    scales: Numbers,
    /// The same, or empty.
    minimums: Numbers,
}

/// How a block is held.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layout {
    four_bits: bool,
    minimums: bool,
    /// Rounds numbers to the format, or takes none that are not of the layout.
    format: WeightFormat,
}

impl Layout {
    /// Those that hold a format's numbers, the smallest first.
    pub fn of(format: WeightFormat) -> Vec<Self> {
        let of = |(four_bits, minimums)| Self { four_bits, minimums, format };
        match format {
            WeightFormat::Q8_0 => vec![of((false, false))],
            WeightFormat::Q4_0 => vec![of((true, false))],
            WeightFormat::Stored => {
                [(true, false), (true, true), (false, false), (false, true)].map(of).into()
            }
        }
    }

    /// Registers of 64 bytes that a block of sixteen outputs takes.
    fn registers(self) -> usize {
        if self.four_bits { 4 } else { 8 }
    }

    #[inline(always)]
    fn block(self, values: &[f32; BLOCK]) -> Option<Block> {
        match self.format {
            WeightFormat::Q8_0 => Some(q8_0(values)),
            WeightFormat::Q4_0 => Some(q4_0(values)),
            WeightFormat::Stored => stored::block(values, self.four_bits, self.minimums),
        }
    }
}

/// Scales and minimums of a few panels in 32 bits.
#[derive(Default)]
pub(super) struct Scales(Vec<Lane>, Vec<Lane>);

impl Quantised {
    /// Room for so many panels, all zeros.
    pub fn new(layout: Layout, inputs: usize, panels: usize) -> Self {
        let blocks = inputs.div_ceil(BLOCK);
        let count = panels * blocks;
        let dtype = match layout.format {
            WeightFormat::Stored => Dtype::Float32,
            WeightFormat::Q8_0 | WeightFormat::Q4_0 => Dtype::Float16,
        };
        Self {
            layout,
            blocks,
            bytes: vec![[0; 64]; count * layout.registers()],
            scales: Numbers::zeros(dtype, count * PANEL),
            minimums: Numbers::zeros(dtype, if layout.minimums { count * PANEL } else { 0 }),
        }
    }

    /// Quantises one output's weights; `None` where they are not of the layout.
    #[inline(always)]
    pub fn write(&mut self, panel: usize, lane: usize, row: &[f32]) -> Option<()> {
        let registers = self.layout.registers();
        for (block, numbers) in row.chunks(BLOCK).enumerate() {
            let mut values = [0.0; BLOCK];
            values[..numbers.len()].copy_from_slice(numbers);
            let at = panel * self.blocks + block;
            let Block { integers, scale, minimum } = self.layout.block(&values)?;
            self.scales.set(at * PANEL + lane, scale);
            if self.layout.minimums {
                self.minimums.set(at * PANEL + lane, minimum);
            }
            let bytes = &mut self.bytes[at * registers..][..registers];
            for (step, four) in integers.as_chunks::<4>().0.iter().enumerate() {
                let target = &mut bytes[step % registers][4 * lane..][..4];
                let shift = if step < registers { 0 } else { 4 };
                target.iter_mut().zip(four).for_each(|(byte, integer)| *byte |= integer << shift);
            }
        }
        Some(())
    }

    /// With scales and minimums in 16 bits where those hold them.
    pub fn narrow(self) -> Self {
        Self { scales: self.scales.narrow(), minimums: self.minimums.narrow(), ..self }
    }

    /// Reads one output's weights.
    pub fn read(&self, panel: usize, lane: usize, out: &mut [f32]) {
        let Layout { four_bits, minimums, .. } = self.layout;
        let registers = self.layout.registers();
        let offset = match (four_bits, minimums) {
            (true, true) => 0.0,
            (true, false) => 8.0,
            (false, _) => 128.0,
        };
        for (block, out) in out.chunks_mut(BLOCK).enumerate() {
            let at = panel * self.blocks + block;
            let scale = self.scales.at(at * PANEL + lane);
            let minimum = if minimums { self.minimums.at(at * PANEL + lane) } else { 0.0 };
            let bytes = &self.bytes[at * registers..][..registers];
            for (step, out) in out.chunks_mut(4).enumerate() {
                let four = &bytes[step % registers][4 * lane..][..4];
                for (out, &byte) in out.iter_mut().zip(four) {
                    let integer = match (four_bits, step < registers) {
                        (true, true) => byte & 15,
                        (true, false) => byte >> 4,
                        (false, _) => byte,
                    };
                    *out = (f32::from(integer) - offset) * scale + minimum;
                }
            }
        }
    }

    /// Bytes.
    pub fn bytes(&self) -> usize {
        size_of_val(self.bytes.as_slice()) + self.scales.bytes() + self.minimums.bytes()
    }

    /// The panels from `first` on.
    pub fn panels<'a>(
        &'a self,
        first: usize,
        count: usize,
        Scales(scales, minimums): &'a mut Scales,
    ) -> SmallVec<[Panel<'a>; TOGETHER]> {
        let (blocks, registers) = (self.blocks, self.layout.registers());
        let four_bits = self.layout.four_bits;
        let lanes = first * blocks..(first + count) * blocks;
        let scales = self.scales.lanes(lanes.clone(), scales).chunks_exact(blocks);
        let minimums = match self.layout.minimums {
            true => self.minimums.lanes(lanes, minimums),
            false => &[],
        };
        let bytes = self.bytes[first * blocks * registers..].chunks_exact(blocks * registers);
        let panels = scales.zip(bytes).enumerate();
        panels
            .map(|(index, (scales, bytes))| {
                let minimums = minimums.get(index * blocks..(index + 1) * blocks).unwrap_or(&[]);
                Panel { bytes, four_bits, scales, minimums }
            })
            .collect()
    }
}

#[cfg(test)]
mod tests;
