//! The net over libtorch, for devices that our own kernels do not run on.
//!
//! A pass is the same ragged rows as on the CPU: matrices are multiplied with all rows at once and without padding, and
//! attention gathers the blocks of sequences of about one size into a rectangle. So a pass is a fixed number of
//! operations a layer and size, however many rows there are.

mod draw;
mod experts;
mod pages;
mod plan;
mod weights;

use std::sync::{Arc, Mutex, PoisonError};

use espalier_model::checkpoint::Checkpoint;
use espalier_model::config::architecture::Architecture;
use espalier_model::dtype::Dtype;
use espalier_torch::attention::{Scores, attention};
use espalier_torch::error::Result;
use espalier_torch::tensor::kind;
use tch::{Device, Kind, Tensor};

use crate::kernel::PANEL;
use crate::model::Pass;
use crate::pages::CacheShape;
use crate::prefix::State;
pub(super) use draw::{draw, log_probs};
use pages::Pages;
use plan::{Batch, Heads, Plan};
use weights::{Layer, Weights};

/// A net on a device.
pub(super) struct TorchModel {
    pub cache: CacheShape,
    pub max_length: usize,
    /// Multiply-adds of the blocks' matrices, and of the head, for one row.
    pub body_cost: usize,
    pub head_cost: usize,
    width: usize,
    logit_scale: Option<f64>,
    final_cap: Option<f64>,
    /// One scheduler runs the passes, so no thread waits here: the lock exists because tensors are not `Sync`.
    net: Mutex<Net>,
}

/// What lies on the device.
struct Net {
    weights: Weights,
    pages: Pages,
    device: Device,
    heads: Heads,
    head_dim: i64,
    epsilon: f64,
    architecture: Architecture,
    scores: Scores,
    /// Windows that some layers have, each once.
    windows: Vec<Option<usize>>,
}

/// Indices on a device.
fn to_device(indices: &[i64], device: Device) -> Result<Tensor> {
    Ok(Tensor::f_from_slice(indices)?.f_to_device(device)?)
}

impl TorchModel {
    /// Copies a checkpoint to a device. Keys and values are of type `cached`, or of the checkpoint's.
    ///
    /// # Errors
    /// When the device refuses, most likely for want of memory.
    pub fn new(checkpoint: &Checkpoint, device: Device, cached: Option<Dtype>) -> Result<Self> {
        let config = &checkpoint.config;
        let cache = CacheShape::new(config);
        let weights = Weights::new(checkpoint, device)?;
        let body_cost = weights.layers.iter().map(Layer::cost).sum();
        let architecture = config.architecture()?;
        let mut windows = architecture.windows.clone();
        windows.sort_unstable();
        windows.dedup();
        let final_cap = architecture.final_cap.map(f64::from);
        let logit_scale = architecture.logit_scale.map(f64::from);
        let max_length = architecture.max_length;
        let net = Net {
            pages: Pages::new(cache, cached.map_or(weights.kind, kind), device)?,
            weights,
            device,
            heads: Heads { queries: config.num_attention_heads, keys: config.key_value_heads() },
            head_dim: config.head_dim() as i64,
            epsilon: config.rms_norm_eps(),
            scores: Scores {
                scale: 1.0 / architecture.score_width.sqrt(),
                cap: architecture.attention_cap.map(f64::from),
            },
            windows,
            architecture,
        };
        Ok(Self {
            cache,
            max_length,
            body_cost,
            head_cost: config.vocab_size * config.hidden_size,
            width: config.hidden_size,
            logit_scale,
            final_cap,
            net: Mutex::new(net),
        })
    }

    /// Bytes of a block on the device.
    pub fn block_bytes(&self) -> usize {
        let CacheShape { layers, heads, head_dim } = self.cache;
        let kind = self.with_net(|net| net.pages.kind());
        2 * layers * heads * head_dim * PANEL * kind.elt_size_in_bytes()
    }

