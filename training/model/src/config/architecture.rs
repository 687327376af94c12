//! The facts by which families of models differ. They are made once for a net, by its family's file, and everything that
//! computes reads them: no forward pass knows a family's name.

use super::ModelConfig;
use crate::error::Result;
use crate::rotary::Rope;

/// How a net computes, beyond its sizes. [`Architecture::llama`] is the plain case.
#[derive(Debug, Clone, PartialEq)]
pub struct Architecture {
    /// Longest sequence in tokens: `max_position_embeddings`, or fewer where the rotary embedding holds for fewer.
    pub max_length: usize,
    /// Width of one attention head. Heads times this need not be `hidden_size`.
    pub head_dim: usize,
    /// Which projections have biases.
    pub biases: Biases,
    /// RMSNorms of queries and keys before they are rotated, `self_attn.{q,k}_norm.weight`; none for none.
    pub query_key_norms: Option<NormWidth>,
    /// Where a block's RMSNorms stand.
    pub norms: BlockNorms,
    /// Added to every RMSNorm's stored weight.
    pub norm_offset: f32,
    /// Of the feed-forward layer's gate.
    pub activation: Activation,
    /// Experts in the place of feed-forward layers.
    pub experts: Option<Experts>,
    /// What embeddings are multiplied by.
    pub embedding_scale: Option<f32>,
    /// What attention's and the feed-forward layer's results are multiplied by before they are added to the residual stream.
    pub residual_scale: Option<f32>,
    /// Scores are divided by the root of this.
    pub score_width: f64,
    /// Scores `s` become `cap * tanh(s / cap)`.
    pub attention_cap: Option<f32>,
    /// What logits are multiplied by, before they are capped.
    pub logit_scale: Option<f32>,
    /// Logits `l` become `cap * tanh(l / cap)`.
    pub final_cap: Option<f32>,
    /// How many positions, its own included, a token of each layer sees; none for all before it.
    pub windows: Vec<Option<usize>>,
    /// The rotary embeddings that some layers have, each once; at least one.
    pub ropes: Vec<Rope>,
    /// Which of them each layer has; none for none.
    pub rope_of_layer: Vec<Option<usize>>,
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

impl Biases {
    /// Biases on all of attention's projections, or none.
    #[must_use]
    pub fn attention(on: bool) -> Self {
        Self { query_key_value: on, attention_output: on, feed_forward: false }
    }
}

/// What a query's or key's RMSNorm is taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NormWidth {
    /// Each head alone, `[head_dim]`.
    Head,
    /// All heads together, `[heads * head_dim]`.
    Heads,
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

/// A mixture of experts (Shazeer et al., arXiv 1701.06538): a softmax over `mlp.gate.weight`, `[count, D]`, picks the
/// likeliest few of the feed-forward layers `mlp.experts.N`, whose results are added, each times its probability.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Experts {
    /// How many there are.
    pub count: usize,
    /// How many of them read a token.
    pub per_token: usize,
    /// Width of an expert.
    pub inner: usize,
    /// Whether the picked probabilities are divided by their sum.
    pub normalised: bool,
    /// Width of the expert `mlp.shared_expert` that reads every token; its result is multiplied by the sigmoid of
    /// `mlp.shared_expert_gate.weight`, `[1, D]`, and added.
    pub shared: Option<usize>,
    /// Which layers have experts; the others have a plain feed-forward layer.
    pub layers: Vec<bool>,
}

/// Names of a block's RMSNorms, as parts of their tensors' names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockNorms {
    /// Of what attention reads.
    pub attention: Option<&'static str>,
    /// Of attention's result.
    pub after_attention: Option<&'static str>,
    /// Of what the feed-forward layer reads.
    pub feed_forward: Option<&'static str>,
    /// Of the feed-forward layer's result.
    pub after_feed_forward: Option<&'static str>,
}

impl BlockNorms {
    /// Before each part.
    pub const BEFORE: Self = Self {
        attention: Some("input_layernorm"),
        after_attention: None,
        feed_forward: Some("post_attention_layernorm"),
        after_feed_forward: None,
    };
    /// After each part.
    pub const AFTER: Self = Self {
        attention: None,
        after_attention: Some("post_attention_layernorm"),
        feed_forward: None,
        after_feed_forward: Some("post_feedforward_layernorm"),
    };
    /// Before and after each part.
    pub const AROUND: Self = Self {
        attention: Some("input_layernorm"),
        after_attention: Some("post_attention_layernorm"),
        feed_forward: Some("pre_feedforward_layernorm"),
        after_feed_forward: Some("post_feedforward_layernorm"),
    };

    /// Those that there are.
    pub fn iter(&self) -> impl Iterator<Item = &'static str> {
        [self.attention, self.after_attention, self.feed_forward, self.after_feed_forward]
            .into_iter()
            .flatten()
    }
}

impl Architecture {
    /// Llama's blocks: norms before each part, SwiGLU, whole contexts, one rotary embedding over whole heads, no biases.
    ///
    /// # Errors
    /// When the rotary embedding's settings are not supported.
    pub fn llama(config: &ModelConfig) -> Result<Self> {
        Ok(Self::turned_by(config, vec![Rope::new(config)?]))
    }

    /// As [`Self::llama`], with these rotary embeddings, the first of them in every layer.
    pub(super) fn turned_by(config: &ModelConfig, ropes: Vec<Rope>) -> Self {
        let head_dim = config.head_dim();
        let limit = ropes.iter().filter_map(Rope::limit).min();
        Self {
            max_length: limit.map_or(config.max_position_embeddings, |limit| {
                limit.min(config.max_position_embeddings)
            }),
            head_dim,
            biases: Biases::default(),
            query_key_norms: None,
            norms: BlockNorms::BEFORE,
            norm_offset: 0.0,
            activation: Activation::Silu,
            experts: None,
            embedding_scale: None,
            residual_scale: None,
            score_width: head_dim as f64,
            attention_cap: None,
            logit_scale: None,
            final_cap: None,
            windows: vec![None; config.num_hidden_layers],
            ropes,
            rope_of_layer: vec![Some(0); config.num_hidden_layers],
        }
    }

    /// What queries are multiplied by, so that scores need not be divided.
    #[must_use]
    pub fn query_scale(&self) -> f32 {
        1.0 / (self.score_width as f32).sqrt()
    }

    /// A layer's experts, if it has any.
    #[must_use]
    pub fn experts_of(&self, layer: usize) -> Option<&Experts> {
        self.experts.as_ref().filter(|experts| experts.layers[layer])
    }
}
