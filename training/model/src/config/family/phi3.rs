//! Phi-3 and Phi-4 (Abdin et al., arXiv 2404.14219 and 2412.08905): matrices of one input are one in the files, and Phi-4-mini
//! rotates a part of each head.

use super::{Description, Fused, PLAIN};
use crate::config::ModelConfig;
use crate::config::architecture::{Activation, Architecture};
use crate::error::Result;
use crate::rotary::Rope;

pub(super) const FAMILY: Description = Description {
    model_type: "phi3",
    class: "Phi3ForCausalLM",
    rms_norm_eps: 1e-5,
    fused: &[
        Fused {
            name: "self_attn.qkv_proj",
            parts: &["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"],
        },
        Fused { name: "mlp.gate_up_proj", parts: &["mlp.gate_proj", "mlp.up_proj"] },
    ],
    architecture,
    ..PLAIN
};

fn architecture(config: &ModelConfig) -> Result<Architecture> {
    config.check_activation("hidden_act", Activation::Silu)?;
    // The library has no code for them in this family; files say that there are none.
    for field in ["attention_bias", "mlp_bias"] {
        if config.flag(field) {
            config.refuse(field)?;
        }
    }
    let windows = config.windows(config.optional_whole("sliding_window")?, |_| true)?;
    Ok(Architecture { windows, ..Architecture::turned_by(config, vec![Rope::partial(config)?]) })
}
