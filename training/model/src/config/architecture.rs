//! The facts by which families of models differ. They are made once for a net, by its family's file, and everything that
//! computes reads them: no forward pass knows a family's name.

use super::ModelConfig;

/// How a net computes, beyond its sizes. [`Architecture::llama`] is the plain case.
#[derive(Debug, Clone, PartialEq)]
pub struct Architecture {
    /// Width of one attention head. Heads times this need not be `hidden_size`.
    pub head_dim: usize,
    /// Which projections have biases.
    pub biases: Biases,
    /// Whether each head's query and key pass through an RMSNorm over `head_dim` before they are rotated:
    /// `self_attn.{q,k}_norm.weight`, `[head_dim]` each.
    pub query_key_norms: bool,
    /// Whether attention's and the feed-forward layer's results pass through an RMSNorm of their own before they are added
    /// to the residual stream.
    pub post_norms: bool,
    /// Added to every RMSNorm's stored weight.
    pub norm_offset: f32,
    /// Of the feed-forward layer's gate.
    pub activation: Activation,
    /// What embeddings are multiplied by.
    pub embedding_scale: Option<f32>,
    /// Scores are divided by the root of this.
    pub score_width: f64,
    /// Scores `s` become `cap * tanh(s / cap)`.
    pub attention_cap: Option<f32>,
    /// Logits `l` become `cap * tanh(l / cap)`.
    pub final_cap: Option<f32>,
    /// How many positions, its own included, a token of each layer sees; none for all before it.
    pub windows: Vec<Option<usize>>,
}

/// Which projections have biases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Biases {
    /// `self_attn.{q,k,v}_proj.bias`.
    pub query_key_value: bool,
    /// `self_attn.o_proj.bias`.
    pub attention_output: bool,
    /// `mlp.{gate,up,down}_proj.bias`.
    pub feed_forward: bool,
}

/// A feed-forward layer's activation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// `x * sigmoid(x)`: SwiGLU (Shazeer, arXiv 2002.05202).
    Silu,
    /// `x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3)))`: GeGLU, by the approximation of Hendrycks & Gimpel
    /// (arXiv 1606.08415).
    GeluTanh,
}

/// Names of a block's RMSNorms, as parts of their tensors' names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockNorms {
    /// Of what attention reads.
    pub attention: &'static str,
    /// Of attention's result.
    pub after_attention: Option<&'static str>,
    /// Of what the feed-forward layer reads.
    pub feed_forward: &'static str,
    /// Of the feed-forward layer's result.
    pub after_feed_forward: Option<&'static str>,
}

impl Architecture {
    /// Llama's blocks: pre-norms, SwiGLU, whole contexts, no biases.
    #[must_use]
    pub fn llama(config: &ModelConfig) -> Self {
        let head_dim = config.head_dim();
        Self {
            head_dim,
            biases: Biases::default(),
            query_key_norms: false,
            post_norms: false,
            norm_offset: 0.0,
            activation: Activation::Silu,
            embedding_scale: None,
            score_width: head_dim as f64,
            attention_cap: None,
            final_cap: None,
            windows: vec![None; config.num_hidden_layers],
        }
    }

    /// What queries are multiplied by, so that scores need not be divided.
    #[must_use]
    pub fn query_scale(&self) -> f32 {
        1.0 / (self.score_width as f32).sqrt()
    }

    /// A block's norms.
    #[must_use]
    pub fn block_norms(&self) -> BlockNorms {
        let attention = "input_layernorm";
        let second = "post_attention_layernorm";
        if self.post_norms {
            return BlockNorms {
                attention,
                after_attention: Some(second),
                feed_forward: "pre_feedforward_layernorm",
                after_feed_forward: Some("post_feedforward_layernorm"),
            };
        }
        BlockNorms {
            attention,
            after_attention: None,
            feed_forward: second,
            after_feed_forward: None,
        }
    }
}
