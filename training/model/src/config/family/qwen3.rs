//! Qwen3 (arXiv 2505.09388): RMSNorm on each head's query and key.

use super::{Description, Gguf, silu};
use crate::config::ModelConfig;
use crate::config::architecture::{Activation, Architecture, Biases};
use crate::error::Result;

pub(super) const FAMILY: Description = Description {
    model_type: "qwen3",
    class: "Qwen3ForCausalLM",
    head_dim: Some(128),
    tied: false,
    architecture,
    fresh: silu,
    gguf: Some(&Gguf {
        architecture: "qwen3",
        hidden_act: "silu",
        permuted: false,
        parts: &[],
        numbers: &[],
        complete: |_| {},
    }),
};

fn architecture(config: &ModelConfig) -> Result<Architecture> {
    config.check_activation("hidden_act", Activation::Silu)?;
    let windows = config.late_windows()?;
    let attention = config.flag("attention_bias");
    let biases =
        Biases { query_key_value: attention, attention_output: attention, feed_forward: false };
    Ok(Architecture { biases, windows, query_key_norms: true, ..Architecture::llama(config) })
}
