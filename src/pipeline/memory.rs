//! The memory that a net takes where it is searched and trained, from its shape.

use anyhow::Result;
use espalier_training::{Device, Dtype, ModelConfig, Parameters};
use serde::Serialize;

use crate::recipe::Recipe;

/// An estimate, in bytes; activations come on top.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// Where the net is searched.
    pub device: Device,
    /// Weights as they are read from files, in float32, on the host.
    pub read_weights: usize,
    /// Weights of a net that is searched.
    pub weights: usize,
    /// Keys and values, at most.
    pub kv_cache: usize,
    /// Tokens whose keys and values these are.
    pub kv_cache_tokens: usize,
    /// Numbers that training changes.
    pub trained_parameters: usize,
    /// Weights of a net that is trained, in float32.
    pub training_weights: usize,
    /// Their gradients.
    pub gradients: usize,
    /// AdamW's two moments.
    pub optimizer: usize,
}

impl Memory {
    /// Of a recipe's net.
    pub(super) fn of(config: &ModelConfig, recipe: &Recipe) -> Result<Self> {
        let device = recipe.compute.device;
        let dtype = config.dtype()?;
        let cached = recipe.policy.local().kv_cache_dtype;
        let cached = cached.unwrap_or(if device == Device::Cpu { Dtype::Float32 } else { dtype });
        let of_token = 2
            * config.num_hidden_layers
            * config.key_value_heads()
            * config.head_dim()
            * cached.size();
        let kv_cache = recipe.compute.kv_cache_megabytes << 20;
        let parameters = Parameters::count_of(config);
        let lora = recipe.training.lora.as_ref();
        let trained = lora.map_or(parameters, |lora| Parameters::adapter_count_of(config, lora));
        let added = if lora.is_some() { trained } else { 0 };
        Ok(Self {
            device,
            read_weights: 4 * parameters,
            weights: parameters * dtype.size(),
            kv_cache,
            kv_cache_tokens: kv_cache / of_token.max(1),
            trained_parameters: trained,
            training_weights: 4 * (parameters + added),
            gradients: 4 * trained,
            optimizer: 8 * trained,
        })
    }
}
