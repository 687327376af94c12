//! The transformer over ragged rows: all tokens of all sequences of a pass, one row each, without padding.

use std::sync::Arc;

use espalier_model::checkpoint::Checkpoint;
use espalier_model::config::architecture::{Activation, Architecture};
use espalier_model::rotary;
use pulp::Arch;

use super::attention::{Heads, Sequence, Unit};
use super::elementwise::{geglu, rms_norm, soft_cap, swiglu, vectorised};
use super::kernel::PANEL;
use super::linear::{Linear, Matrix, Packed, Panels};
use super::numbers::Numbers;
use super::pages::{Block, CacheShape};
use super::team::Team;

/// A net with its weights packed.
pub(super) struct Model {
    pub arch: Arch,
    pub cache: CacheShape,
    pub vocab_size: usize,
    pub max_length: usize,
    pub width: usize,
    heads: usize,
    inner: usize,
    epsilon: f32,
    architecture: Architecture,
    embedding: Numbers,
    layers: Vec<Layer>,
    norm: Vec<f32>,
    head: Linear,
    cosines: Vec<f32>,
    sines: Vec<f32>,
}

struct Layer {
    attention_norm: Vec<f32>,
    /// RMSNorm of each query and key head, `[head_dim]`.
    head_norms: Option<(Vec<f32>, Vec<f32>)>,
    qkv: Linear,
    output: Linear,
    after_attention_norm: Option<Vec<f32>>,
    feed_forward_norm: Vec<f32>,
    gate_up: Linear,
    down: Linear,
    after_feed_forward_norm: Option<Vec<f32>>,
}

/// Buffers of a forward pass; reused because fresh pages cost as much as a layer.
#[derive(Default)]
pub(super) struct Activations {
    /// The residual stream; from the last layer on, the wanted rows alone.
    hidden: Panels,
    packed: Packed,
    qkv: Panels,
    mixed: Vec<f32>,
    gate_up: Panels,
    /// A block's part that is normalised before it is added to the residual stream.
    branch: Panels,
    logits: Panels,
}

/// What a forward pass reads, sequence by sequence in the order of their rows: contexts, of which the last rows are
/// wanted, then groups of sequences of one row each.
pub(super) struct Pass<'a> {
    /// One a row.
    pub tokens: Vec<u32>,
    pub sequences: Vec<Sequence<'a>>,
    /// How many of the sequences are in no group.
    pub contexts: usize,
    /// Sizes of the groups, each with how many blocks its sequences have in common.
    pub groups: Vec<(usize, usize)>,
}

impl Pass<'_> {
    /// The rows whose final state is wanted: the last ones of each context and all of the groups.
    pub fn wanted(&self) -> Vec<usize> {
        let wanted =
            |sequence: &Sequence<'_>| sequence.rows.end - sequence.wanted..sequence.rows.end;
        self.sequences.iter().flat_map(wanted).collect()
    }

    /// The units of all rows, or of the wanted ones.
    fn units(&self, wanted: bool) -> Vec<Unit> {
        let mut units = Vec::new();
        let mut target = 0;
        for (index, sequence) in self.sequences[..self.contexts].iter().enumerate() {
            let rows = sequence.rows.clone();
            let rows = if wanted { rows.end - sequence.wanted..rows.end } else { rows };
            target += rows.len();
            units.extend(Unit::of_sequence(index, sequence, rows.clone(), target - rows.len()));
        }
        let mut first = self.contexts;
        for &(size, common) in &self.groups {
            let row = self.sequences[first].rows.start;
            units.push(Unit::of_group(first..first + size, row..row + size, target, common));
            (first, target) = (first + size, target + size);
        }
        units
    }
}

