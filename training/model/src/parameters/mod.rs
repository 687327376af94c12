//! The numbers of a net, by their Hugging Face names, and the safetensors form that they are stored in.

mod element_type;
mod specs;
pub(crate) mod tensor_file;
pub(crate) mod torch_file;

use std::collections::BTreeMap;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::config::{LoraConfig, ModelConfig};
use crate::error::{Error, Result};
use crate::random::normal;
use specs::{Fill, Spec, specs};

/// Weight of the value head, `[1, D]`.
pub const VALUE_WEIGHT: &str = "value_head.weight";
/// Bias of the value head, `[1]`.
pub const VALUE_BIAS: &str = "value_head.bias";

pub(crate) const EMBEDDING: &str = "model.embed_tokens.weight";
pub(crate) const HEAD: &str = "lm_head.weight";

/// One tensor in row-major order.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    /// Sizes of the dimensions.
    pub shape: Vec<usize>,
    /// `shape`'s product of numbers.
    pub values: Vec<f32>,
}

impl Parameter {
    /// Checks that every number is finite.
    ///
    /// # Errors
    /// [`Error::NotFinite`] with the first that is not.
    pub fn check_finite(&self, name: &str) -> Result<()> {
        match self.values.iter().enumerate().find(|(_, value)| !value.is_finite()) {
            Some((index, &value)) => Err(Error::NotFinite { name: name.to_owned(), index, value }),
            None => Ok(()),
        }
    }
}

/// The language model's tensors and the value head's.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Parameters(BTreeMap<String, Parameter>);

/// The names and shapes of a checked configuration's tensors, the value head's included.
pub(crate) fn shapes(config: &ModelConfig) -> impl Iterator<Item = (String, Vec<usize>)> {
    specs(config).into_iter().map(|spec| (spec.name, spec.shape))
}

/// Whether a tensor is stored in `value_head.safetensors`.
#[must_use]
pub fn is_value_head(name: &str) -> bool {
    name.starts_with("value_head.")
}

impl Parameters {
    /// Fresh parameters: a function of the configuration and the seed.
    #[must_use]
    pub fn initialise(config: &ModelConfig, seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let tensors = specs(config).into_iter().map(|spec| {
            let count = spec.shape.iter().product();
            let values = match spec.fill {
                Fill::Constant(value) => vec![value; count],
                Fill::Normal(std) => (0..count).map(|_| std * normal(&mut rng)).collect(),
            };
            (spec.name, Parameter { shape: spec.shape, values })
        });
        Self(tensors.collect())
    }

    /// Whether a folder's head is its embedding, as `transformers` decides it: a head that differs from the embedding
    /// counts whatever `tie_word_embeddings` says, and a head alone is the embedding too. Writes that down in both.
    pub(crate) fn settle_head(config: &mut ModelConfig, tensors: &mut BTreeMap<String, Parameter>) {
        if !config.tied() {
            return;
        }
        if let Some(head) = tensors.remove(HEAD) {
            match tensors.get(EMBEDDING) {
                None => _ = tensors.insert(EMBEDDING.to_owned(), head),
                Some(embedding) if *embedding == head => {}
                Some(_) => {
                    tensors.insert(HEAD.to_owned(), head);
                    config.tie_word_embeddings = Some(false);
                }
            }
        }
    }

    /// Collects tensors that were read or trained.
    ///
    /// # Errors
    /// Names the first tensor that is missing, unknown, of the wrong shape or not finite. A missing value head is
    /// replaced by a fresh one, so that a plain language model can be loaded.
    pub fn from_tensors(
        config: &ModelConfig,
        mut tensors: BTreeMap<String, Parameter>,
    ) -> Result<Self> {
        if config.tied() {
            tensors.remove(HEAD);
        }
        let fresh_value_head = !tensors.keys().any(|name| is_value_head(name));
        let mut checked = BTreeMap::new();
        for Spec { name, shape, fill } in specs(config) {
            let tensor = match (tensors.remove(&name), fill) {
                (Some(tensor), _) => tensor,
                (None, Fill::Constant(value)) if fresh_value_head && is_value_head(&name) => {
                    let count = shape.iter().product();
                    Parameter { shape: shape.clone(), values: vec![value; count] }
                }
                (None, _) => {
                    return Err(Error::MissingTensor { name, expected: shape });
                }
            };
            if tensor.shape != shape {
                return Err(Error::Shape { name, expected: shape, found: tensor.shape });
            }
            if tensor.values.len() != shape.iter().product::<usize>() {
                let found = vec![tensor.values.len()];
                return Err(Error::Shape { name, expected: shape, found });
            }
            tensor.check_finite(&name)?;
            checked.insert(name, tensor);
        }
        // Old Llama checkpoints store the rotary frequencies, which follow from the configuration.
        match tensors.into_iter().find(|(name, _)| !name.ends_with("rotary_emb.inv_freq")) {
            Some((name, tensor)) => Err(Error::UnexpectedTensor { name, found: tensor.shape }),
            None => Ok(Self(checked)),
        }
    }

    /// Tensors of another class over the same blocks, which no configuration of ours calls for.
    pub(crate) fn of_another_class(tensors: BTreeMap<String, Parameter>) -> Self {
        Self(tensors)
    }

    /// All tensors in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Parameter)> {
        self.0.iter().map(|(name, parameter)| (name.as_str(), parameter))
    }

    /// A tensor by name, when the configuration calls for it: biases and norms that some families lack are found here.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Parameter> {
        self.0.get(name)
    }

    /// Takes the language model's head out, as where the embedding is to stand for it.
    pub(crate) fn take_head(&mut self) -> Option<Parameter> {
        self.0.remove(HEAD)
    }

    /// Puts other numbers in a tensor's place; the caller has checked the shape.
    pub(crate) fn replace(&mut self, name: &str, parameter: Parameter) {
        self.0.insert(name.to_owned(), parameter);
    }

    /// Names and shapes of the tensors of a net of this configuration, the value head's included.
    pub fn shapes_of(config: &ModelConfig) -> impl Iterator<Item = (String, Vec<usize>)> {
        specs(config).into_iter().map(|spec| (spec.name, spec.shape))
    }

    /// How many numbers a net of this configuration has, the value head's included.
    #[must_use]
    pub fn count_of(config: &ModelConfig) -> usize {
        Self::shapes_of(config).map(|(_, shape)| shape.iter().product::<usize>()).sum()
    }

    /// How many of them a low-rank adapter of `rank` beside these modules and the value head are.
    #[must_use]
    pub fn adapter_count_of(config: &ModelConfig, lora: &LoraConfig) -> usize {
        let adapted = |name: &str| {
            lora.target_modules.iter().any(|module| name.ends_with(&format!(".{module}.weight")))
        };
        let size = |spec: &Spec| match spec.shape.as_slice() {
            shape if is_value_head(&spec.name) => shape.iter().product(),
            [out, input] if adapted(&spec.name) => lora.rank * (out + input),
            _ => 0,
        };
        specs(config).iter().map(size).sum()
    }

    /// How many numbers there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.values().map(|parameter| parameter.values.len()).sum()
    }

    /// A tensor by name.
    ///
    /// # Panics
    /// When the configuration that the parameters were checked against does not have it.
    #[must_use]
    pub fn values(&self, name: &str) -> &[f32] {
        &self.0.get(name).expect("every tensor of the configuration was checked").values
    }
}
