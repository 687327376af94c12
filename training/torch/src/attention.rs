//! Attention over libtorch, in training and in inference on a device.

use tch::{Device, Kind, Tensor};

use crate::error::Result;

/// What is done to scores beyond the plain case.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scores {
    /// What products of queries and keys are multiplied by.
    pub scale: f64,
    /// `cap * tanh(score / cap)` follows.
    pub cap: Option<f64>,
}

/// Attention of `queries` `[B, heads, rows, head_dim]` over `keys` and `values` `[B, key/value heads, positions, head_dim]`:
/// causal, or with a mask `[B, 1, rows, positions]` that is added to the scores.
///
/// # Errors
/// When libtorch refuses, as when memory runs out.
pub fn attention(
    queries: &Tensor,
    keys: &Tensor,
    values: &Tensor,
    mask: Option<&Tensor>,
    scores: Scores,
) -> Result<Tensor> {
    let (batch, heads, rows, head_dim) = queries.size4()?;
    let group = heads / keys.size()[1];
    let alone = |states: &Tensor| match group {
        1 => Ok(states.shallow_clone()),
        _ => states.f_repeat_interleave_self_int(group, 1, None),
    };
    if let Some(cap) = scores.cap {
        return capped(queries, &alone(keys)?, &alone(values)?, mask, (scores.scale, cap));
    }
    // Left to choose on a GPU, libtorch takes cuDNN's attention for 16 bits, which makes a plan for every shape, and nearly
    // every pass has a shape of its own; for groups of heads in 32 bits it writes out all scores. This kernel does neither,
    // but wants rows of whole vectors.
    if queries.device() != Device::Cpu && head_dim % 8 == 0 {
        let mask = mask.map(|mask| mask.f_expand([batch, heads, rows, -1], false)).transpose()?;
        let causal = mask.is_none();
        // An adapter may train the values alone.
        let trained = [queries, keys, values].iter().any(|states| states.requires_grad());
        let (mixed, ..) = Tensor::f_internal_scaled_dot_product_efficient_attention(
            queries,
            &alone(keys)?,
            &alone(values)?,
            mask,
            trained,
            0.0,
            causal,
            Some(scores.scale),
        )?;
        return Ok(mixed);
    }
    Ok(Tensor::f_scaled_dot_product_attention(
        queries,
        keys,
        values,
        mask,
        0.0,
        mask.is_none(),
        Some(scores.scale),
        group > 1,
    )?)
}

/// Attention with soft-capped scores, which libtorch's kernels do not have.
fn capped(
    queries: &Tensor,
    keys: &Tensor,
    values: &Tensor,
    mask: Option<&Tensor>,
    (scale, cap): (f64, f64),
) -> Result<Tensor> {
    let scores = queries.f_matmul(&keys.f_transpose(-2, -1)?)?.f_mul_scalar(scale / cap)?;
    let scores = scores.f_tanh()?.f_mul_scalar(cap)?;
    let scores = match mask {
        Some(mask) => scores.f_add(mask)?,
        None => {
            let rows = queries.size()[2];
            let all = Tensor::f_ones([rows, rows], (Kind::Bool, queries.device()))?;
            scores.f_masked_fill(&all.f_triu(1)?, f64::NEG_INFINITY)?
        }
    };
    // In 32 bits, as in the kernels.
    let weights = scores.f_softmax(-1, Kind::Float)?.f_to_kind(values.kind())?;
    Ok(weights.f_matmul(values)?)
}

/// What is added to scores, `[B, 1, rows, rows]`, to hide what is true in `[B, rows, rows]`. Rows lie a multiple of 16 numbers apart, as
/// libtorch's kernels want.
///
/// # Errors
/// When libtorch refuses, as when memory runs out.
pub fn hidden_mask(hidden: &Tensor, (kind, device): (Kind, Device)) -> Result<Tensor> {
    let (batch, rows, columns) = hidden.size3()?;
    let mask = Tensor::f_zeros([batch, 1, rows, (columns + 15) / 16 * 16], (kind, device))?;
    let mut mask = mask.f_narrow(3, 0, columns)?;
    let _ = mask.f_masked_fill_(&hidden.f_unsqueeze(1)?, f64::NEG_INFINITY)?;
    Ok(mask)
}
