//! Llama (Touvron et al., arXiv 2302.13971) and what shares its form, as SmolLM2.

use super::{Description, Gguf, silu};
use crate::config::ModelConfig;
use crate::config::architecture::{Activation, Architecture, Biases};
use crate::error::Result;

pub(super) const FAMILY: Description = Description {
    model_type: "llama",
    class: "LlamaForCausalLM",
    head_dim: None,
    tied: false,
    architecture,
    fresh: silu,
    gguf: Some(&Gguf {
        architecture: "llama",
        hidden_act: "silu",
        permuted: true,
        parts: &[],
        numbers: &[],
        complete: |_| {},
    }),
};

fn architecture(config: &ModelConfig) -> Result<Architecture> {
    config.check_activation("hidden_act", Activation::Silu)?;
    // Files of Qwen's makers name a window that is off unless `use_sliding_window` says otherwise.
    if !config.other.contains_key("use_sliding_window") {
        config.refuse("sliding_window")?;
    }
    config.check_whole_context()?;
    let attention = config.flag("attention_bias");
    let biases = Biases {
        query_key_value: attention,
        attention_output: attention,
        feed_forward: config.flag("mlp_bias"),
    };
    Ok(Architecture { biases, ..Architecture::llama(config) })
}
