//! The policy-value net over libtorch, for training.

mod arithmetic;
mod experts;
mod gradients;
mod layers;
mod layout;

use std::collections::BTreeMap;

use espalier_model::checkpoint::Checkpoint;
use espalier_model::config::ModelConfig;
use espalier_model::config::architecture::Architecture;
use espalier_model::dtype::Dtype;
use espalier_model::lora::{Adapter, PREFIX, add_product, pair_names};
use espalier_model::parameters::{Parameters, VALUE_BIAS, VALUE_WEIGHT, is_value_head};
use espalier_model::rotary::Rope;
use espalier_torch::tensor::{from_tensor, to_tensor};
use tch::{Device, Kind, Tensor};

use crate::error::Result;
use arithmetic::Arithmetic;
pub(crate) use arithmetic::check_precision;
pub(crate) use gradients::{Gradients, add};
pub(crate) use layout::{Block, Layout};

/// A decoder-only transformer (Llama's blocks) with a language-model head and a value head (AlphaMath, arXiv 2405.03553).
#[derive(Debug)]
pub struct PolicyValueNet {
    config: ModelConfig,
    architecture: Architecture,
    /// Leaves of the autograd graph, by Hugging Face name; an adapter's pairs by PEFT's.
    tensors: BTreeMap<String, Tensor>,
    /// The adapter that is trained in the weights' place, without its numbers.
    adapter: Option<Adapter>,
    /// Cosines and sines of each rotary embedding, for the positions that nearly all batches have.
    tables: Vec<[Tensor; 2]>,
    arithmetic: Arithmetic,
    /// Whether a block's inner states are computed again in the backward pass instead of being kept.
    activation_checkpointing: bool,
}

/// What attention reads beside the states of a pass.
#[derive(Debug)]
struct Turns {
    /// Cosines and sines of each token's angles by each rotary embedding, each `[N, 1, width]`; `width` elements of a head
    /// are rotated.
    angles: Vec<[Tensor; 2]>,
    /// Tokens of each block, and of each of its rows.
    sizes: Vec<i64>,
    lengths: Vec<i64>,
    /// What is added to the scores of each block, by window.
    masks: Vec<(Option<usize>, Vec<Option<Tensor>>)>,
}

/// Positions whose tables are kept. A long-context model's own limit would be most of its memory.
const KEPT_POSITIONS: usize = 4096;

impl PolicyValueNet {
    /// The net of a checkpoint, on the CPU, with gradients.
    ///
    /// # Panics
    /// When the checkpoint was put together by hand and does not pass [`ModelConfig::validate`].
    #[must_use]
    pub fn new(checkpoint: &Checkpoint) -> Self {
        let config = checkpoint.config.clone();
        let tensors = checkpoint.parameters.iter().map(|(name, parameter)| {
            let tensor = to_tensor(parameter).set_requires_grad(true);
            (name.to_owned(), tensor)
        });
        let tensors = tensors.collect();
        let architecture = config.architecture().expect("the configuration was checked");
        let tables = tables(&architecture.ropes, architecture.max_length.min(KEPT_POSITIONS));
        Self {
            config,
            architecture,
            tensors,
            adapter: None,
            tables,
            arithmetic: Arithmetic::new(Dtype::Float32, Device::Cpu),
            activation_checkpointing: false,
        }
    }

    /// The net on another device.
    ///
    /// # Errors
    /// When the device is not there, or has no room for the net.
    pub fn on(mut self, device: espalier_model::device::Device) -> Result<Self> {
        let device = espalier_torch::device::open(device)?;
        if device == Device::Cpu {
            return Ok(self);
        }
        for tensor in self.tensors.values_mut() {
            let trained = tensor.requires_grad();
            *tensor = tensor.f_detach()?.f_to_device(device)?.f_set_requires_grad(trained)?;
        }
        self.tables = on(self.tables, device)?;
        self.arithmetic = Arithmetic::new(Dtype::Float32, device);
        Ok(self)
    }

    /// The net with the operands of its matrix products in another precision; weights and gradients stay fp32.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::Error::Setting) when the net's device computes it more slowly than fp32.
    pub fn with_precision(mut self, precision: Dtype) -> Result<Self> {
        let device = match self.device() {
            Device::Cuda(index) => espalier_model::device::Device::Cuda(index),
            _ => espalier_model::device::Device::Cpu,
        };
        check_precision(precision, device)?;
        self.arithmetic = Arithmetic::new(precision, self.device());
        Ok(self)
    }

    /// The net with activation checkpointing (Chen et al., arXiv 1604.06174): training keeps one state a block and computes
    /// the others again in the backward pass, which costs a third more time and needs a fraction of the memory.
    #[must_use]
    pub fn with_activation_checkpointing(mut self, on: bool) -> Self {
        self.activation_checkpointing = on;
        self
    }

