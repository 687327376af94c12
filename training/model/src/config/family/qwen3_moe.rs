//! Qwen3's mixtures of experts (arXiv 2505.09388).

use super::{Description, PLAIN};
use crate::config::ModelConfig;
use crate::config::architecture::{Activation, Architecture, Biases, NormWidth};
use crate::error::Result;

pub(super) const FAMILY: Description = Description {
    model_type: "qwen3_moe",
    class: "Qwen3MoeForCausalLM",
    architecture,
    fresh: super::fresh_experts,
    ..PLAIN
};

fn architecture(config: &ModelConfig) -> Result<Architecture> {
    config.check_activation("hidden_act", Activation::Silu)?;
    let window = match config.flag("use_sliding_window") {
        true => config.whole("sliding_window", 4096)?,
        false => None,
    };
    Ok(Architecture {
        biases: Biases::attention(config.flag("attention_bias")),
        windows: config.windows(window, |_| true)?,
        query_key_norms: Some(NormWidth::Head),
        experts: Some(config.experts()?),
        ..Architecture::llama(config)?
    })
}
