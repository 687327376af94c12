//! SmolLM3: layers without a rotary embedding, by default every fourth (Yang et al., arXiv 2501.18795).

use serde_json::Value;

use super::{Description, Gguf, PLAIN, PLAIN_GGUF, fail};
use crate::config::ModelConfig;
use crate::config::architecture::{Activation, Architecture, Biases};
use crate::error::Result;

pub(super) const FAMILY: Description = Description {
    model_type: "smollm3",
    class: "SmolLM3ForCausalLM",
    tied: true,
    rope_theta: 2_000_000.0,
    architecture,
    gguf: Some(&Gguf { architecture: "smollm3", permuted: true, ..PLAIN_GGUF }),
    ..PLAIN
};

/// One of so many layers is not rotated, where a file is silent.
const INTERVAL: usize = 4;

fn architecture(config: &ModelConfig) -> Result<Architecture> {
    config.check_activation("hidden_act", Activation::Silu)?;
    let rotated = rotated(config)?;
    let window = match config.flag("use_sliding_window") {
        true => config.optional_whole("sliding_window")?,
        false => None,
    };
    Ok(Architecture {
        biases: Biases {
            feed_forward: config.flag("mlp_bias"),
            ..Biases::attention(config.flag("attention_bias"))
        },
        windows: config.windows(window, |layer| !rotated[layer])?,
        rope_of_layer: rotated.iter().map(|rotated| rotated.then_some(0)).collect(),
        ..Architecture::llama(config)?
    })
}

/// Which layers are rotated: `no_rope_layers` has a 1 for each that is.
fn rotated(config: &ModelConfig) -> Result<Vec<bool>> {
    let layers = config.num_hidden_layers;
    let Some(value) = config.set("no_rope_layers") else {
        let interval = config.whole("no_rope_layer_interval", INTERVAL)?.unwrap_or(INTERVAL);
        return Ok((0..layers).map(|layer| !(layer + 1).is_multiple_of(interval)).collect());
    };
    let bit = |value: &Value| match value.as_u64() {
        Some(0) => Some(false),
        Some(1) => Some(true),
        _ => value.as_bool(),
    };
    let bits = value.as_array().and_then(|all| all.iter().map(bit).collect::<Option<Vec<_>>>());
    match bits.filter(|bits| bits.len() == layers) {
        Some(bits) => Ok(bits),
        None => fail("no_rope_layers", format!("must be {layers} of 0 and 1, is {value}")),
    }
}
