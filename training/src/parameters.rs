//! The numbers of a net, by their Hugging Face names, and the safetensors form that they are stored in.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use crate::random::normal;
use crate::{Error, ModelConfig, Result};

/// Weight of the value head, `[1, D]`.
pub const VALUE_WEIGHT: &str = "value_head.weight";
/// Bias of the value head, `[1]`.
pub const VALUE_BIAS: &str = "value_head.bias";

/// One tensor in row-major order.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    /// Sizes of the dimensions.
    pub shape: Vec<usize>,
    /// `shape`'s product of numbers.
    pub values: Vec<f32>,
}

/// How a fresh tensor is filled.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fill {
    Constant(f32),
    Normal(f32),
}

/// A tensor that a configuration calls for.
#[derive(Debug, Clone, PartialEq)]
struct Spec {
    name: String,
    shape: Vec<usize>,
    fill: Fill,
}

/// The language model's tensors and the value head's.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Parameters(BTreeMap<String, Parameter>);

fn specs(config: &ModelConfig) -> Vec<Spec> {
    let width = config.hidden_size;
    let query = config.num_attention_heads * config.head_dim();
    let key_value = config.key_value_heads() * config.head_dim();
    let inner = config.intermediate_size;
    let layers = config.num_hidden_layers;
    // Keeps the scale of what a matrix reads; the usual 0.02 of large nets would make a narrow one nearly silent.
    let std = (width as f32).sqrt().recip();
    let normal = Fill::Normal(std);
    // GPT-2: 2 L projections add into the residual stream; scaling them keeps its variance near that of one.
    let residual = Fill::Normal(std / (2.0 * layers as f32).sqrt());
    let one = Fill::Constant(1.0);

    let mut specs = Vec::new();
    let mut add = |name: String, shape: &[usize], fill| {
        specs.push(Spec { name, shape: shape.to_vec(), fill });
    };
    add("model.embed_tokens.weight".to_owned(), &[config.vocab_size, width], normal);
    for layer in 0..layers {
        let name = |part: &str| format!("model.layers.{layer}.{part}.weight");
        add(name("input_layernorm"), &[width], one);
        add(name("self_attn.q_proj"), &[query, width], normal);
        add(name("self_attn.k_proj"), &[key_value, width], normal);
        add(name("self_attn.v_proj"), &[key_value, width], normal);
        add(name("self_attn.o_proj"), &[width, query], residual);
        add(name("post_attention_layernorm"), &[width], one);
        add(name("mlp.gate_proj"), &[inner, width], normal);
        add(name("mlp.up_proj"), &[inner, width], normal);
        add(name("mlp.down_proj"), &[width, inner], residual);
    }
    add("model.norm.weight".to_owned(), &[width], one);
    if !config.tie_word_embeddings {
        add("lm_head.weight".to_owned(), &[config.vocab_size, width], normal);
    }
    // A fresh value head says 0, no opinion, of every state (ALPHAMATH: round 1 has no trained value).
    add(VALUE_WEIGHT.to_owned(), &[1, width], Fill::Constant(0.0));
    add(VALUE_BIAS.to_owned(), &[1], Fill::Constant(0.0));
    specs
}

