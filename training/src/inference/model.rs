//! The transformer over ragged rows: all tokens of all sequences of a batch, one row each, without padding.

use pulp::Arch;

use super::attention::{AttentionShape, PromptAttention, PromptRows, SampleAttention, SampleRows};
use super::cache::{CacheShape, SampleCache};
use super::elementwise::{RmsNorm, Rotate, SwiGlu};
use super::linear::Linear;
use crate::parameters::{VALUE_BIAS, VALUE_WEIGHT};
use crate::{Checkpoint, rotary};

/// Rows that go through a feed-forward layer together, so that its wide middle stays in the second-level cache.
const FEED_FORWARD_ROWS: usize = 96;

/// A net with its weights packed.
pub(super) struct Model {
    pub arch: Arch,
    pub shape: AttentionShape,
    vocab_size: usize,
    pub max_length: usize,
    width: usize,
    inner: usize,
    epsilon: f32,
    embedding: Vec<f32>,
    layers: Vec<Layer>,
    norm: Vec<f32>,
    head: Linear,
    value_head: Linear,
    value_bias: f32,
    cosines: Vec<f32>,
    sines: Vec<f32>,
}

struct Layer {
    attention_norm: Vec<f32>,
    qkv: Linear,
    output: Linear,
    feed_forward_norm: Vec<f32>,
    gate_up: Linear,
    down: Linear,
}

/// Buffers of a forward pass; reused because fresh pages cost as much as a layer.
#[derive(Default)]
pub(super) struct Activations {
    /// `[R, D]`, the residual stream; from the last layer on, the wanted rows alone.
    hidden: Vec<f32>,
    normed: Vec<f32>,
    qkv: Vec<f32>,
    mixed: Vec<f32>,
    gate_up: Vec<f32>,
    inner: Vec<f32>,
    /// `[queries, positions]` of one head.
    scores: Vec<f32>,
    logits: Vec<f32>,
}

/// What a forward pass reads: the rows of prompts, then one row of each sample.
pub(super) struct Pass<'a> {
    /// Token and position of each row.
    pub tokens: Vec<u32>,
    pub positions: Vec<usize>,
    pub prompts: Vec<PromptRows>,
    /// Rows are counted from the first sample's.
    pub groups: Vec<SampleRows<'a>>,
    /// Which of `caches` each sample uses.
    pub slots: Vec<usize>,
    pub caches: &'a mut [SampleCache],
}

impl Pass<'_> {
    /// Rows whose final state is wanted: each prompt's last and every sample's, in this order.
    fn wanted(&self) -> impl Iterator<Item = usize> {
        let samples = self.tokens.len() - self.slots.len()..self.tokens.len();
        self.prompts.iter().map(|prompt| prompt.rows.end - 1).chain(samples)
    }
}

impl Model {
    pub fn new(checkpoint: &Checkpoint) -> Self {
        let config = &checkpoint.config;
        let values = |name: &str| checkpoint.parameters.values(name);
        let width = config.hidden_size;
        let cache = CacheShape {
            layers: config.num_hidden_layers,
            heads: config.key_value_heads(),
            head_dim: config.head_dim(),
        };
        let shape = AttentionShape { cache, heads: config.num_attention_heads };
        // Dividing the query weights here saves dividing every score.
        let scale = 1.0 / (config.head_dim() as f32).sqrt();
        let layers = (0..config.num_hidden_layers).map(|layer| {
            let part = |part: &str| values(&format!("model.layers.{layer}.{part}.weight"));
            let query: Vec<f32> = part("self_attn.q_proj").iter().map(|x| x * scale).collect();
            let (key, value) = (part("self_attn.k_proj"), part("self_attn.v_proj"));
            Layer {
                attention_norm: part("input_layernorm").to_vec(),
                qkv: Linear::new(width, &[&query, key, value]),
                output: Linear::new(shape.query(), &[part("self_attn.o_proj")]),
                feed_forward_norm: part("post_attention_layernorm").to_vec(),
                gate_up: Linear::new(width, &[part("mlp.gate_proj"), part("mlp.up_proj")]),
                down: Linear::new(config.intermediate_size, &[part("mlp.down_proj")]),
            }
        });
        let embedding = "model.embed_tokens.weight";
        let head = if config.tie_word_embeddings { embedding } else { "lm_head.weight" };
        let (cosines, sines) = rotary::tables(config, config.max_position_embeddings);
        Self {
            arch: Arch::new(),
            shape,
            vocab_size: config.vocab_size,
            max_length: config.max_position_embeddings,
            width,
            inner: config.intermediate_size,
            epsilon: config.rms_norm_eps as f32,
            embedding: values(embedding).to_vec(),
            layers: layers.collect(),
            norm: values("model.norm.weight").to_vec(),
            head: Linear::new(width, &[values(head)]),
            value_head: Linear::new(width, &[values(VALUE_WEIGHT)]),
            value_bias: values(VALUE_BIAS)[0],
            cosines,
            sines,
        }
    }

