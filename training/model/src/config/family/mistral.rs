//! Mistral (Jiang et al., arXiv 2310.06825): each token sees a window of positions, in all layers or, from v0.2 on, in none.
//! llama.cpp's files hold it as Llama, without the window.

use super::{Description, PLAIN};
use crate::config::ModelConfig;
use crate::config::architecture::{Activation, Architecture};
use crate::error::Result;

pub(super) const FAMILY: Description =
    Description { model_type: "mistral", class: "MistralForCausalLM", architecture, ..PLAIN };

/// Where a file is silent; `null` is no window.
const WINDOW: usize = 4096;

fn architecture(config: &ModelConfig) -> Result<Architecture> {
    config.check_activation("hidden_act", Activation::Silu)?;
    let windows = config.windows(config.whole("sliding_window", WINDOW)?, |_| true)?;
    Ok(Architecture { windows, ..Architecture::llama(config)? })
}
