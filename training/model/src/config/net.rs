//! A net made from scratch: the recipe's `[net]` section.

use serde::{Deserialize, Serialize};

use super::{Family, ModelConfig};
use crate::dtype::Dtype;
use crate::error::Result;
use crate::tokenizer::{Tokenizer, Tokens};

/// A net to be made from scratch, or the shape of one that is not at hand: the recipe's `[net]` section.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NetConfig {
    /// Whose blocks.
    pub family: Family,
    /// What its tokens are.
    pub tokens: Tokens,
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
    /// Rows of the embedding; 0, and what is below them, stands for the tokenizer's tokens.
    pub vocabulary: usize,
    /// Element type in which the net is saved.
    pub dtype: Dtype,
}

impl Default for NetConfig {
    /// About 0.9 million parameters: minutes of training on two CPU cores.
    fn default() -> Self {
        Self {
            family: Family::default(),
            tokens: Tokens::default(),
            layers: 4,
            width: 128,
            heads: 4,
            key_value_heads: 4,
            intermediate: 384,
            max_length: 256,
            tie_embeddings: true,
            vocabulary: 0,
            dtype: Dtype::Float32,
        }
    }
}

impl NetConfig {
    /// The `config.json` of such a net over a tokenizer's vocabulary.
    ///
    /// # Errors
    /// [`Error::Model`](crate::Error::Model) when the sizes do not fit each other.
    pub fn model_config(&self, tokenizer: &Tokenizer) -> Result<ModelConfig> {
        let mut other = serde_json::Map::new();
        self.family.fresh(self, &mut other);
        if let Some(pad) = tokenizer.pad() {
            other.insert("pad_token_id".to_owned(), pad.into());
        }
        other.insert("bos_token_id".to_owned(), serde_json::Value::Null);
        let config = ModelConfig {
            architectures: vec![self.family.class().to_owned()],
            model_type: self.family.model_type().to_owned(),
            vocab_size: self.vocabulary.max(tokenizer.vocab_size()),
            hidden_size: self.width,
            intermediate_size: self.intermediate,
            num_hidden_layers: self.layers,
            num_attention_heads: self.heads,
            num_key_value_heads: Some(self.key_value_heads),
            head_dim: None,
            rms_norm_eps: Some(self.family.rms_norm_eps()),
            rope_theta: Some(self.family.rope_theta()),
            max_position_embeddings: self.max_length,
            tie_word_embeddings: Some(self.tie_embeddings),
            torch_dtype: Some(self.dtype.name().to_owned()),
            dtype: None,
            eos_token_id: tokenizer.eos().into_iter().collect(),
            other,
        };
        config.validate()?;
        Ok(config)
    }
}