    /// Where the net's tensors are.
    pub(crate) fn device(&self) -> Device {
        self.tables[0][0].device()
    }

    /// The net of a checkpoint with an adapter beside its weights: adapter and value head have gradients, and nothing
    /// else has. A value head that the adapter brings takes the place of the checkpoint's.
    ///
    /// # Errors
    /// When the adapter does not fit the net, or holds more than pairs and a value head.
    ///
    /// # Panics
    /// As [`Self::new`].
    pub fn with_adapter(checkpoint: &Checkpoint, adapter: &Adapter) -> Result<Self> {
        adapter.check(&checkpoint.config, &checkpoint.parameters)?;
        adapter.check_trainable()?;
        let mut net = Self::new(checkpoint);
        for (name, tensor) in &mut net.tensors {
            *tensor = tensor.set_requires_grad(is_value_head(name));
        }
        for (name, parameter) in adapter.iter() {
            let tensor = to_tensor(parameter).set_requires_grad(true);
            net.tensors.insert(name.to_owned(), tensor);
        }
        net.adapter = Some(adapter.with_tensors(BTreeMap::new()));
        Ok(net)
    }

    /// The same net, for another thread: the same leaves in the same memory.
    pub(crate) fn share(&self) -> Self {
        let tensors =
            self.tensors.iter().map(|(name, tensor)| (name.clone(), tensor.shallow_clone()));
        Self {
            config: self.config.clone(),
            architecture: self.architecture.clone(),
            tensors: tensors.collect(),
            adapter: self.adapter.clone(),
            tables: self
                .tables
                .iter()
                .map(|tables| tables.each_ref().map(Tensor::shallow_clone))
                .collect(),
            arithmetic: self.arithmetic,
            activation_checkpointing: self.activation_checkpointing,
        }
    }

    /// Shape of the net.
    #[must_use]
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// Final hidden states `[B, T, D]` of token ids `[B, T]` (i64, below `vocab_size`, T at most
    /// [`ModelConfig::max_length`]). Attention is causal, so padding on the right changes nothing before it.
    ///
    /// # Errors
    /// When libtorch refuses, as when memory runs out.
    pub fn forward(&self, tokens: &Tensor) -> Result<Tensor> {
        let mut shape = tokens.size();
        shape.push(self.config.hidden_size as i64);
        Ok(self.states(&Layout::texts(tokens)?)?.f_view(shape.as_slice())?)
    }

    /// Final hidden states `[N, D]` of a pass.
    ///
    /// # Errors
    /// When libtorch refuses, as when memory runs out.
    pub(crate) fn states(&self, layout: &Layout) -> Result<Tensor> {
        let turns = self.turns(layout)?;
        let mut hidden = self.embed(&layout.tokens)?;
        for layer in 0..self.config.num_hidden_layers {
            hidden = self.block(layer, &hidden, &turns)?;
        }
        self.final_norm(&hidden)
    }

    /// `[N] -> [N, D]`.
    fn embed(&self, tokens: &Tensor) -> Result<Tensor> {
        let embedded = Tensor::f_embedding(self.tensor(EMBEDDING), tokens, -1, false, false)?;
        match self.architecture.embedding_scale {
            Some(scale) => Ok(embedded.f_mul_scalar(f64::from(scale))?),
            None => Ok(embedded),
        }
    }

    fn final_norm(&self, hidden: &Tensor) -> Result<Tensor> {
        self.rms_norm(hidden, "model.norm.weight")
    }

    /// The angles of a pass's tokens, and the masks of its blocks.
    fn turns(&self, layout: &Layout) -> Result<Turns> {
        let known = self.tables[0][0].size()[0] as usize;
        let longer;
        let tables = if layout.longest <= known {
            &self.tables
        } else {
            longer = on(tables(&self.architecture.ropes, layout.longest), self.device())?;
            &longer
        };
        let of_tokens = |table: &Tensor| -> Result<Tensor> {
            Ok(table.f_index_select(0, &layout.positions)?.f_unsqueeze(1)?)
        };
        let sizes: Vec<i64> = layout.blocks.iter().map(Block::tokens).collect();
        let positions = layout.positions.f_split_with_sizes(sizes.as_slice(), 0)?;
        let kind = (self.arithmetic.kind(), self.device());
        let mut masks: Vec<(Option<usize>, Vec<Option<Tensor>>)> = Vec::new();
        for &window in &self.architecture.windows {
            if masks.iter().all(|(other, _)| *other != window) {
                let blocks = layout.blocks.iter().zip(&positions);
                let of_blocks = blocks.map(|(block, own)| block.mask(own, window, kind));
                masks.push((window, of_blocks.collect::<Result<_>>()?));
            }
        }
        let lengths = layout.blocks.iter().map(|block| block.length).collect();
        let angles =
            tables.iter().map(|[cosines, sines]| Ok([of_tokens(cosines)?, of_tokens(sines)?]));
        Ok(Turns { angles: angles.collect::<Result<_>>()?, sizes, lengths, masks })
    }

