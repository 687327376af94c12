//! Granite 3 (IBM): Llama's blocks, with factors on embeddings, scores, residual branches and logits.

use super::{Description, Gguf, PLAIN, PLAIN_GGUF, fail};
use crate::config::ModelConfig;
use crate::config::architecture::{Activation, Architecture, Biases};
use crate::error::Result;

pub(super) const FAMILY: Description = Description {
    model_type: "granite",
    class: "GraniteForCausalLM",
    architecture,
    gguf: Some(&Gguf {
        architecture: "granite",
        permuted: true,
        numbers: &[
            ("embedding_scale", "embedding_multiplier"),
            ("attention.scale", "attention_multiplier"),
            ("residual_scale", "residual_multiplier"),
            ("logit_scale", "logits_scaling"),
        ],
        ..PLAIN_GGUF
    }),
    ..PLAIN
};

fn architecture(config: &ModelConfig) -> Result<Architecture> {
    config.check_activation("hidden_act", Activation::Silu)?;
    config.check_whole_context()?;
    let factor = |field: &'static str| match config.number(field, 1.0)? {
        Some(factor) => Ok(factor),
        None => fail(field, "must be a positive number, is null".to_owned()),
    };
    let scale = |factor: f64| Some(factor as f32).filter(|factor| *factor != 1.0);
    Ok(Architecture {
        biases: Biases {
            feed_forward: config.flag("mlp_bias"),
            ..Biases::attention(config.flag("attention_bias"))
        },
        embedding_scale: scale(factor("embedding_multiplier")?),
        residual_scale: scale(factor("residual_multiplier")?),
        score_width: factor("attention_multiplier")?.powi(-2),
        logit_scale: scale(1.0 / factor("logits_scaling")?),
        ..Architecture::llama(config)?
    })
}
