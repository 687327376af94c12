//! The transformer over ragged rows: all tokens of all sequences of a pass, one row each, without padding.

use std::sync::Arc;

use espalier_model::checkpoint::Checkpoint;
use espalier_model::config::architecture::{Architecture, NormWidth};
use pulp::Arch;

use super::attention::{Heads, Sequence, Unit};
use super::config::WeightFormat;
use super::elementwise::{rms_norm, soft_cap, vectorised};
use super::experts::{FeedForward, Mixture};
use super::kernel::PANEL;
use super::linear::{Linear, Matrix, Packed, Panels};
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
    epsilon: f32,
    architecture: Architecture,
    /// None where it is the head's.
    embedding: Option<Linear>,
    layers: Vec<Layer>,
    norm: Vec<f32>,
    head: Linear,
    ropes: Vec<Rotation>,
}

/// Tables of a rotary embedding, `[positions, pairs]`.
struct Rotation {
    pairs: usize,
    cosines: Vec<f32>,
    sines: Vec<f32>,
}

struct Layer {
    attention_norm: Option<Vec<f32>>,
    /// RMSNorm of query and key, of each head or of all together.
    query_key_norms: Option<(Vec<f32>, Vec<f32>)>,
    qkv: Linear,
    output: Linear,
    after_attention_norm: Option<Vec<f32>>,
    feed_forward_norm: Option<Vec<f32>>,
    feed_forward: FeedForward,
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
    /// A block's part that is changed before it is added to the residual stream.
    branch: Panels,
    mixture: Mixture,
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
    /// Packs the weights, rounded to `format` where there is one.
    pub fn new(checkpoint: &Checkpoint, format: Option<WeightFormat>) -> Self {
        let config = &checkpoint.config;
        let parameters = &checkpoint.parameters;
        let values = |name: &str| parameters.values(name);
        let find = |name: &str| parameters.get(name).map(|tensor| tensor.values.as_slice());
        let architecture = config.architecture().expect("the configuration was checked");
        let norms = architecture.norms;
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
            let query_key_norms = architecture
                .query_key_norms
                .map(|_| (part("self_attn.q_norm"), part("self_attn.k_norm")));
            let query = matrix("self_attn.q_proj", head);
            let (key, value) = (matrix("self_attn.k_proj", head), matrix("self_attn.v_proj", head));
            let output = matrix("self_attn.o_proj", width);
            let padded = pad_inputs(output.weights, head, cache.panels() * PANEL);
            Layer {
                attention_norm: norms.attention.map(part),
                query_key_norms,
                qkv: Linear::new(format, width, &[query, key, value]),
                output: Linear::new(
                    format,
                    config.num_attention_heads * cache.panels() * PANEL,
                    &[Matrix { weights: &padded, ..output }],
                ),
                after_attention_norm: norms.after_attention.map(part),
                feed_forward_norm: norms.feed_forward.map(part),
                feed_forward: FeedForward::new(
                    format,
                    (width, config.intermediate_size),
                    architecture.experts_of(layer),
                    matrix,
                ),
                after_feed_forward_norm: norms.after_feed_forward.map(part),
            }
        });
        let vocab_size = config.vocab_size;
        let ropes = architecture.ropes.iter().map(|rope| {
            let (cosines, sines) = rope.tables(architecture.max_length);
            Rotation { pairs: rope.pairs(), cosines, sines }
        });
        let table = |name: &str| {
            let matrix = Matrix { weights: values(name), bias: None, group: vocab_size };
            Linear::new(format.map(WeightFormat::of_tables), width, &[matrix])
        };
        let embedding = table("model.embed_tokens.weight");
        let (embedding, head) = match config.tied() {
            true => (None, embedding),
            false => (Some(embedding), table("lm_head.weight")),
        };
        Self {
            arch: Arch::new(),
            cache,
            vocab_size,
            max_length: architecture.max_length,
            width,
            heads: config.num_attention_heads,
            epsilon: config.rms_norm_eps() as f32,
            embedding,
            layers: layers.collect(),
            norm: norm("model.norm.weight"),
            head,
            ropes: ropes.collect(),
            architecture,
        }
    }

    /// Multiply-adds of the blocks' matrices for one row.
    pub fn body_cost(&self) -> usize {
        let layer = |layer: &Layer| -> usize {
            layer.qkv.cost() + layer.output.cost() + layer.feed_forward.cost()
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
            layer.qkv.bytes() + layer.output.bytes() + layer.feed_forward.bytes()
        };
        self.layers.iter().map(layer).sum::<usize>() + self.head.bytes()
    }

    fn heads_of(&self, index: usize) -> Heads<'_> {
        let whole = self.architecture.query_key_norms == Some(NormWidth::Heads);
        let norms = self.query_key_norms(index).filter(|_| !whole);
        let rope = self.architecture.rope_of_layer[index].map(|rope| &self.ropes[rope]);
        Heads {
            scale: self.architecture.query_scale(),
            cap: self.architecture.attention_cap,
            window: self.architecture.windows[index],
            cache: self.cache,
            heads: self.heads,
            norms,
            pairs: rope.map_or(0, |rope| rope.pairs),
            cosines: rope.map_or(&[], |rope| &rope.cosines),
            sines: rope.map_or(&[], |rope| &rope.sines),
        }
    }

    /// Weights of a layer's query and key norms, and epsilon.
    fn query_key_norms(&self, index: usize) -> Option<(&[f32], &[f32], f32)> {
        let norms = self.layers[index].query_key_norms.as_ref();
        norms.map(|(query, key)| (query.as_slice(), key.as_slice(), self.epsilon))
    }

    /// Runs the blocks over a pass. The final states of the wanted rows are left in `work`, for [`Self::state`].
    pub fn forward(&self, team: &Team, work: &mut Activations, pass: &mut Pass<'_>) {
        let arch = self.arch;
        team.each(pass.sequences.iter_mut().flat_map(|s| &mut s.table.own).collect(), Block::fill);
        let panels = self.width.div_ceil(PANEL);
        work.hidden.resize(pass.tokens.len(), panels);
        let table = self.embedding.as_ref().unwrap_or(&self.head);
        let mut embedding = vec![0.0; self.width];
        for (row, &token) in pass.tokens.iter().enumerate() {
            table.output(token as usize, &mut embedding);
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
            work.norm(self, team, layer.attention_norm.as_deref(), &layer.qkv);
            layer.qkv.apply(team, arch, &work.packed, &mut work.qkv);
            if index + 1 == self.layers.len() {
                // Nothing reads the other rows any more.
                work.hidden.keep(panels, &pass.wanted());
                units = pass.units(true);
            }
            let heads = self.heads_of(index);
            if let (None, Some(norms)) = (heads.norms, self.query_key_norms(index)) {
                heads.normalise(arch, &mut work.qkv, norms);
            }
            heads.store(arch, index, &work.qkv, &mut pass.sequences);
            let (qkv, sequences) = (&work.qkv, &pass.sequences);
            heads.attend((team, arch), index, qkv, sequences, &units, &mut work.mixed);
            heads.pack((team, &layer.output), &units, &work.mixed, &mut work.packed);
            work.add(self, team, &layer.output, layer.after_attention_norm.as_deref());

            let norm = layer.feed_forward_norm.as_deref();
            let after = layer.after_feed_forward_norm.as_deref();
            let activation = self.architecture.activation;
            match &layer.feed_forward {
                FeedForward::Plain(gated) => {
                    work.norm(self, team, norm, &gated.gate_up);
                    let Activations { packed, gate_up, .. } = work;
                    gated.open((team, arch), activation, packed, gate_up);
                    work.add(self, team, &gated.down, after);
                }
                FeedForward::Experts(experts) => {
                    let Activations { hidden, branch, mixture, .. } = work;
                    let row = |row: usize, out: &mut [f32]| self.normed(hidden, norm, row, out);
                    let size = (hidden.rows(), self.width);
                    experts.apply((team, arch), activation, size, row, (mixture, branch));
                    work.add_branch(self, after);
                }
            }
        }
    }

    /// A row of the residual stream, normalised if there is a norm.
    fn normed(&self, hidden: &Panels, weight: Option<&[f32]>, row: usize, out: &mut [f32]) {
        vectorised(
            self.arch,
            #[inline(always)]
            || {
                hidden.read(0, row, out);
                if let Some(weight) = weight {
                    rms_norm(out, weight, self.epsilon);
                }
            },
        );
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
        work.packed.fill(team, &self.head, states.len(), |row, out| {
            out.copy_from_slice(states[row]);
        });
        self.head.apply(team, self.arch, &work.packed, &mut work.logits);
    }

    /// Logits `[vocab_size]` of one of the states that were given to [`Self::logits`].
    pub fn logits_of(&self, work: &Activations, row: usize, out: &mut Vec<f32>) {
        out.resize(self.vocab_size, 0.0);
        work.logits.read(0, row, out);
        if let Some(scale) = self.architecture.logit_scale {
            out.iter_mut().for_each(|logit| *logit *= scale);
        }
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
    /// Adds a product of the packed rows to the residual stream, as [`Self::add_branch`] does.
    fn add(&mut self, model: &Model, team: &Team, linear: &Linear, norm: Option<&[f32]>) {
        if norm.is_none() && model.architecture.residual_scale.is_none() {
            return linear.apply_add(team, model.arch, &self.packed, &mut self.hidden);
        }
        linear.apply(team, model.arch, &self.packed, &mut self.branch);
        self.add_branch(model, norm);
    }

    /// Adds a block's part to the residual stream, normalised and scaled first where the family does so.
    fn add_branch(&mut self, model: &Model, norm: Option<&[f32]>) {
        let (branch, hidden) = (&self.branch, &mut self.hidden);
        let mut values = vec![0.0; model.width];
        vectorised(
            model.arch,
            #[inline(always)]
            || {
                for row in 0..hidden.rows() {
                    branch.read(0, row, &mut values);
                    if let Some(weight) = norm {
                        rms_norm(&mut values, weight, model.epsilon);
                    }
                    if let Some(scale) = model.architecture.residual_scale {
                        values.iter_mut().for_each(|value| *value *= scale);
                    }
                    for (panel, values) in values.chunks(PANEL).enumerate() {
                        let lane = hidden.lane_mut(panel, row);
                        lane.iter_mut().zip(values).for_each(|(x, value)| *x += value);
                    }
                }
            },
        );
    }

    /// Packs what a part of a block reads by a layer.
    fn norm(&mut self, model: &Model, team: &Team, weight: Option<&[f32]>, reader: &Linear) {
        let hidden = &self.hidden;
        self.packed.fill(team, reader, hidden.rows(), |row, out| {
            model.normed(hidden, weight, row, out);
        });
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
