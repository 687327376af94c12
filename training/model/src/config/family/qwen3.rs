//! Qwen3 (arXiv 2505.09388): RMSNorm on each head's query and key.

use super::{Description, Gguf, PLAIN, PLAIN_GGUF};
use crate::config::ModelConfig;
use crate::config::architecture::{Activation, Architecture, Biases, NormWidth};
use crate::error::Result;

pub(super) const FAMILY: Description = Description {
    model_type: "qwen3",
    class: "Qwen3ForCausalLM",
    head_dim: Some(128),
    architecture,
    gguf: Some(&Gguf { architecture: "qwen3", ..PLAIN_GGUF }),
    ..PLAIN
};

fn architecture(config: &ModelConfig) -> Result<Architecture> {
    config.check_activation("hidden_act", Activation::Silu)?;
    Ok(Architecture {
        biases: Biases::attention(config.flag("attention_bias")),
        windows: config.late_windows()?,
        query_key_norms: Some(NormWidth::Head),
        ..Architecture::llama(config)?
    })
}
