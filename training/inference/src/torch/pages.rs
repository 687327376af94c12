//! Blocks of keys and values in a device's memory.

use espalier_torch::error::Result;
use tch::{Device, Kind, Tensor};

use super::to_device;
use crate::kernel::PANEL;
use crate::pages::CacheShape;

/// Blocks that there is room for at first. It grows by a quarter at least, so that what is copied stays in proportion and
/// little is taken in vain.
const FIRST: usize = 64;

/// All layers' pages.
pub(super) struct Pages {
    /// Of each layer a position's keys, then its values, of all heads, `[blocks * PANEL, 2 * heads, head_dim]`. The first
    /// block belongs to no sequence and stays 0: padded rows of a batch read it, so that masked entries are numbers and not NaN.
    layers: Vec<Tensor>,
    /// `2 * heads` and `head_dim`.
    row: [i64; 2],
    /// Blocks that there is room for.
    room: usize,
    options: (Kind, Device),
}

/// The row of the padding.
pub(super) const NOBODY: i64 = 0;

/// The row of a position in the block of a number.
pub(super) fn row(block: usize, position: usize) -> i64 {
    ((block + 1) * PANEL + position % PANEL) as i64
}

impl Pages {
    pub fn new(shape: CacheShape, kind: Kind, device: Device) -> Result<Self> {
        let row = [2 * shape.heads as i64, shape.head_dim as i64];
        let mut pages = Self { layers: Vec::new(), row, room: 0, options: (kind, device) };
        for _ in 0..shape.layers {
            pages.layers.push(pages.rows(0)?);
        }
        Ok(pages)
    }

    /// The type of keys and values.
    pub fn kind(&self) -> Kind {
        self.options.0
    }

    /// Zeros for so many blocks and the first one, which belongs to no sequence.
    fn rows(&self, blocks: usize) -> Result<Tensor> {
        let [heads, head_dim] = self.row;
        Ok(Tensor::f_zeros([((blocks + 1) * PANEL) as i64, heads, head_dim], self.options)?)
    }

    /// Makes room for blocks below a number.
    pub fn reserve(&mut self, blocks: usize) -> Result<()> {
        if blocks <= self.room {
            return Ok(());
        }
        let room = blocks.max(self.room + self.room / 4).max(FIRST);
        // One tensor after the other, so that no more than one of them is there twice.
        for layer in 0..self.layers.len() {
            let grown = self.rows(room)?;
            let old = &self.layers[layer];
            grown.f_narrow(0, 0, old.size()[0])?.f_copy_(old)?;
            self.layers[layer] = grown;
        }
        self.room = room;
        Ok(())
    }

    /// Copies whole blocks, given by number, into others: tails that sequences share and one of them goes on writing.
    pub fn copy(&mut self, from: &[usize], to: &[usize]) -> Result<()> {
        if from.is_empty() {
            return Ok(());
        }
        let index = |blocks: &[usize]| {
            let blocks: Vec<i64> = blocks.iter().map(|&block| block as i64 + 1).collect();
            to_device(&blocks, self.options.1)
        };
        let (from, to) = (index(from)?, index(to)?);
        let block = PANEL as i64 * self.row.iter().product::<i64>();
        for rows in &self.layers {
            let mut blocks = rows.f_view([-1, block])?;
            let _ = blocks.f_index_copy_(0, &to, &blocks.f_index_select(0, &from)?)?;
        }
        Ok(())
    }

    /// Writes keys and values `[rows, 2 * heads, head_dim]` into rows of a layer.
    pub fn write(&mut self, layer: usize, rows: &Tensor, new: &Tensor) -> Result<()> {
        let _ = self.layers[layer].f_index_copy_(0, rows, &new.f_to_kind(self.options.0)?)?;
        Ok(())
    }

    /// Keys and values of rows of a layer, `[rows, 2 * heads, head_dim]`.
    pub fn read(&self, layer: usize, rows: &Tensor) -> Result<Tensor> {
        Ok(self.layers[layer].f_index_select(0, rows)?)
    }
}
