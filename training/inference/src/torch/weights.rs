//! A net's weights on a device.

use espalier_model::checkpoint::Checkpoint;
use espalier_model::config::architecture::NormWidth;
use espalier_model::rotary::Rope;
use espalier_torch::error::Result;
use espalier_torch::tensor::{kind, to_tensor};
use tch::{Device, Kind, Tensor};

use super::experts::FeedForward;

/// Weights in the checkpoint's element type; norms and head in fp32. The residual stream is fp32 as well: it is small,
/// and what 16 bits would round off it adds up over the layers.
pub(super) struct Weights {
    /// The kind of matrices, and of what they are multiplied with.
    pub kind: Kind,
    pub embedding: Tensor,
    pub layers: Vec<Layer>,
    pub norm: Tensor,
    /// fp32, `[vocab_size, width]`: a logit that was rounded to 8 bits is off by as much as a likely step's probability.
    /// A tied embedding is this tensor.
    pub head: Tensor,
    /// Cosines and sines of each rotary embedding, `[positions, 1, width]`; the sine of the first half is negative.
    pub ropes: Vec<[Tensor; 2]>,
}

/// A matrix `[out, in]` and its bias `[out]`.
pub(super) struct Linear {
    weight: Tensor,
    bias: Option<Tensor>,
}

pub(super) struct Layer {
    pub attention_norm: Option<Tensor>,
    /// What normalised queries and keys are multiplied by, `[query and key heads, head_dim]`.
    pub head_norms: Option<Tensor>,
    /// What a query and a key that are normalised over all heads are multiplied by.
    pub whole_norms: Option<[Tensor; 2]>,
    pub qkv: Linear,
    pub output: Linear,
    pub after_attention_norm: Option<Tensor>,
    pub feed_forward_norm: Option<Tensor>,
    pub feed_forward: FeedForward,
    pub after_feed_forward_norm: Option<Tensor>,
}

impl Linear {
    /// `[rows, in] -> [rows, out]`.
    pub fn apply(&self, input: &Tensor) -> Result<Tensor> {
        Ok(input.f_linear(&self.weight, self.bias.as_ref())?)
    }

    pub fn cost(&self) -> usize {
        self.weight.numel()
    }
}

impl Layer {
    /// Multiply-adds of the matrices for one row.
    pub fn cost(&self) -> usize {
        self.qkv.cost() + self.output.cost() + self.feed_forward.cost()
    }
}

impl Weights {
    pub fn new(checkpoint: &Checkpoint, device: Device) -> Result<Self> {
        let config = &checkpoint.config;
        let kind = kind(config.dtype()?);
        let architecture = config.architecture()?;
        let norms = architecture.norms;
        let offset = f64::from(architecture.norm_offset);
        let find = |name: &str, kind: Kind| -> Result<Option<Tensor>> {
            let Some(parameter) = checkpoint.parameters.get(name) else { return Ok(None) };
            // Rounded here rather than there: the device has room for one of them.
            Ok(Some(to_tensor(parameter).f_to_kind(kind)?.f_to_device(device)?))
        };
        let get = |name: &str, kind: Kind| -> Result<Tensor> {
            Ok(find(name, kind)?.expect("every tensor of the configuration was checked"))
        };
        let layer = |layer: usize| -> Result<Layer> {
            let name = |part: &str, what: &str| format!("model.layers.{layer}.{part}.{what}");
            // Matrices of one input are one product.
            let linear = |parts: &[&str]| -> Result<Linear> {
                let (mut weights, mut biases) = (Vec::new(), Vec::new());
                for part in parts {
                    weights.push(get(&name(part, "weight"), kind)?);
                    biases.extend(find(&name(part, "bias"), kind)?);
                }
                let bias = match biases.len() {
                    0 => None,
                    _ => Some(Tensor::f_cat(&biases, 0)?),
                };
                Ok(Linear { weight: Tensor::f_cat(&weights, 0)?, bias })
            };
            let norm = |part: &str| -> Result<Tensor> {
                Ok(get(&name(part, "weight"), Kind::Float)?.f_add_scalar(offset)?)
            };
            let whole_norms = match architecture.query_key_norms {
                Some(NormWidth::Heads) => {
                    Some([norm("self_attn.q_norm")?, norm("self_attn.k_norm")?])
                }
                _ => None,
            };
            let head_norms = match architecture.query_key_norms {
                None | Some(NormWidth::Heads) => None,
                Some(NormWidth::Head) => {
                    let repeated = |norm: &Tensor, heads: usize| {
                        norm.f_unsqueeze(0)?.f_expand([heads as i64, -1], false)
                    };
                    let query = norm("self_attn.q_norm")?;
                    let query = repeated(&query, config.num_attention_heads)?;
                    let key = repeated(&norm("self_attn.k_norm")?, config.key_value_heads())?;
                    Some(Tensor::f_cat(&[query, key], 0)?)
                }
            };
            Ok(Layer {
                attention_norm: norms.attention.map(norm).transpose()?,
                head_norms,
                whole_norms,
                qkv: linear(&["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"])?,
                output: linear(&["self_attn.o_proj"])?,
                after_attention_norm: norms.after_attention.map(norm).transpose()?,
                feed_forward_norm: norms.feed_forward.map(norm).transpose()?,
                feed_forward: FeedForward::new(architecture.experts_of(layer), linear, |part| {
                    get(&name(part, "weight"), Kind::Float)
                })?,
                after_feed_forward_norm: norms.after_feed_forward.map(norm).transpose()?,
            })
        };
        let embedding = "model.embed_tokens.weight";
        let (embedding, head) = if config.tied() {
            let head = get(embedding, Kind::Float)?;
            (head.shallow_clone(), head)
        } else {
            (get(embedding, kind)?, get("lm_head.weight", Kind::Float)?)
        };
        let tables = |rope: &Rope| -> Result<[Tensor; 2]> {
            let (cosines, sines) = rope.tables(architecture.max_length);
            let table = |values: &[f32], first: f64| -> Result<Tensor> {
                let halves = Tensor::f_from_slice(values)?.f_view([-1, 1, rope.pairs() as i64])?;
                let halves = [halves.f_mul_scalar(first)?, halves];
                Ok(Tensor::f_cat(&halves, 2)?.f_to_device(device)?)
            };
            Ok([table(&cosines, 1.0)?, table(&sines, -1.0)?])
        };
        Ok(Self {
            kind,
            embedding,
            layers: (0..config.num_hidden_layers).map(layer).collect::<Result<_>>()?,
            norm: get("model.norm.weight", Kind::Float)?.f_add_scalar(offset)?,
            head,
            ropes: architecture.ropes.iter().map(tables).collect::<Result<_>>()?,
        })
    }
}