    /// Logits `[.., V]`, fp32 and not normalised, of hidden states `[.., D]`.
    ///
    /// # Errors
    /// When libtorch refuses, as when memory runs out.
    pub fn logits(&self, hidden: &Tensor) -> Result<Tensor> {
        let tied = self.config.tied();
        let weight = self.tensor(if tied { EMBEDDING } else { "lm_head.weight" });
        let logits = self.arithmetic.linear(&self.arithmetic.operand(hidden)?, weight, None)?;
        let mut logits = logits.f_to_kind(Kind::Float)?;
        if let Some(scale) = self.architecture.logit_scale {
            logits = logits.f_mul_scalar(f64::from(scale))?;
        }
        match self.architecture.final_cap.map(f64::from) {
            Some(cap) => Ok(logits.f_div_scalar(cap)?.f_tanh()?.f_mul_scalar(cap)?),
            None => Ok(logits),
        }
    }

    /// Values `[..]` in [-1, 1] of hidden states `[.., D]` at step ends; +1 is a correct answer.
    ///
    /// # Errors
    /// When libtorch refuses, as when memory runs out.
    pub fn values(&self, hidden: &Tensor) -> Result<Tensor> {
        let bias = self.tensor(VALUE_BIAS);
        Ok(hidden.f_linear(self.tensor(VALUE_WEIGHT), Some(bias))?.f_squeeze_dim(-1)?.f_tanh()?)
    }

    /// Trainable tensors in the order of their names: all of them, or adapter and value head.
    pub fn trainable(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        let all = self.tensors.iter().map(|(name, tensor)| (name.as_str(), tensor));
        all.filter(|(_, tensor)| tensor.requires_grad())
    }

    /// Copies the numbers out; an adapter is merged into the weights.
    ///
    /// # Errors
    /// When a tensor has become NaN or infinite.
    pub fn parameters(&self) -> Result<Parameters> {
        let mut tensors = BTreeMap::new();
        for (name, tensor) in &self.tensors {
            if name.starts_with(PREFIX) {
                continue;
            }
            let module = name.strip_suffix(".weight").unwrap_or(name);
            let mut parameter = from_tensor(tensor)?;
            if let Some((a, b, scale)) = self.pair(module) {
                add_product(&mut parameter, &from_tensor(a)?, &from_tensor(b)?, scale);
            }
            tensors.insert(name.clone(), parameter);
        }
        Ok(Parameters::from_tensors(&self.config, tensors)?)
    }

    /// Copies the adapter and the value head out; `None` for a net without one.
    ///
    /// # Errors
    /// When a tensor has become NaN or infinite.
    pub fn adapter(&self) -> Result<Option<Adapter>> {
        let Some(adapter) = &self.adapter else {
            return Ok(None);
        };
        let mut tensors = BTreeMap::new();
        for (name, tensor) in self.trainable() {
            let parameter = from_tensor(tensor)?;
            parameter.check_finite(name)?;
            tensors.insert(name.to_owned(), parameter);
        }
        Ok(Some(adapter.with_tensors(tensors)))
    }

    /// The low-rank pair beside a module's weight, and its scale.
    fn pair(&self, module: &str) -> Option<(&Tensor, &Tensor, f64)> {
        let adapter = self.adapter.as_ref()?;
        let [a, b] = pair_names(module);
        Some((self.tensors.get(&a)?, self.tensors.get(&b)?, adapter.scale(module)?))
    }

    fn tensor(&self, name: &str) -> &Tensor {
        self.tensors.get(name).expect("every tensor of the configuration was checked")
    }
}

/// Cosines and sines of the first positions' angles by each rotary embedding, each `[T, width]`.
fn tables(ropes: &[Rope], length: usize) -> Vec<[Tensor; 2]> {
    let of_rope = |rope: &Rope| {
        let (cosines, sines) = rope.tables(length);
        [cosines, sines].map(|values| {
            let halves = Tensor::from_slice(&values).view([length as i64, -1]);
            Tensor::cat(&[&halves, &halves], 1)
        })
    };
    ropes.iter().map(of_rope).collect()
}

fn on(tables: Vec<[Tensor; 2]>, device: Device) -> Result<Vec<[Tensor; 2]>> {
    let moved = |[cosines, sines]: [Tensor; 2]| {
        Ok([cosines.f_to_device(device)?, sines.f_to_device(device)?])
    };
    tables.into_iter().map(moved).collect()
}

const EMBEDDING: &str = "model.embed_tokens.weight";