    fn with_net<R>(&self, run: impl FnOnce(&mut Net) -> R) -> R {
        run(&mut self.net.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The final states of the wanted rows. They come to the host, where the prefix cache keeps them and the value head
    /// reads them: a state is a few kilobytes, one copy brings those of a pass, and the keys and values, which are large,
    /// stay where they are.
    pub fn forward(&self, pass: &mut Pass<'_>) -> Result<Vec<State>> {
        let states = self.with_net(|net| tch::no_grad(|| net.forward(pass)))?;
        let mut values = vec![0.0; states.numel()];
        states.f_copy_data(&mut values, states.numel())?;
        Ok(values.chunks_exact(self.width).map(Arc::from).collect())
    }

    /// Logits `[states, vocab_size]` of final states, on the device.
    pub fn logits(&self, states: &[&[f32]]) -> Result<Tensor> {
        let rows = Tensor::f_from_slice(&states.concat())?.f_view([-1, self.width as i64])?;
        self.with_net(|net| {
            let rows = rows.f_to_device(net.device)?;
            let mut logits = rows.f_linear(&net.weights.head, None::<Tensor>)?;
            if let Some(scale) = self.logit_scale {
                logits = logits.f_mul_scalar(scale)?;
            }
            match self.final_cap {
                Some(cap) => Ok(logits.f_div_scalar(cap)?.f_tanh()?.f_mul_scalar(cap)?),
                None => Ok(logits),
            }
        })
    }
}

impl Net {
    /// Final states `[wanted rows, width]`, fp32, on the host.
    fn forward(&mut self, pass: &mut Pass<'_>) -> Result<Tensor> {
        self.prepare(pass)?;
        let plan = Plan::new(pass, self.heads, &self.windows, (self.weights.kind, self.device))?;
        let Weights { kind, embedding, ropes, .. } = &self.weights;
        let kind = *kind;
        let turns = ropes.iter().map(|[cosines, sines]| {
            let of_rows = |table: &Tensor| table.f_index_select(0, &plan.positions);
            Ok([of_rows(cosines)?, of_rows(sines)?])
        });
        let turns = turns.collect::<Result<Vec<_>>>()?;
        let mut hidden = embedding.f_index_select(0, &plan.tokens)?.f_to_kind(Kind::Float)?;
        if let Some(scale) = self.architecture.embedding_scale {
            hidden = hidden.f_mul_scalar(f64::from(scale))?;
        }
        for index in 0..self.weights.layers.len() {
            let layer = &self.weights.layers[index];
            let normed = self.before(&hidden, layer.attention_norm.as_ref())?.f_to_kind(kind)?;
            let qkv = layer.qkv.apply(&normed)?;
            let turns = self.architecture.rope_of_layer[index].map(|rope| &turns[rope]);
            let mixed = self.attend(index, &qkv, turns, &plan)?;
            let layer = &self.weights.layers[index];
            let attended = layer.output.apply(&mixed)?;
            let _ = hidden.f_add_(&self.after(attended, layer.after_attention_norm.as_ref())?)?;

            let normed = self.before(&hidden, layer.feed_forward_norm.as_ref())?;
            let fed = layer.feed_forward.apply(&normed, self.architecture.activation, kind)?;
            let _ = hidden.f_add_(&self.after(fed, layer.after_feed_forward_norm.as_ref())?)?;
        }
        let wanted = hidden.f_index_select(0, &plan.wanted)?;
        Ok(self.norm(&wanted, &self.weights.norm)?.f_to_device(Device::Cpu)?)
    }

    /// Makes room for the pass's blocks, and copies the tails that its sequences go on writing.
    fn prepare(&mut self, pass: &mut Pass<'_>) -> Result<()> {
        let (mut from, mut to) = (Vec::new(), Vec::new());
        // The sources stay in use until they were read.
        let mut sources = Vec::new();
        let mut room = 0;
        for block in pass.sequences.iter_mut().flat_map(|sequence| &mut sequence.table.own) {
            room = room.max(block.number() + 1);
            if let Some(source) = block.take_source() {
                from.push(source.number());
                to.push(block.number());
                sources.push(source);
            }
        }
        self.pages.reserve(room)?;
        self.pages.copy(&from, &to)
    }

    fn norm(&self, hidden: &Tensor, weight: &Tensor) -> Result<Tensor> {
        let width = hidden.size()[1];
        Ok(hidden.f_rms_norm([width], Some(weight), self.epsilon)?)
    }

    /// What a block's part reads.
    fn before(&self, hidden: &Tensor, norm: Option<&Tensor>) -> Result<Tensor> {
        norm.map_or_else(|| Ok(hidden.shallow_clone()), |weight| self.norm(hidden, weight))
    }

    /// A block's part as it is added to the residual stream.
    fn after(&self, part: Tensor, norm: Option<&Tensor>) -> Result<Tensor> {
        let part = match norm {
            Some(weight) => self.norm(&part.f_to_kind(Kind::Float)?, weight)?,
            None => part,
        };
        match self.architecture.residual_scale {
            Some(scale) => Ok(part.f_to_kind(Kind::Float)?.f_mul_scalar(f64::from(scale))?),
            None => Ok(part),
        }
    }

    /// Stores the rows' keys and values and attends, `[rows, (heads + 2 key/value heads) * head_dim]` to
    /// `[rows, heads * head_dim]`.
    fn attend(
        &mut self,
        layer: usize,
        qkv: &Tensor,
        turns: Option<&[Tensor; 2]>,
        plan: &Plan,
    ) -> Result<Tensor> {
        let Self { heads: Heads { queries, keys }, head_dim, .. } = *self;
        let (queries, keys) = (queries as i64, keys as i64);
        if let Some(weights) = &self.weights.layers[layer].whole_norms {
            let of_query = qkv.f_narrow(1, 0, queries * head_dim)?;
            let of_key = qkv.f_narrow(1, queries * head_dim, keys * head_dim)?;
            for (mut states, weight) in [of_query, of_key].into_iter().zip(weights) {
                states.f_copy_(&self.norm(&states.f_to_kind(Kind::Float)?, weight)?)?;
            }
        }
        let qkv = qkv.f_view([-1, queries + 2 * keys, head_dim])?;
        let mut turned = qkv.f_narrow(1, 0, queries + keys)?;
        let both = match &self.weights.layers[layer].head_norms {
            None => turned.shallow_clone(),
            Some(weight) => {
                let both = turned.f_to_kind(Kind::Float)?;
                both.f_rms_norm([head_dim], None::<Tensor>, self.epsilon)?.f_mul(weight)?
            }
        };
        let width = turns.map_or(0, |[cosines, _]| cosines.size()[2]);
        if width < head_dim && self.weights.layers[layer].head_norms.is_some() {
            turned.f_copy_(&both)?;
        }
        if let Some([cosines, sines]) = turns {
            let part = |heads: Tensor| match width == head_dim {
                true => Ok(heads),
                false => heads.f_narrow(2, 0, width),
            };
            let (both, turned) = (part(both)?, part(turned)?);
            // Pairs lie half of the rotated part apart.
            let halves = both.f_chunk(2, 2)?;
            let exchanged = Tensor::f_cat(&[&halves[1], &halves[0]], 2)?;
            // In the tables' 32 bits, and rounded where it is written.
            let _ = both.f_mul(cosines)?.f_addcmul_out(&turned, &exchanged, sines)?;
        }
        self.pages.write(layer, &plan.targets, &qkv.f_narrow(1, queries, 2 * keys)?)?;
        let rows = qkv.f_view([-1, head_dim])?;
        let mixed = plan.batches.iter().map(|batch| self.mix(layer, &rows, batch));
        let mixed = match &mixed.collect::<Result<Vec<_>>>()?[..] {
            [mixed] => mixed.shallow_clone(),
            several => Tensor::f_cat(several, 0)?,
        };
        Ok(mixed.f_index_select(0, &plan.places)?.f_view([-1, queries * head_dim])?)
    }

    /// What is added to a layer's scores.
    fn mask<'a>(&self, layer: usize, batch: &'a Batch) -> &'a Tensor {
        let window = self.architecture.windows[layer];
        let index = self.windows.iter().position(|other| *other == window).unwrap_or(0);
        &batch.masks[index]
    }