    /// Runs the blocks over a pass. The final states of the wanted rows (each prompt's last, then every sample's) are
    /// left in `work`, normalised, for [`Self::logits`] and [`Self::value`].
    pub fn forward(&self, work: &mut Activations, pass: &mut Pass<'_>) {
        let (arch, width) = (self.arch, self.width);
        work.hidden.clear();
        for &token in &pass.tokens {
            work.hidden.extend_from_slice(&self.embedding[token as usize * width..][..width]);
        }
        for (index, layer) in self.layers.iter().enumerate() {
            work.norm(self, &layer.attention_norm);
            work.qkv.resize(pass.tokens.len() * self.shape.qkv(), 0.0);
            layer.qkv.apply(arch, &work.normed, &mut work.qkv);
            arch.dispatch(Rotate {
                qkv: &mut work.qkv,
                stride: self.shape.qkv(),
                rotated: self.shape.query() + self.shape.cache.heads * self.shape.cache.head_dim,
                head_dim: self.shape.cache.head_dim,
                positions: &pass.positions,
                cosines: &self.cosines,
                sines: &self.sines,
            });
            let last = index + 1 == self.layers.len();
            if last {
                // In place: wanted rows ascend, so a row never lands on one that is still to be moved.
                let mut rows = 0;
                for from in pass.wanted() {
                    work.hidden.copy_within(from * width..(from + 1) * width, rows * width);
                    rows += 1;
                }
                work.hidden.truncate(rows * width);
            }
            self.attention(work, pass, index, last);
            layer.output.apply_add(arch, &work.mixed, &mut work.hidden);
            self.feed_forward(layer, work);
        }
        work.norm(self, &self.norm);
    }

    /// Attends over `work.qkv` into `work.mixed`.
    fn attention(&self, work: &mut Activations, pass: &mut Pass<'_>, layer: usize, last: bool) {
        let (shape, query) = (self.shape, self.shape.query());
        let Activations { hidden, qkv, mixed, scores, .. } = work;
        mixed.resize(hidden.len() / self.width * query, 0.0);
        let samples = pass.slots.len();
        let split = mixed.len() - samples * query;
        let (prompt_mixed, sample_mixed) = mixed.split_at_mut(split);
        let prompts = pass.prompts.as_mut_slice();
        let mixed = prompt_mixed;
        let attention = PromptAttention {
            shape,
            layer,
            qkv,
            prompts,
            last_only: last,
            mixed,
            scores: &mut *scores,
        };
        self.arch.dispatch(attention);
        self.arch.dispatch(SampleAttention {
            shape,
            layer,
            qkv: &qkv[qkv.len() - samples * shape.qkv()..],
            groups: &pass.groups,
            slots: &pass.slots,
            caches: pass.caches,
            mixed: sample_mixed,
            scores,
        });
    }

    fn feed_forward(&self, layer: &Layer, work: &mut Activations) {
        work.norm(self, &layer.feed_forward_norm);
        let block = FEED_FORWARD_ROWS * self.width;
        for (input, hidden) in work.normed.chunks(block).zip(work.hidden.chunks_mut(block)) {
            let rows = input.len() / self.width;
            work.gate_up.resize(rows * 2 * self.inner, 0.0);
            work.inner.resize(rows * self.inner, 0.0);
            layer.gate_up.apply(self.arch, input, &mut work.gate_up);
            let (inner, gate_up) = (self.inner, work.gate_up.as_slice());
            self.arch.dispatch(SwiGlu { inner, gate_up, out: &mut work.inner });
            layer.down.apply_add(self.arch, &work.inner, hidden);
        }
    }

    /// Logits `[wanted rows, V]` of the last forward pass, into `work.logits`.
    pub fn logits(&self, work: &mut Activations) {
        let rows = work.normed.len() / self.width;
        work.logits.resize(rows * self.vocab_size, 0.0);
        self.head.apply(self.arch, &work.normed, &mut work.logits);
    }

    /// Value in [-1, 1] of a wanted row of the last forward pass.
    pub fn value(&self, work: &Activations, row: usize) -> f32 {
        let normed = &work.normed[row * self.width..][..self.width];
        let mut value = [self.value_bias];
        self.value_head.apply_add(self.arch, normed, &mut value);
        value[0].tanh()
    }
}

impl Activations {
    /// Logits `[V]` of a wanted row, after [`Model::logits`].
    pub fn logits(&self, model: &Model, row: usize) -> &[f32] {
        &self.logits[row * model.vocab_size..][..model.vocab_size]
    }

    /// `normed = rms_norm(hidden)`.
    fn norm(&mut self, model: &Model, weight: &[f32]) {
        self.normed.resize(self.hidden.len(), 0.0);
        let (input, out) = (self.hidden.as_slice(), self.normed.as_mut_slice());
        model.arch.dispatch(RmsNorm { input, weight, epsilon: model.epsilon, out });
    }
}
