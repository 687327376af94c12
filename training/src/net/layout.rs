//! How the tokens of a pass lie: one behind the other, and in blocks of rows for attention.

use espalier_torch::attention::hidden_mask;
use tch::{Device, Kind, Tensor};

use crate::error::Result;

/// N tokens. All that a net does but attention treats each alone; attention is within rows, which have one length in a block.
#[derive(Debug)]
pub(crate) struct Layout {
    /// Token ids, i64 `[N]`.
    pub tokens: Tensor,
    /// How many tokens come before each in its text, i64 `[N]`.
    pub positions: Tensor,
    /// They follow one another in the tokens.
    pub blocks: Vec<Block>,
    /// The longest text's length.
    pub longest: usize,
}

/// Rows of one length, padded on the right.
#[derive(Debug)]
pub(crate) struct Block {
    pub rows: i64,
    pub length: i64,
    /// Where rows are trees: the place in the row behind each token's last descendant, i64 `[rows, length]`. Where this is absent a row is
    /// one text.
    pub ends: Option<Tensor>,
}

impl Layout {
    /// Texts of one length, `[B, T]`, or one of them, `[T]`.
    pub fn texts(tokens: &Tensor) -> Result<Self> {
        let length = tokens.size().last().copied().unwrap_or(0);
        let rows = tokens.numel() as i64 / length.max(1);
        let positions = Tensor::f_arange(length, (Kind::Int64, tokens.device()))?;
        Ok(Self {
            tokens: tokens.f_reshape([-1])?,
            positions: positions.f_repeat([rows])?,
            blocks: vec![Block { rows, length, ends: None }],
            longest: length as usize,
        })
    }
}

impl Block {
    /// Tokens, padding included.
    pub fn tokens(&self) -> i64 {
        self.rows * self.length
    }

    /// What is added to scores, `[rows or 1, 1, length, length]`, so that a token sees its text up to itself, and of that at most `window`
    /// tokens; `None` where that is what causal attention does. `positions` are the block's own.
    pub fn mask(
        &self,
        positions: &Tensor,
        window: Option<usize>,
        kind: (Kind, Device),
    ) -> Result<Option<Tensor>> {
        let window = window.map(|window| window as i64).filter(|&window| window < self.length);
        if self.ends.is_none() && window.is_none() {
            return Ok(None);
        }
        let places = Tensor::f_arange(self.length, (Kind::Int64, kind.1))?;
        let (rows, columns) = (places.f_view([1, -1, 1])?, places.f_view([1, 1, -1])?);
        let mut hidden = columns.f_gt_tensor(&rows)?;
        if let Some(ends) = &self.ends {
            hidden = hidden.f_logical_or(&rows.f_ge_tensor(&ends.f_unsqueeze(1)?)?)?;
        }
        if let Some(window) = window {
            let positions = positions.f_view([self.rows, self.length])?;
            let distance = positions.f_unsqueeze(2)?.f_sub(&positions.f_unsqueeze(1)?)?;
            hidden = hidden.f_logical_or(&distance.f_ge(window)?)?;
        }
        Ok(Some(hidden_mask(&hidden, kind)?))
    }
}
