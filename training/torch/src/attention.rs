//! Attention over libtorch, in training and in inference on a device.

use tch::{Device, Tensor};

use crate::error::Result;

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
) -> Result<Tensor> {
    let (batch, heads, rows, head_dim) = queries.size4()?;
    let group = heads / keys.size()[1];
    // Left to choose on a GPU, libtorch takes cuDNN's attention for 16 bits, which makes a plan for every shape, and nearly
    // every pass has a shape of its own; for groups of heads in 32 bits it writes out all scores. This kernel does neither,
    // but wants rows of whole vectors.
    if queries.device() != Device::Cpu && head_dim % 8 == 0 {
        let alone = |states: &Tensor| match group {
            1 => Ok(states.shallow_clone()),
            _ => states.f_repeat_interleave_self_int(group, 1, None),
        };
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
            None,
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
        None,
        group > 1,
    )?)
}
