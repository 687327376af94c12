//! The policy-value net over libtorch, for training.

mod layers;

use std::collections::BTreeMap;

use tch::{Device, Kind, Tensor};

use crate::lora::{PREFIX, merged, pair_names};
use crate::parameters::{Parameter, VALUE_BIAS, VALUE_WEIGHT, is_value_head};
use crate::rotary::Rope;
use crate::{Adapter, Checkpoint, ModelConfig, Parameters, Result};

/// A decoder-only transformer (Llama's blocks) with a language-model head and a value head (ALPHAMATH §4).
#[derive(Debug)]
pub struct PolicyValueNet {
    config: ModelConfig,
    /// Leaves of the autograd graph, by Hugging Face name; an adapter's pairs by PEFT's.
    tensors: BTreeMap<String, Tensor>,
    /// The adapter that is trained in the weights' place, without its numbers.
    adapter: Option<Adapter>,
    rope: Rope,
    /// Rotary tables of the lengths that nearly all batches have.
    turns: Turns,
}

/// Cosines and sines of every position's angles, each `[T, head_dim]`.
#[derive(Debug)]
struct Turns {
    cosines: Tensor,
    sines: Tensor,
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
        let rope = Rope::new(&config).expect("the configuration was checked");
        let turns = Turns::new(&rope, config.max_position_embeddings.min(KEPT_POSITIONS));
        Self { config, tensors, adapter: None, rope, turns }
    }

    /// The net of a checkpoint with an adapter beside its weights: adapter and value head have gradients, and nothing
    /// else has. A value head that the adapter brings takes the place of the checkpoint's.
    ///
    /// # Errors
    /// When the adapter does not fit the net.
    ///
    /// # Panics
    /// As [`Self::new`].
    pub fn with_adapter(checkpoint: &Checkpoint, adapter: &Adapter) -> Result<Self> {
        adapter.check(&checkpoint.parameters)?;
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

    /// A net of the same numbers, in the same memory, with gradients of its own.
    pub(crate) fn replica(&self) -> Self {
        let tensors = self.tensors.iter().map(|(name, tensor)| {
            let own = tensor.detach().set_requires_grad(tensor.requires_grad());
            (name.clone(), own)
        });
        Self {
            config: self.config.clone(),
            tensors: tensors.collect(),
            adapter: self.adapter.clone(),
            rope: self.rope.clone(),
            turns: self.turns.first(self.turns.length()),
        }
    }

    /// Clears the gradients before the next backward pass.
    pub(crate) fn clear_gradients(&mut self) {
        for tensor in self.tensors.values_mut() {
            tensor.zero_grad();
        }
    }

    /// Shape of the net.
    #[must_use]
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// Final hidden states `[B, T, D]` of token ids `[B, T]` (i64, below `vocab_size`, T at most
    /// `max_position_embeddings`). Attention is causal, so padding on the right changes nothing before it.
    pub fn forward(&self, tokens: &Tensor) -> Tensor {
        let mut hidden = Tensor::embedding(self.tensor(EMBEDDING), tokens, -1, false, false);
        let length = tokens.size().last().copied().unwrap_or(0);
        let turns = if length <= self.turns.length() {
            self.turns.first(length)
        } else {
            Turns::new(&self.rope, length as usize)
        };
        for layer in 0..self.config.num_hidden_layers {
            hidden = self.block(layer, &hidden, &turns);
        }
        self.rms_norm(&hidden, "model.norm.weight")
    }

    /// Logits `[.., V]`, not normalised, of hidden states `[.., D]`.
    pub fn logits(&self, hidden: &Tensor) -> Tensor {
        let tied = self.config.tie_word_embeddings;
        let weight = self.tensor(if tied { EMBEDDING } else { "lm_head.weight" });
        hidden.linear(weight, None::<Tensor>)
    }

    /// Values `[..]` in [-1, 1] of hidden states `[.., D]` at step ends; +1 is a correct answer.
    pub fn values(&self, hidden: &Tensor) -> Tensor {
        let bias = self.tensor(VALUE_BIAS);
        hidden.linear(self.tensor(VALUE_WEIGHT), Some(bias)).squeeze_dim(-1).tanh()
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
            let parameter = match self.pair(module) {
                Some((a, b, scale)) => from_tensor(&merged(tensor, a, b, scale))?,
                None => from_tensor(tensor)?,
            };
            tensors.insert(name.clone(), parameter);
        }
        Parameters::from_tensors(&self.config, tensors)
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
        Some((self.tensors.get(&a)?, self.tensors.get(&b)?, adapter.scale()))
    }

    fn tensor(&self, name: &str) -> &Tensor {
        self.tensors.get(name).expect("every tensor of the configuration was checked")
    }
}

impl Turns {
    fn new(rope: &Rope, length: usize) -> Self {
        let (cosines, sines) = rope.tables(length);
        let table = |values: &[f32]| {
            let halves = Tensor::from_slice(values).view([length as i64, -1]);
            Tensor::cat(&[&halves, &halves], 1)
        };
        Self { cosines: table(&cosines), sines: table(&sines) }
    }

    fn length(&self) -> i64 {
        self.cosines.size()[0]
    }

    /// The first positions, in the same memory.
    fn first(&self, length: i64) -> Self {
        let first = |table: &Tensor| table.narrow(0, 0, length);
        Self { cosines: first(&self.cosines), sines: first(&self.sines) }
    }
}

const EMBEDDING: &str = "model.embed_tokens.weight";

/// A tensor with a parameter's numbers.
pub(crate) fn to_tensor(parameter: &Parameter) -> Tensor {
    let shape: Vec<i64> = parameter.shape.iter().map(|&size| size as i64).collect();
    Tensor::from_slice(&parameter.values).view(shape.as_slice())
}

/// A tensor's numbers.
pub(crate) fn from_tensor(tensor: &Tensor) -> Result<Parameter> {
    let shape = tensor.size().iter().map(|&size| size as usize).collect();
    let flat = tensor.detach().to_device(Device::Cpu).to_kind(Kind::Float).contiguous().view([-1]);
    Ok(Parameter { shape, values: Vec::<f32>::try_from(&flat)? })
}
