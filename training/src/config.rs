//! The shape of a net: Hugging Face's `config.json` and the recipe's `[net]` section.

use serde::{Deserialize, Deserializer, Serialize};

use crate::{Error, Result, Tokenizer};

/// Hugging Face's `config.json` of a Llama-family model. Fields that this crate does not use are kept as they are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelConfig {
    /// Must hold `LlamaForCausalLM`.
    pub architectures: Vec<String>,
    /// Must be `llama`.
    pub model_type: String,
    /// Tokens in the vocabulary, V.
    pub vocab_size: usize,
    /// Width of the residual stream, D.
    pub hidden_size: usize,
    /// Width of the feed-forward layer, F.
    pub intermediate_size: usize,
    /// Decoder blocks, L.
    pub num_hidden_layers: usize,
    /// Query heads, H; divides `hidden_size`.
    pub num_attention_heads: usize,
    /// Key/value heads (grouped-query attention); divides `num_attention_heads`. Absent means one a query head.
    #[serde(default)]
    pub num_key_value_heads: Option<usize>,
    /// Added to the mean square in RMSNorm.
    #[serde(default = "default_rms_norm_eps")]
    pub rms_norm_eps: f64,
    /// Base of the rotary position embedding.
    #[serde(default = "default_rope_theta")]
    pub rope_theta: f64,
    /// Longest sequence in tokens.
    pub max_position_embeddings: usize,
    /// Whether the head reuses the embedding matrix.
    #[serde(default)]
    pub tie_word_embeddings: bool,
    /// Element type of the saved tensors; this crate computes and saves in `float32`.
    #[serde(default = "default_torch_dtype", alias = "dtype")]
    pub torch_dtype: String,
    /// Tokens that end a text.
    #[serde(default, deserialize_with = "one_or_many", skip_serializing_if = "Vec::is_empty")]
    pub eos_token_id: Vec<u32>,
    /// Everything else in the file.
    #[serde(flatten)]
    pub other: serde_json::Map<String, serde_json::Value>,
}

fn default_rms_norm_eps() -> f64 {
    1e-6
}

fn default_rope_theta() -> f64 {
    10_000.0
}

fn default_torch_dtype() -> String {
    "float32".to_owned()
}

/// Hugging Face writes one id as a number and several as a list.
fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u32>, D::Error> {
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
    /// Key/value heads.
    #[must_use]
    pub fn key_value_heads(&self) -> usize {
        self.num_key_value_heads.unwrap_or(self.num_attention_heads)
    }

    /// Width of one attention head.
    #[must_use]
    pub fn head_dim(&self) -> usize {
        self.hidden_size / self.num_attention_heads
    }

    /// Checks that this crate computes what the configuration means.
    ///
    /// # Errors
    /// [`Error::Model`] with the field that is out of range or asks for something that is not supported.
    pub fn validate(&self) -> Result<()> {
        let fail = |field, message: String| Err(Error::Model { field, message });
        if self.architectures.iter().all(|name| name != "LlamaForCausalLM") {
            return fail(
                "architectures",
                format!("{:?} is not supported, only LlamaForCausalLM is", self.architectures),
            );
        }
        if self.model_type != "llama" {
            return fail(
                "model_type",
                format!("{:?} is not supported, only llama is", self.model_type),
            );
        }
        for (field, value) in [
            ("vocab_size", self.vocab_size),
            ("hidden_size", self.hidden_size),
            ("intermediate_size", self.intermediate_size),
            ("num_hidden_layers", self.num_hidden_layers),
            ("num_attention_heads", self.num_attention_heads),
            ("num_key_value_heads", self.key_value_heads()),
            ("max_position_embeddings", self.max_position_embeddings),
        ] {
            if value == 0 {
                return fail(field, "must be at least 1".to_owned());
            }
        }
        let (width, heads) = (self.hidden_size, self.num_attention_heads);
        if !width.is_multiple_of(heads) || !self.head_dim().is_multiple_of(2) {
            return fail(
                "hidden_size",
                format!("{width} does not give {heads} heads of an even width"),
            );
        }
        if !heads.is_multiple_of(self.key_value_heads()) {
            return fail(
                "num_key_value_heads",
                format!("{} does not divide num_attention_heads = {heads}", self.key_value_heads()),
            );
        }
        for (field, value) in [("rms_norm_eps", self.rms_norm_eps), ("rope_theta", self.rope_theta)]
        {
            if !(value.is_finite() && value > 0.0) {
                return fail(field, format!("must be a positive number, is {value}"));
            }
        }
        self.validate_other()
    }

    /// Settings that would change the computation and that this crate has no code for.
    fn validate_other(&self) -> Result<()> {
        use serde_json::Value;
        let fail = |field, value: &Value| {
            Err(Error::Model { field, message: format!("{value} is not supported") })
        };
        let set = |field: &str| self.other.get(field).filter(|value| !value.is_null());
        for field in ["rope_scaling", "quantization_config"] {
            if let Some(value) = set(field) {
                return fail(field, value);
            }
        }
        for field in ["attention_bias", "mlp_bias"] {
            if let Some(value) = set(field)
                && value != &Value::Bool(false)
            {
                return fail(field, value);
            }
        }
        if let Some(value) = set("hidden_act")
            && value != "silu"
        {
            return fail("hidden_act", value);
        }
        if let Some(value) = set("head_dim")
            && value.as_u64() != Some(self.head_dim() as u64)
        {
            return fail("head_dim", value);
        }
        if let Some(rope) = set("rope_parameters") {
            let kind = rope.get("rope_type").and_then(Value::as_str).unwrap_or("default");
            let theta = rope.get("rope_theta").and_then(Value::as_f64);
            if kind != "default" || theta.is_some_and(|theta| theta != self.rope_theta) {
                return fail("rope_parameters", rope);
            }
        }
        Ok(())
    }
}

