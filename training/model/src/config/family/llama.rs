//! Llama (Touvron et al., arXiv 2302.13971) and what shares its form, as SmolLM2.

use super::{Description, Gguf, PLAIN, PLAIN_GGUF};
use crate::config::ModelConfig;
use crate::config::architecture::{Activation, Architecture, Biases};
use crate::error::Result;

pub(super) const FAMILY: Description = Description {
    model_type: "llama",
    class: "LlamaForCausalLM",
    architecture,
    gguf: Some(&Gguf { architecture: "llama", permuted: true, ..PLAIN_GGUF }),
    ..PLAIN
};

fn architecture(config: &ModelConfig) -> Result<Architecture> {
    config.check_activation("hidden_act", Activation::Silu)?;
    config.check_whole_context()?;
    let biases = Biases {
        feed_forward: config.flag("mlp_bias"),
        ..Biases::attention(config.flag("attention_bias"))
    };
    Ok(Architecture { biases, ..Architecture::llama(config)? })
}
