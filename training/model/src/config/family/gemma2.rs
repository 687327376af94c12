//! Gemma 2 (arXiv 2408.00118): norms before and after each part with weights around 0, GeGLU, scaled embeddings, soft caps,
//! and a window in every other layer.

use serde_json::{Map, Value};

use super::{Description, Gguf, PLAIN, PLAIN_GGUF, fail};
use crate::config::architecture::{Activation, Architecture, Biases, BlockNorms};
use crate::config::{ModelConfig, NetConfig};
use crate::error::Result;

pub(super) const FAMILY: Description = Description {
    model_type: "gemma2",
    class: "Gemma2ForCausalLM",
    head_dim: Some(256),
    tied: true,
    architecture,
    fresh,
    gguf: Some(&Gguf {
        architecture: "gemma2",
        hidden_act: "gelu_pytorch_tanh",
        parts: NORMS,
        numbers: &[
            ("attn_logit_softcapping", "attn_logit_softcapping"),
            ("final_logit_softcapping", "final_logit_softcapping"),
            ("attention.sliding_window", "sliding_window"),
        ],
        complete: |fields| complete(fields, LARGEST),
        ..PLAIN_GGUF
    }),
    ..PLAIN
};

/// llama.cpp's names of the norms, and Hugging Face's.
pub(super) const NORMS: &[(&str, &str)] = &[
    ("post_attention_norm", "post_attention_layernorm"),
    ("ffn_norm", "pre_feedforward_layernorm"),
    ("post_ffw_norm", "post_feedforward_layernorm"),
];
/// Scores are divided by the root of this where a file is silent.
const SCORE_WIDTH: f64 = 256.0;
/// Where a file is silent; `null` is no window.
const WINDOW: usize = 4096;
const ATTENTION_CAP: f64 = 50.0;
const FINAL_CAP: f64 = 30.0;
/// Blocks of the 27B model, which alone divides scores by another root than that of a head's width.
const LARGEST: u64 = 46;

fn architecture(config: &ModelConfig) -> Result<Architecture> {
    let score_width = score_width(config)?;
    let cap = |field: &'static str, default: f64| -> Result<Option<f32>> {
        Ok(config.number(field, default)?.map(|cap| cap as f32))
    };
    let window = config.whole("sliding_window", WINDOW)?;
    Ok(Architecture {
        biases: Biases::attention(config.flag("attention_bias")),
        norms: BlockNorms::AROUND,
        norm_offset: 1.0,
        activation: Activation::GeluTanh,
        embedding_scale: Some((config.hidden_size as f64).sqrt() as f32),
        score_width,
        attention_cap: cap("attn_logit_softcapping", ATTENTION_CAP)?,
        final_cap: cap("final_logit_softcapping", FINAL_CAP)?,
        windows: config.windows(window, |layer| layer % 2 == 0)?,
        ..Architecture::llama(config)?
    })
}

/// What scores are divided by the root of, in a configuration that asks for nothing else than Gemma's attention and gate.
pub(super) fn score_width(config: &ModelConfig) -> Result<f64> {
    config.check_activation("hidden_activation", Activation::GeluTanh)?;
    if config.flag("use_bidirectional_attention") {
        config.refuse("use_bidirectional_attention")?;
    }
    match config.number("query_pre_attn_scalar", SCORE_WIDTH)? {
        Some(width) => Ok(width),
        None => fail("query_pre_attn_scalar", "must be a positive number, is null".to_owned()),
    }
}

pub(super) fn fresh(_: &NetConfig, fields: &mut Map<String, Value>) {
    fields.insert("hidden_activation".to_owned(), "gelu_pytorch_tanh".into());
}

/// llama.cpp's files leave out what its code knows by the model's size. The largest model has `largest` blocks.
pub(super) fn complete(fields: &mut Map<String, Value>, largest: u64) {
    let size = |field: &str| fields.get(field).and_then(Value::as_u64).unwrap_or(0);
    let width = match size("num_hidden_layers") {
        layers if layers == largest => {
            size("hidden_size").checked_div(size("num_attention_heads")).unwrap_or(0)
        }
        _ => size("head_dim"),
    };
    fields.insert("query_pre_attn_scalar".to_owned(), width.into());
    fields.insert("hidden_activation".to_owned(), "gelu_pytorch_tanh".into());
}