    /// Attention of one batch's entries, `[entries * rows * heads, head_dim]`.
    fn mix(&self, layer: usize, rows_and_heads: &Tensor, batch: &Batch) -> Result<Tensor> {
        let Self { heads, head_dim, .. } = *self;
        let [entries, rows, positions] = batch.shape;
        let keys = heads.keys as i64;
        // Query heads that share a key/value head become rows of it: the fast kernels know no groups beside a mask.
        let queries = rows_and_heads.f_index_select(0, &batch.queries)?.f_view([
            entries,
            keys,
            rows * heads.group() as i64,
            head_dim,
        ])?;
        let seen = self.pages.read(layer, &batch.seen)?.f_to_kind(self.weights.kind)?;
        let seen = seen.f_view([entries, positions, 2 * keys, head_dim])?.f_transpose(1, 2)?;
        let (keys, values) = (seen.f_narrow(1, 0, keys)?, seen.f_narrow(1, keys, keys)?);
        let mixed =
            attention(&queries, &keys, &values, Some(self.mask(layer, batch)), self.scores)?;
        Ok(mixed.f_transpose(1, 2)?.f_reshape([-1, head_dim])?)
    }
}

#[cfg(test)]
mod tests {
    use espalier_model::config::NetConfig;
    use espalier_model::tokenizer::{Tokenizer, Tokens};
    use espalier_search::{Cancel, Evaluator, EvaluatorError, Request};

