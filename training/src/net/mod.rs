//! The policy-value net over libtorch, for training.

mod layers;

use std::collections::BTreeMap;

use tch::{Device, Kind, Tensor};

use crate::parameters::{Parameter, VALUE_BIAS, VALUE_WEIGHT};
use crate::{Checkpoint, ModelConfig, Parameters, Result, rotary};

/// A decoder-only transformer (Llama's blocks) with a language-model head and a value head (ALPHAMATH §4).
#[derive(Debug)]
pub struct PolicyValueNet {
    config: ModelConfig,
    /// Leaves of the autograd graph, by Hugging Face name.
    tensors: BTreeMap<String, Tensor>,
    /// Rotary tables, `[max_position_embeddings, head_dim]`.
    cosines: Tensor,
    sines: Tensor,
}

impl PolicyValueNet {
    /// The net of a checkpoint, on the CPU, with gradients.
    #[must_use]
    pub fn new(checkpoint: &Checkpoint) -> Self {
        let config = checkpoint.config.clone();
        let tensors = checkpoint.parameters.iter().map(|(name, parameter)| {
            let tensor = to_tensor(parameter).set_requires_grad(true);
            (name.to_owned(), tensor)
        });
        let tensors = tensors.collect();
        let length = config.max_position_embeddings;
        let half = config.head_dim() as i64 / 2;
        let (cosines, sines) = rotary::tables(&config, length);
        let table = |values: &[f32]| {
            let halves = Tensor::from_slice(values).view([length as i64, half]);
            Tensor::cat(&[&halves, &halves], 1)
        };
        Self { cosines: table(&cosines), sines: table(&sines), config, tensors }
    }

    /// A net of the same numbers, in the same memory, with gradients of its own.
    pub(crate) fn replica(&self) -> Self {
        let tensors = self
            .tensors
            .iter()
            .map(|(name, tensor)| (name.clone(), tensor.detach().set_requires_grad(true)));
        Self {
            config: self.config.clone(),
            tensors: tensors.collect(),
            cosines: self.cosines.shallow_clone(),
            sines: self.sines.shallow_clone(),
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
        for layer in 0..self.config.num_hidden_layers {
            hidden = self.block(layer, &hidden);
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

    /// Trainable tensors in the order of their names.
    pub fn trainable(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.tensors.iter().map(|(name, tensor)| (name.as_str(), tensor))
    }

    /// Copies the numbers out.
    ///
    /// # Errors
    /// When a tensor has become NaN or infinite.
    pub fn parameters(&self) -> Result<Parameters> {
        let mut tensors = BTreeMap::new();
        for (name, tensor) in &self.tensors {
            tensors.insert(name.clone(), from_tensor(tensor)?);
        }
        Parameters::from_tensors(&self.config, tensors)
    }

    fn tensor(&self, name: &str) -> &Tensor {
        self.tensors.get(name).expect("every tensor of the configuration was checked")
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