impl Model {
    pub fn new(checkpoint: &Checkpoint) -> Self {
        let config = &checkpoint.config;
        let parameters = &checkpoint.parameters;
        let values = |name: &str| parameters.values(name);
        let find = |name: &str| parameters.get(name).map(|tensor| tensor.values.as_slice());
        let architecture = config.architecture().expect("the configuration was checked");
        let norms = architecture.block_norms();
        let offset = architecture.norm_offset;
        let norm = |name: &str| -> Vec<f32> {
            values(name).iter().map(|weight| weight + offset).collect()
        };
        let width = config.hidden_size;
        let cache = CacheShape::new(config);
        let layers = (0..config.num_hidden_layers).map(|layer| {
            let name = |part: &str, kind: &str| format!("model.layers.{layer}.{part}.{kind}");
            let part = |part: &str| norm(&name(part, "weight"));
            let matrix = |part: &str, group: usize| Matrix {
                weights: values(&name(part, "weight")),
                bias: find(&name(part, "bias")),
                group,
            };
            let head = cache.head_dim;
            let head_norms = architecture
                .query_key_norms
                .then(|| (part("self_attn.q_norm"), part("self_attn.k_norm")));
            let query = matrix("self_attn.q_proj", head);
            let (key, value) = (matrix("self_attn.k_proj", head), matrix("self_attn.v_proj", head));
            let inner = config.intermediate_size;
            let (gate, up) = (matrix("mlp.gate_proj", inner), matrix("mlp.up_proj", inner));
            let output = matrix("self_attn.o_proj", width);
            let padded = pad_inputs(output.weights, head, cache.panels() * PANEL);
            Layer {
                attention_norm: part(norms.attention),
                head_norms,
                qkv: Linear::new(width, &[query, key, value]),
                output: Linear::new(
                    config.num_attention_heads * cache.panels() * PANEL,
                    &[Matrix { weights: &padded, ..output }],
                ),
                after_attention_norm: norms.after_attention.map(part),
                feed_forward_norm: part(norms.feed_forward),
                gate_up: Linear::new(width, &[gate, up]),
                down: Linear::new(inner, &[matrix("mlp.down_proj", width)]),
                after_feed_forward_norm: norms.after_feed_forward.map(part),
            }
        });
        let embedding = "model.embed_tokens.weight";
        let head = if config.tied() { embedding } else { "lm_head.weight" };
        let vocab_size = config.vocab_size;
        let head = Matrix { weights: values(head), bias: None, group: vocab_size };
        let (cosines, sines) = rotary::tables(config, config.max_position_embeddings);
        Self {
            arch: Arch::new(),
            cache,
            vocab_size,
            max_length: config.max_position_embeddings,
            width,
            heads: config.num_attention_heads,
            inner: config.intermediate_size,
            epsilon: config.rms_norm_eps as f32,
            embedding: Numbers::exact(values(embedding).to_vec()),
            layers: layers.collect(),
            norm: norm("model.norm.weight"),
            head: Linear::new(width, &[head]),
            cosines,
            sines,
            architecture,
        }
    }

    /// Multiply-adds of the blocks' matrices for one row.
    pub fn body_cost(&self) -> usize {
        let layer = |layer: &Layer| -> usize {
            [&layer.qkv, &layer.output, &layer.gate_up, &layer.down].map(Linear::cost).iter().sum()
        };
        self.layers.iter().map(layer).sum()
    }

    /// Multiply-adds of the head for one row.
    pub fn head_cost(&self) -> usize {
        self.head.cost()
    }

    /// Bytes of the matrices that a pass reads whole.
    pub fn bytes(&self) -> usize {
        let layer = |layer: &Layer| -> usize {
            [&layer.qkv, &layer.output, &layer.gate_up, &layer.down].map(Linear::bytes).iter().sum()
        };
        self.layers.iter().map(layer).sum::<usize>() + self.head.bytes()
    }

    fn heads_of(&self, index: usize) -> Heads<'_> {
        let norms = self.layers[index].head_norms.as_ref();
        Heads {
            scale: self.architecture.query_scale(),
            cap: self.architecture.attention_cap,
            window: self.architecture.windows[index],
            cache: self.cache,
            heads: self.heads,
            norms: norms.map(|(query, key)| (query.as_slice(), key.as_slice(), self.epsilon)),
            cosines: &self.cosines,
            sines: &self.sines,
        }
    }

    /// Runs the blocks over a pass. The final states of the wanted rows are left in `work`, for [`Self::state`].
    pub fn forward(&self, team: &Team, work: &mut Activations, pass: &mut Pass<'_>) {
        let arch = self.arch;
        team.each(pass.sequences.iter_mut().flat_map(|s| &mut s.table.own).collect(), Block::fill);
        let panels = self.width.div_ceil(PANEL);
        work.hidden.resize(pass.tokens.len(), panels);
        let mut embedding = vec![0.0; self.width];
        for (row, &token) in pass.tokens.iter().enumerate() {
            self.embedding.read(token as usize * self.width, &mut embedding);
            if let Some(scale) = self.architecture.embedding_scale {
                embedding.iter_mut().for_each(|x| *x *= scale);
            }
            for (panel, values) in embedding.chunks(PANEL).enumerate() {
                let lane = work.hidden.lane_mut(panel, row);
                lane.fill(0.0);
                lane[..values.len()].copy_from_slice(values);
            }
        }
        let mut units = pass.units(false);
        for (index, layer) in self.layers.iter().enumerate() {
            work.norm(self, team, &layer.attention_norm);
            layer.qkv.apply(team, arch, &work.packed, &mut work.qkv);
            if index + 1 == self.layers.len() {
                // Nothing reads the other rows any more.
                work.hidden.keep(panels, &pass.wanted());
                units = pass.units(true);
            }
            let heads = self.heads_of(index);
            heads.store(arch, index, &work.qkv, &mut pass.sequences);
            let (qkv, sequences) = (&work.qkv, &pass.sequences);
            heads.attend((team, arch), index, qkv, sequences, &units, &mut work.mixed);
            heads.pack(team, &units, &work.mixed, &mut work.packed);
            work.add(self, team, &layer.output, layer.after_attention_norm.as_deref());

            work.norm(self, team, &layer.feed_forward_norm);
            layer.gate_up.apply(team, arch, &work.packed, &mut work.gate_up);
            work.gate(self, team);
            work.add(self, team, &layer.down, layer.after_feed_forward_norm.as_deref());
        }
    }

    /// The final state `[hidden_size]` of a wanted row of the last forward pass, normalised.
    pub fn state(&self, work: &Activations, row: usize) -> Arc<[f32]> {
        let mut state: Arc<[f32]> = std::iter::repeat_n(0.0, self.width).collect();
        if let Some(state) = Arc::get_mut(&mut state) {
            work.hidden.read(0, row, state);
            vectorised(
                self.arch,
                #[inline(always)]
                || rms_norm(state, &self.norm, self.epsilon),
            );
        }
        state
    }

    /// Logits of final states, for [`Self::logits_of`].
    pub fn logits(&self, team: &Team, work: &mut Activations, states: &[&[f32]]) {
        work.packed.fill(team, (states.len(), self.width), |row, out| {
            out.copy_from_slice(states[row]);
        });
        self.head.apply(team, self.arch, &work.packed, &mut work.logits);
    }

    /// Logits `[vocab_size]` of one of the states that were given to [`Self::logits`].
    pub fn logits_of(&self, work: &Activations, row: usize, out: &mut Vec<f32>) {
        out.resize(self.vocab_size, 0.0);
        work.logits.read(0, row, out);
        if let Some(cap) = self.architecture.final_cap {
            vectorised(
                self.arch,
                #[inline(always)]
                || soft_cap(out, cap),
            );
        }
    }
}

