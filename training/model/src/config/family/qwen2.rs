//! Qwen2 and Qwen2.5 (arXiv 2407.10671): biases on query, key and value.

use super::{Description, Gguf, PLAIN, PLAIN_GGUF};
use crate::config::ModelConfig;
use crate::config::architecture::{Activation, Architecture, Biases};
use crate::error::Result;

pub(super) const FAMILY: Description = Description {
    model_type: "qwen2",
    class: "Qwen2ForCausalLM",
    architecture,
    gguf: Some(&Gguf { architecture: "qwen2", ..PLAIN_GGUF }),
    ..PLAIN
};

fn architecture(config: &ModelConfig) -> Result<Architecture> {
    config.check_activation("hidden_act", Activation::Silu)?;
    let windows = config.late_windows()?;
    let biases = Biases { query_key_value: true, ..Biases::default() };
    Ok(Architecture { biases, windows, ..Architecture::llama(config)? })
}
