//! OLMo 2 (arXiv 2501.00656): norms after each part alone, and on the whole query and key.

use super::{Description, Gguf, PLAIN, PLAIN_GGUF};
use crate::config::ModelConfig;
use crate::config::architecture::{Activation, Architecture, Biases, BlockNorms, NormWidth};
use crate::error::Result;

pub(super) const FAMILY: Description = Description {
    model_type: "olmo2",
    class: "Olmo2ForCausalLM",
    rms_norm_eps: 1e-5,
    architecture,
    gguf: Some(&Gguf {
        architecture: "olmo2",
        parts: &[
            ("post_attention_norm", "post_attention_layernorm"),
            ("post_ffw_norm", "post_feedforward_layernorm"),
        ],
        ..PLAIN_GGUF
    }),
    ..PLAIN
};

fn architecture(config: &ModelConfig) -> Result<Architecture> {
    config.check_activation("hidden_act", Activation::Silu)?;
    config.check_whole_context()?;
    Ok(Architecture {
        biases: Biases::attention(config.flag("attention_bias")),
        query_key_norms: Some(NormWidth::Heads),
        norms: BlockNorms::AFTER,
        ..Architecture::llama(config)?
    })
}
