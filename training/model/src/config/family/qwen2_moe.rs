//! Qwen1.5's and Qwen2's mixtures of experts (arXiv 2407.10671): biases on query, key and value, and one expert that reads
//! every token.

use serde_json::{Map, Value};

use super::{
    Description, EXPERT_NUMBERS, EXPERT_PARTS, Gguf, PLAIN, PLAIN_GGUF, fail, fresh_experts,
};
use crate::config::architecture::{Activation, Architecture, Biases, Experts};
use crate::config::{ModelConfig, NetConfig};
use crate::error::Result;

pub(super) const FAMILY: Description = Description {
    model_type: "qwen2_moe",
    class: "Qwen2MoeForCausalLM",
    architecture,
    fresh,
    gguf: Some(&Gguf {
        architecture: "qwen2moe",
        parts: EXPERT_PARTS,
        numbers: EXPERT_NUMBERS,
        ..PLAIN_GGUF
    }),
    ..PLAIN
};

/// Windows are in every other of so many first layers, where a file is silent.
const MAX_WINDOW_LAYERS: usize = 28;

fn architecture(config: &ModelConfig) -> Result<Architecture> {
    config.check_activation("hidden_act", Activation::Silu)?;
    let last = config.whole("max_window_layers", MAX_WINDOW_LAYERS)?.unwrap_or(MAX_WINDOW_LAYERS);
    let window = match config.flag("use_sliding_window") {
        true => config.whole("sliding_window", 4096)?,
        false => None,
    };
    let Some(shared) = config.optional_whole("shared_expert_intermediate_size")? else {
        return fail("shared_expert_intermediate_size", "is missing".to_owned());
    };
    Ok(Architecture {
        biases: Biases {
            query_key_value: config.set("qkv_bias") != Some(&Value::Bool(false)),
            ..Biases::default()
        },
        windows: config.windows(window, |layer| layer % 2 == 0 && layer < last)?,
        experts: Some(Experts { shared: Some(shared), ..config.experts()? }),
        ..Architecture::llama(config)?
    })
}

fn fresh(net: &NetConfig, fields: &mut Map<String, Value>) {
    fresh_experts(net, fields);
    fields.insert("shared_expert_intermediate_size".to_owned(), net.intermediate.into());
}