fn is_value_head(name: &str) -> bool {
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

    /// Collects tensors that were read or trained.
    ///
    /// # Errors
    /// Names the first tensor that is missing, unknown, of the wrong shape or not finite. A missing value head is
    /// replaced by a fresh one, so that a plain language model can be loaded.
    pub fn from_tensors(
        config: &ModelConfig,
        mut tensors: BTreeMap<String, Parameter>,
    ) -> Result<Self> {
        if config.tie_word_embeddings {
            tensors.remove("lm_head.weight");
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
            if let Some((index, &value)) =
                tensor.values.iter().enumerate().find(|(_, value)| !value.is_finite())
            {
                return Err(Error::NotFinite { name, index, value });
            }
            checked.insert(name, tensor);
        }
        // Old Llama checkpoints store the rotary frequencies, which follow from the configuration.
        match tensors.into_iter().find(|(name, _)| !name.ends_with("rotary_emb.inv_freq")) {
            Some((name, tensor)) => Err(Error::UnexpectedTensor { name, found: tensor.shape }),
            None => Ok(Self(checked)),
        }
    }

    /// All tensors in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Parameter)> {
        self.0.iter().map(|(name, parameter)| (name.as_str(), parameter))
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
    pub(crate) fn values(&self, name: &str) -> &[f32] {
        &self.0.get(name).expect("every tensor of the configuration was checked").values
    }

    /// A tensor by name, if the configuration has it.
    #[must_use]
    pub(crate) fn find(&self, name: &str) -> Option<&[f32]> {
        self.0.get(name).map(|parameter| parameter.values.as_slice())
    }

    /// `model.safetensors` and `value_head.safetensors`.
    pub(crate) fn to_safetensors(&self) -> Result<(Vec<u8>, Vec<u8>)> {
        let half = |value_head| {
            write_safetensors(self.iter().filter(|(name, _)| is_value_head(name) == value_head))
        };
        Ok((half(false)?, half(true)?))
    }
}

/// Encodes tensors as little-endian `float32`, with the metadata without which `transformers` refuses a file.
pub(crate) fn write_safetensors<'a>(
    tensors: impl Iterator<Item = (&'a str, &'a Parameter)>,
) -> Result<Vec<u8>> {
    let encoded: Vec<(&str, &[usize], Vec<u8>)> = tensors
        .map(|(name, tensor)| {
            let bytes = tensor.values.iter().flat_map(|value| value.to_le_bytes()).collect();
            (name, tensor.shape.as_slice(), bytes)
        })
        .collect();
    let mut views = Vec::with_capacity(encoded.len());
    for (name, shape, bytes) in &encoded {
        views.push((*name, TensorView::new(Dtype::F32, shape.to_vec(), bytes).map_err(encoding)?));
    }
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    safetensors::serialize(views, Some(metadata)).map_err(encoding)
}

fn encoding(error: safetensors::SafeTensorError) -> Error {
    Error::format(Path::new("safetensors"), error)
}

/// Decodes a safetensors file; 16-bit floats are widened. `path` is for messages.
pub(crate) fn read_safetensors(path: &Path, bytes: &[u8]) -> Result<BTreeMap<String, Parameter>> {
    let file = SafeTensors::deserialize(bytes).map_err(|error| Error::format(path, error))?;
    let mut tensors = BTreeMap::new();
    for (name, view) in file.iter() {
        let data = view.data();
        let values = match view.dtype() {
            Dtype::F32 => data.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect(),
            Dtype::BF16 => data
                .as_chunks()
                .0
                .iter()
                .map(|&b| f32::from_bits(u32::from(u16::from_le_bytes(b)) << 16))
                .collect(),
            Dtype::F16 => {
                data.as_chunks().0.iter().map(|&b| widen_half(u16::from_le_bytes(b))).collect()
            }
            other => {
                let message = format!("tensor {name}: element type {other:?} is not supported");
                return Err(Error::format(path, message));
            }
        };
        tensors.insert(name.to_owned(), Parameter { shape: view.shape().to_vec(), values });
    }
    Ok(tensors)
}

/// IEEE 754 binary16 to binary32; exact.
fn widen_half(bits: u16) -> f32 {
    let sign = if bits & 0x8000 == 0 { 1.0 } else { -1.0 };
    let exponent = i32::from((bits >> 10) & 0x1f);
    let fraction = f32::from(bits & 0x3ff);
    sign * match exponent {
        0 => fraction * 2f32.powi(-24),
        31 if fraction == 0.0 => f32::INFINITY,
        31 => f32::NAN,
        _ => (1024.0 + fraction) * 2f32.powi(exponent - 25),
    }
}
