//! A net's weights on a device.

use espalier_model::checkpoint::Checkpoint;
use espalier_model::rotary;
use espalier_torch::error::Result;
use espalier_torch::tensor::{kind, to_tensor};
use tch::{Device, Kind, Tensor};

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
    /// `[positions, 1, head_dim]`; the sine of the first half is negative.
    pub cosines: Tensor,
    pub sines: Tensor,
}

/// A matrix `[out, in]` and its bias `[out]`.
pub(super) struct Linear {
    weight: Tensor,
    bias: Option<Tensor>,
}

pub(super) struct Layer {
    pub attention_norm: Tensor,
    /// What normalised queries and keys are multiplied by, `[query and key heads, head_dim]`.
    pub head_norms: Option<Tensor>,
    pub qkv: Linear,
    pub output: Linear,
    pub after_attention_norm: Option<Tensor>,
    pub feed_forward_norm: Tensor,
    pub gate_up: Linear,
    pub down: Linear,
    pub after_feed_forward_norm: Option<Tensor>,
}

impl Linear {
    /// `[rows, in] -> [rows, out]`.
    pub fn apply(&self, input: &Tensor) -> Result<Tensor> {
        Ok(input.f_linear(&self.weight, self.bias.as_ref())?)
    }

    fn cost(&self) -> usize {
        self.weight.numel()
    }
}

impl Layer {
    /// Multiply-adds of the matrices for one row.
    pub fn cost(&self) -> usize {
        [&self.qkv, &self.output, &self.gate_up, &self.down].map(Linear::cost).iter().sum()
    }
}

impl Weights {
    pub fn new(checkpoint: &Checkpoint, device: Device) -> Result<Self> {
        let config = &checkpoint.config;
        let kind = kind(config.dtype()?);
        let architecture = config.architecture()?;
        let norms = architecture.block_norms();
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
            let head_norms = match architecture.query_key_norms {
                false => None,
                true => {
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
                attention_norm: norm(norms.attention)?,
                head_norms,
                qkv: linear(&["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"])?,
                output: linear(&["self_attn.o_proj"])?,
                after_attention_norm: norms.after_attention.map(norm).transpose()?,
                feed_forward_norm: norm(norms.feed_forward)?,
                gate_up: linear(&["mlp.gate_proj", "mlp.up_proj"])?,
                down: linear(&["mlp.down_proj"])?,
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
        let (cosines, sines) = rotary::tables(config, config.max_position_embeddings);
        let half = (config.head_dim() / 2) as i64;
        let table = |values: &[f32], first: f64| -> Result<Tensor> {
            let halves = Tensor::f_from_slice(values)?.f_view([-1, 1, half])?;
            let halves = [halves.f_mul_scalar(first)?, halves];
            Ok(Tensor::f_cat(&halves, 2)?.f_to_device(device)?)
        };
        Ok(Self {
            kind,
            embedding,
            layers: (0..config.num_hidden_layers).map(layer).collect::<Result<_>>()?,
            norm: get("model.norm.weight", Kind::Float)?.f_add_scalar(offset)?,
            head,
            cosines: table(&cosines, 1.0)?,
            sines: table(&sines, -1.0)?,
        })
    }
}
