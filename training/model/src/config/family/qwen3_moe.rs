//! Qwen3's mixtures of experts (arXiv 2505.09388).

use super::{Description, EXPERT_NUMBERS, EXPERT_PARTS, Gguf, PLAIN, PLAIN_GGUF};
use crate::config::ModelConfig;
use crate::config::architecture::{Activation, Architecture, Biases, NormWidth};
use crate::error::Result;

pub(super) const FAMILY: Description = Description {
    model_type: "qwen3_moe",
    class: "Qwen3MoeForCausalLM",
    architecture,
    fresh: super::fresh_experts,
    gguf: Some(&Gguf {
        architecture: "qwen3moe",
        parts: EXPERT_PARTS,
        numbers: EXPERT_NUMBERS,
        // llama.cpp knows it by the architecture.
        complete: |fields| drop(fields.insert("norm_topk_prob".to_owned(), true.into())),
        ..PLAIN_GGUF
    }),
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
