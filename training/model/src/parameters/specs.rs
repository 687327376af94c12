//! Which tensors a configuration calls for, and how a fresh net fills them.

use super::{VALUE_BIAS, VALUE_WEIGHT};
use crate::config::ModelConfig;
use crate::config::architecture::NormWidth;

/// How a fresh tensor is filled.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Fill {
    Constant(f32),
    Normal(f32),
}

/// A tensor that a configuration calls for.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Spec {
    pub name: String,
    pub shape: Vec<usize>,
    pub fill: Fill,
}

/// All tensors of a configuration that was checked, in the order in which fresh ones are drawn.
pub(super) fn specs(config: &ModelConfig) -> Vec<Spec> {
    let architecture = config.architecture().expect("the configuration was checked");
    let (head_dim, biases) = (architecture.head_dim, architecture.biases);
    let width = config.hidden_size;
    let query = config.num_attention_heads * head_dim;
    let key_value = config.key_value_heads() * head_dim;
    let inner = config.intermediate_size;
    let layers = config.num_hidden_layers;
    // Keeps the scale of what a matrix reads; the usual 0.02 of large nets would make a narrow one nearly silent.
    let std = (width as f32).sqrt().recip();
    let normal = Fill::Normal(std);
    // GPT-2: 2 L projections add into the residual stream; scaling them keeps its variance near that of one.
    let residual = Fill::Normal(std / (2.0 * layers as f32).sqrt());
    let one = Fill::Constant(1.0 - architecture.norm_offset);
    let zero = Fill::Constant(0.0);

    let mut specs = Vec::new();
    let mut add = |name: String, shape: &[usize], fill| {
        specs.push(Spec { name, shape: shape.to_vec(), fill });
    };
    add("model.embed_tokens.weight".to_owned(), &[config.vocab_size, width], normal);
    for layer in 0..layers {
        let name = |part: &str| format!("model.layers.{layer}.{part}.weight");
        let mut linear = |part: &str, out: usize, input: usize, fill, bias: bool| {
            add(name(part), &[out, input], fill);
            if bias {
                add(format!("model.layers.{layer}.{part}.bias"), &[out], zero);
            }
        };
        let bias = biases.query_key_value;
        linear("self_attn.q_proj", query, width, normal, bias);
        linear("self_attn.k_proj", key_value, width, normal, bias);
        linear("self_attn.v_proj", key_value, width, normal, bias);
        linear("self_attn.o_proj", width, query, residual, biases.attention_output);
        let mut feed_forward = |module: &str, inner: usize, bias: bool| {
            linear(&format!("{module}.gate_proj"), inner, width, normal, bias);
            linear(&format!("{module}.up_proj"), inner, width, normal, bias);
            linear(&format!("{module}.down_proj"), width, inner, residual, bias);
        };
        match architecture.experts_of(layer) {
            None => feed_forward("mlp", inner, biases.feed_forward),
            Some(experts) => {
                for expert in 0..experts.count {
                    feed_forward(&format!("mlp.experts.{expert}"), experts.inner, false);
                }
                if let Some(inner) = experts.shared {
                    feed_forward("mlp.shared_expert", inner, false);
                    linear("mlp.shared_expert_gate", 1, width, normal, false);
                }
                linear("mlp.gate", experts.count, width, normal, false);
            }
        }
        if let Some(over) = architecture.query_key_norms {
            let [query, key] = match over {
                NormWidth::Head => [head_dim; 2],
                NormWidth::Heads => [query, key_value],
            };
            add(name("self_attn.q_norm"), &[query], one);
            add(name("self_attn.k_norm"), &[key], one);
        }
        for norm in architecture.norms.iter() {
            add(name(norm), &[width], one);
        }
    }
    add("model.norm.weight".to_owned(), &[width], one);
    if !config.tied() {
        add("lm_head.weight".to_owned(), &[config.vocab_size, width], normal);
    }
    // A fresh value head says 0, no opinion, of every state (AlphaMath's first round has no trained value, arXiv 2405.03553).
    add(VALUE_WEIGHT.to_owned(), &[1, width], zero);
    add(VALUE_BIAS.to_owned(), &[1], zero);
    specs
}