/// A net to be made from scratch: the recipe's `[net]` section.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NetConfig {
    /// Decoder blocks.
    pub layers: usize,
    /// Width of the residual stream.
    pub width: usize,
    /// Query heads; divides `width`.
    pub heads: usize,
    /// Key/value heads; divides `heads`.
    pub key_value_heads: usize,
    /// Width of the feed-forward layer.
    pub intermediate: usize,
    /// Longest sequence in tokens, prompt and steps together.
    pub max_length: usize,
    /// Whether the head reuses the embedding matrix.
    pub tie_embeddings: bool,
}

impl Default for NetConfig {
    /// About 0.9 million parameters: minutes of training on two CPU cores.
    fn default() -> Self {
        Self {
            layers: 4,
            width: 128,
            heads: 4,
            key_value_heads: 4,
            intermediate: 384,
            max_length: 256,
            tie_embeddings: true,
        }
    }
}

impl NetConfig {
    /// The `config.json` of such a net over a tokenizer's vocabulary.
    ///
    /// # Errors
    /// [`Error::Model`] when the sizes do not fit each other.
    pub fn model_config(&self, tokenizer: &Tokenizer) -> Result<ModelConfig> {
        let mut other = serde_json::Map::new();
        other.insert("hidden_act".to_owned(), "silu".into());
        if let Some(pad) = tokenizer.pad() {
            other.insert("pad_token_id".to_owned(), pad.into());
        }
        other.insert("bos_token_id".to_owned(), serde_json::Value::Null);
        let config = ModelConfig {
            architectures: vec!["LlamaForCausalLM".to_owned()],
            model_type: "llama".to_owned(),
            vocab_size: tokenizer.vocab_size(),
            hidden_size: self.width,
            intermediate_size: self.intermediate,
            num_hidden_layers: self.layers,
            num_attention_heads: self.heads,
            num_key_value_heads: Some(self.key_value_heads),
            rms_norm_eps: default_rms_norm_eps(),
            rope_theta: default_rope_theta(),
            max_position_embeddings: self.max_length,
            tie_word_embeddings: self.tie_embeddings,
            torch_dtype: default_torch_dtype(),
            eos_token_id: tokenizer.eos().into_iter().collect(),
            other,
        };
        config.validate()?;
        Ok(config)
    }
}