impl Activations {
    /// Packs what the feed-forward layer's gate lets through.
    fn gate(&mut self, model: &Model, team: &Team) {
        let (gate_up, inner) = (&self.gate_up, model.inner);
        let up = inner.div_ceil(PANEL);
        let activation = model.architecture.activation;
        self.packed.fill(team, (self.hidden.rows(), inner), |row, out| {
            vectorised(
                model.arch,
                #[inline(always)]
                || match activation {
                    Activation::Silu => gate_row(gate_up, (row, up), out, swiglu),
                    Activation::GeluTanh => gate_row(gate_up, (row, up), out, geglu),
                },
            );
        });
    }

    /// Adds a product of the packed rows to the residual stream, normalised first where the block has a norm for it.
    fn add(&mut self, model: &Model, team: &Team, linear: &Linear, norm: Option<&[f32]>) {
        let Some(weight) = norm else {
            return linear.apply_add(team, model.arch, &self.packed, &mut self.hidden);
        };
        linear.apply(team, model.arch, &self.packed, &mut self.branch);
        let (branch, hidden) = (&self.branch, &mut self.hidden);
        let mut values = vec![0.0; model.width];
        vectorised(
            model.arch,
            #[inline(always)]
            || {
                for row in 0..hidden.rows() {
                    branch.read(0, row, &mut values);
                    rms_norm(&mut values, weight, model.epsilon);
                    for (panel, values) in values.chunks(PANEL).enumerate() {
                        let lane = hidden.lane_mut(panel, row);
                        lane.iter_mut().zip(values).for_each(|(x, value)| *x += value);
                    }
                }
            },
        );
    }

    /// Packs `rms_norm(hidden)`.
    fn norm(&mut self, model: &Model, team: &Team, weight: &[f32]) {
        let hidden = &self.hidden;
        self.packed.fill(team, (hidden.rows(), model.width), |row, out| {
            vectorised(
                model.arch,
                #[inline(always)]
                || {
                    hidden.read(0, row, out);
                    rms_norm(out, weight, model.epsilon);
                },
            );
        });
    }
}

/// Gates every row: `activation(gate) * up`, panel by panel.
#[inline(always)]
fn gate_row(
    gate_up: &Panels,
    (row, up): (usize, usize),
    out: &mut [f32],
    activate: impl Fn(&mut [f32], &[f32]),
) {
    for (panel, gate) in out.chunks_mut(PANEL).enumerate() {
        gate.copy_from_slice(&gate_up.lane(panel, row)[..gate.len()]);
        activate(gate, gate_up.lane(up + panel, row));
    }
}

/// Widens each head of a matrix's inputs with zeros, from `head` to `padded`.
fn pad_inputs(weights: &[f32], head: usize, padded: usize) -> Vec<f32> {
    let mut wide = Vec::with_capacity(weights.len() / head * padded);
    for part in weights.chunks_exact(head) {
        wide.extend_from_slice(part);
        wide.resize(wide.len() + padded - head, 0.0);
    }
    wide
}
