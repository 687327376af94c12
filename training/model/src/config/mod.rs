//! The shape of a net: Hugging Face's `config.json` and the recipe's `[net]` section.

pub mod architecture;
mod family;
mod lora;
mod net;
mod validate;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::dtype::Dtype;
use crate::error::{Error, Result};
use architecture::Architecture;
pub use family::Family;
pub(crate) use family::Gguf;
pub use lora::LoraConfig;
pub use net::NetConfig;

/// Hugging Face's `config.json` of a model of one of the families ([`Family`]). What the fields ask for beyond plain sizes
/// is [`Self::architecture`]; fields that this crate does not use are kept as they are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelConfig {
    /// Must hold the name that belongs to `model_type`, such as `LlamaForCausalLM`, unless it is empty.
    #[serde(default)]
    pub architectures: Vec<String>,
    /// The family's name, such as `llama`.
    pub model_type: String,
    /// Rows of the embedding, V; at least the tokenizer's tokens. Rows beyond them are padding.
    pub vocab_size: usize,
    /// Width of the residual stream, D.
    pub hidden_size: usize,
    /// Width of the feed-forward layer, F.
    pub intermediate_size: usize,
    /// Decoder blocks, L.
    pub num_hidden_layers: usize,
    /// Query heads, H; divides `hidden_size` when `head_dim` is absent.
    pub num_attention_heads: usize,
    /// Key/value heads (grouped-query attention); divides `num_attention_heads`. Absent means one a query head.
    #[serde(default)]
    pub num_key_value_heads: Option<usize>,
    /// Width of a head; see [`Self::head_dim`] for what absence means.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head_dim: Option<usize>,
    /// Added to the mean square in RMSNorm; see [`Self::rms_norm_eps`].
    #[serde(default)]
    pub rms_norm_eps: Option<f64>,
    /// Base of the rotary position embedding, unless `rope_parameters` has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rope_theta: Option<f64>,
    /// Longest sequence in tokens; see [`Self::max_length`].
    pub max_position_embeddings: usize,
    /// Whether the head reuses the embedding matrix; see [`Self::tied`].
    #[serde(default)]
    pub tie_word_embeddings: Option<bool>,
    /// Element type of the saved tensors by `transformers`' older name; see [`Self::dtype`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub torch_dtype: Option<String>,
    /// Element type of the saved tensors by `transformers`' newer name; see [`Self::dtype`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dtype: Option<String>,
    /// Tokens that end a text.
    #[serde(default, deserialize_with = "one_or_many", skip_serializing_if = "Vec::is_empty")]
    pub eos_token_id: Vec<u32>,
    /// Everything else in the file.
    #[serde(flatten)]
    pub other: serde_json::Map<String, Value>,
}

/// Hugging Face writes one id as a number and several as a list.
pub(crate) fn one_or_many<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<u32>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum OneOrMany {
        None,
        One(u32),
        Many(Vec<u32>),
    }
    Ok(match OneOrMany::deserialize(deserializer)? {
        OneOrMany::None => Vec::new(),
        OneOrMany::One(id) => vec![id],
        OneOrMany::Many(ids) => ids,
    })
}

impl ModelConfig {
    /// Which family of models this is.
    ///
    /// # Errors
    /// [`Error::Model`] when this crate does not know `model_type`.
    pub fn family(&self) -> Result<Family> {
        Family::of_model_type(&self.model_type)
    }

    /// Key/value heads.
    #[must_use]
    pub fn key_value_heads(&self) -> usize {
        self.num_key_value_heads.unwrap_or(self.num_attention_heads)
    }

    /// Width of one attention head. Heads times this need not be `hidden_size`.
    #[must_use]
    pub fn head_dim(&self) -> usize {
        let family = || self.family().ok()?.head_dim();
        let share = || self.hidden_size.checked_div(self.num_attention_heads).unwrap_or(0);
        self.head_dim.or_else(family).unwrap_or_else(share)
    }

    /// Added to the mean square in RMSNorm.
    #[must_use]
    pub fn rms_norm_eps(&self) -> f64 {
        self.rms_norm_eps.or_else(|| Some(self.family().ok()?.rms_norm_eps())).unwrap_or(f64::NAN)
    }

    /// Base of the rotary position embedding where `rope_parameters` has none.
    pub(crate) fn rope_theta(&self) -> f64 {
        self.rope_theta.or_else(|| Some(self.family().ok()?.rope_theta())).unwrap_or(f64::NAN)
    }

    /// Longest sequence in tokens that the net computes as it was trained to.
    #[must_use]
    pub fn max_length(&self) -> usize {
        let architecture = self.architecture();
        architecture.map_or(self.max_position_embeddings, |architecture| architecture.max_length)
    }

    /// How the net computes: the facts of its family.
    ///
    /// # Errors
    /// [`Error::Model`] with the field that asks for something that is not supported.
    pub fn architecture(&self) -> Result<Architecture> {
        self.family()?.architecture(self)
    }

    /// Whether the head reuses the embedding matrix.
    #[must_use]
    pub fn tied(&self) -> bool {
        self.tie_word_embeddings.unwrap_or_else(|| self.family().is_ok_and(Family::tied))
    }

    /// Writes down what the file leaves to its family's defaults, so that it is saved with the net.
    pub(crate) fn complete(&mut self) {
        self.tie_word_embeddings = Some(self.tied());
        self.rms_norm_eps = Some(self.rms_norm_eps());
        if self.architectures.is_empty()
            && let Ok(family) = self.family()
        {
            self.architectures.push(family.class().to_owned());
        }
        // Read numbers have 32 bits, and are saved so.
        for name in [&mut self.dtype, &mut self.torch_dtype].into_iter().flatten() {
            if Dtype::is_float64(name) {
                Dtype::Float32.name().clone_into(name);
            }
        }
    }

    /// Element type in which the language model's tensors are saved: `dtype`, else `torch_dtype`, else `float32`, which
    /// also stands for `float64`. This crate computes in `float32` whatever it is.
    ///
    /// # Errors
    /// [`Error::Model`] when it is none of the three that this crate writes.
    pub fn dtype(&self) -> Result<Dtype> {
        let (field, name) = match (&self.dtype, &self.torch_dtype) {
            (Some(name), _) => ("dtype", name),
            (None, Some(name)) => ("torch_dtype", name),
            (None, None) => return Ok(Dtype::Float32),
        };
        if Dtype::is_float64(name) {
            return Ok(Dtype::Float32);
        }
        Dtype::of_name(name).ok_or_else(|| {
            let message = "is not supported, only float64, float32, bfloat16 and float16 are";
            Error::Model { field, message: format!("{name:?} {message}") }
        })
    }

    /// Sets the element type in which the language model's tensors are saved.
    pub fn set_dtype(&mut self, dtype: Dtype) {
        let name = Some(dtype.name().to_owned());
        if self.dtype.is_some() {
            self.dtype = name;
        } else {
            self.torch_dtype = name;
        }
    }

    /// The padding token, if the file names one.
    #[must_use]
    pub fn pad_token_id(&self) -> Option<u32> {
        self.set("pad_token_id")?.as_u64()?.try_into().ok()
    }

    /// A further field of the file that is not null.
    pub(crate) fn set(&self, field: &str) -> Option<&Value> {
        self.other.get(field).filter(|value| !value.is_null())
    }

    fn flag(&self, field: &str) -> bool {
        self.set(field) == Some(&Value::Bool(true))
    }
}