    use super::*;
    use crate::backend::Backend;
    use crate::config::InferenceConfig;
    use crate::evaluator::LocalEvaluator;

    #[test]
    fn what_the_device_refuses_fails_its_requests_and_no_later_ones() {
        let net = NetConfig {
            layers: 1,
            width: 32,
            heads: 2,
            key_value_heads: 2,
            ..NetConfig::default()
        };
        let checkpoint =
            Checkpoint::initialise(&net, Tokenizer::fresh(Tokens::Characters).unwrap(), 1).unwrap();
        let config = InferenceConfig { threads: 1, ..InferenceConfig::default() };
        let evaluator = LocalEvaluator::over_libtorch(&checkpoint, config).unwrap();
        let Backend::Torch(model) = &evaluator.engine.model else { panic!("another engine") };
        let ask = |context: &str| {
            let request = Request::steps(context.into(), 2, 1.0, 1);
            evaluator.evaluate(&[request.clone(), request], &Cancel::new())
        };
        let whole = ask("1 + 1");
        assert!(whole.iter().all(Result::is_ok));
        // A net that libtorch cannot multiply stands for a device that has no room: both are its errors.
        let pick: [fn(&mut Weights) -> &mut Tensor; 2] =
            [|weights| &mut weights.norm, |weights| &mut weights.head];
        for pick in pick {
            let exchange = |tensor: Tensor| {
                model.with_net(|net| std::mem::replace(pick(&mut net.weights), tensor))
            };
            let right = exchange(Tensor::zeros([7, 7], (Kind::Float, Device::Cpu)));
            for answer in ask("1 + 2") {
                let Err(EvaluatorError::Failed(why)) = answer else { panic!("{answer:?}") };
                assert!(why.starts_with("libtorch: "), "{why}");
            }
            let _ = exchange(right);
            assert_eq!(ask("1 + 1"), whole);
            assert!(ask("1 + 2").iter().all(Result::is_ok));
        }
    }
}
