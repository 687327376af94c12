//! The gradient of a loss of the final hidden states, with or without the inner states of all blocks in memory.

use tch::Tensor;

use super::{EMBEDDING, Layout, PolicyValueNet};
use crate::error::Result;

/// One gradient a trainable tensor, in the order of [`PolicyValueNet::trainable`]; `None` where the loss does not depend
/// on it.
pub(crate) type Gradients = Vec<Option<Tensor>>;

impl PolicyValueNet {
    /// What `loss` makes of the final hidden states `[N, D]` of a pass, and the gradients of its first part,
    /// a scalar. Gradients are handed out and not kept in the leaves, so that threads can share these.
    pub(crate) fn gradients<L>(
        &self,
        layout: &Layout,
        loss: impl FnOnce(&Tensor) -> Result<(Tensor, L)>,
    ) -> Result<(L, Gradients)> {
        if self.activation_checkpointing {
            return self.checkpointed(layout, loss);
        }
        let hidden = self.states(layout)?;
        let (total, parts) = loss(&hidden)?;
        drop(hidden);
        let (_, leaves): (Vec<_>, Vec<_>) = self.trainable().unzip();
        Ok((parts, differentiate(&total, &leaves)?))
    }

    /// As [`Self::gradients`]: the forward pass keeps the input of each block, and the backward pass computes block after
    /// block again. Blocks draw no random numbers, so that the second time gives what the first gave.
    fn checkpointed<L>(
        &self,
        layout: &Layout,
        loss: impl FnOnce(&Tensor) -> Result<(Tensor, L)>,
    ) -> Result<(L, Gradients)> {
        let turns = self.turns(layout)?;
        let layers = self.config.num_hidden_layers;
        let mut inputs = Vec::with_capacity(layers);
        let mut hidden = tch::no_grad(|| self.embed(&layout.tokens))?;
        for layer in 0..layers {
            let next = tch::no_grad(|| self.block(layer, &hidden, &turns))?;
            inputs.push(std::mem::replace(&mut hidden, next));
        }
        let (names, leaves): (Vec<_>, Vec<_>) = self.trainable().unzip();
        let mut gradients: Gradients = leaves.iter().map(|_| None).collect();
        // Differentiates by the leaves of one segment and by what it reads, and adds to the gradients.
        let mut segment = |total: &Tensor,
                           input: Option<&Tensor>,
                           belongs: &dyn Fn(&str) -> bool|
         -> Result<Option<Tensor>> {
            let chosen: Vec<usize> =
                (0..names.len()).filter(|&index| belongs(names[index])).collect();
            let mut wanted: Vec<&Tensor> = chosen.iter().map(|&index| leaves[index]).collect();
            wanted.extend(input);
            let mut found = differentiate(total, &wanted)?;
            let upstream = input.and_then(|_| found.pop().flatten());
            for (index, gradient) in chosen.into_iter().zip(found) {
                add(&mut gradients[index], gradient)?;
            }
            Ok(upstream)
        };
        let leaf = |hidden: Tensor| hidden.f_detach()?.f_set_requires_grad(true);

        let last = leaf(hidden)?;
        let (total, parts) = loss(&self.final_norm(&last)?)?;
        let mut upstream = segment(&total, Some(&last), &|name| !is_block(name))?;
        drop((total, last));
        for (layer, input) in inputs.into_iter().enumerate().rev() {
            let Some(gradient) = upstream else { return Ok((parts, gradients)) };
            let input = leaf(input)?;
            let output = self.block(layer, &input, &turns)?;
            // The gradient of this number by anything is the upstream gradient's product with the block's derivative.
            let total = output.f_mul(&gradient)?.f_sum(None)?;
            drop((output, gradient));
            let prefix = format!("model.layers.{layer}.");
            upstream = segment(&total, Some(&input), &|name| name.contains(&prefix))?;
        }
        if let Some(gradient) = upstream
            && names.contains(&EMBEDDING)
        {
            let total = self.embed(&layout.tokens)?.f_mul(&gradient)?.f_sum(None)?;
            segment(&total, None, &|name| name == EMBEDDING)?;
        }
        Ok((parts, gradients))
    }
}

/// Whether a tensor is part of a block, by its own name or by its adapter's.
fn is_block(name: &str) -> bool {
    name.contains("model.layers.")
}

/// Gradients of a scalar.
fn differentiate(total: &Tensor, leaves: &[&Tensor]) -> Result<Gradients> {
    if !total.requires_grad() {
        return Ok(leaves.iter().map(|_| None).collect());
    }
    let found = Tensor::f_run_backward(&[total], leaves, false, false)?;
    Ok(found.into_iter().map(|gradient| gradient.defined().then_some(gradient)).collect())
}

/// Adds a gradient to another.
pub(crate) fn add(sum: &mut Option<Tensor>, gradient: Option<Tensor>) -> Result<()> {
    match (sum.as_mut(), gradient) {
        (Some(sum), Some(gradient)) => drop(tch::no_grad(|| sum.f_add_(&gradient))?),
        (None, gradient) => *sum = gradient,
        (Some(_), None) => {}
    }
    Ok(())
}
