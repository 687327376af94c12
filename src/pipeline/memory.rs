//! The memory that a net takes where it is searched and trained, from its shape.

use anyhow::Result;
use espalier_training::{Device, Dtype, ModelConfig, Parameters, WeightFormat};
use serde::Serialize;

use crate::recipe::Recipe;

/// An estimate, in bytes; activations come on top.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// Where the net is searched.
    pub device: Device,
    /// Weights as they are read from files, in float32, on the host.
    pub read_weights: usize,
    /// Weights of a net that is searched; those of `policy.weights = "stored"` as if nothing of the checkpoint were quantised.
    pub weights: usize,
    /// Weights in a checkpoint's files.
    pub saved_weights: usize,
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
        let policy = recipe.policy.local();
        let cached = policy.kv_cache_dtype;
        let cached = cached.unwrap_or(if device == Device::Cpu { Dtype::Float32 } else { dtype });
        let of_token = 2
            * config.num_hidden_layers
            * config.key_value_heads()
            * config.head_dim()
            * cached.size();
        let saved_weights = Parameters::count_of(config) * dtype.size();
        let quantised_weights = policy.weights.and_then(|format| quantised(config, format));
        let kv_cache = recipe.compute.kv_cache_megabytes << 20;
        let parameters = Parameters::count_of(config);
        let lora = recipe.training.lora.as_ref();
        let trained = lora.map_or(parameters, |lora| Parameters::adapter_count_of(config, lora));
        let added = if lora.is_some() { trained } else { 0 };
        Ok(Self {
            device,
            read_weights: 4 * parameters,
            weights: quantised_weights.unwrap_or(saved_weights),
            saved_weights,
            kv_cache,
            kv_cache_tokens: kv_cache / of_token.max(1),
            trained_parameters: trained,
            training_weights: 4 * (parameters + added),
            gradients: 4 * trained,
            optimizer: 8 * trained,
        })
    }
}

/// Bytes of weights whose matrices are held in blocks; none where that depends on the numbers.
fn quantised(config: &ModelConfig, format: WeightFormat) -> Option<usize> {
    let bytes = |(name, shape): (String, Vec<usize>)| match shape.as_slice() {
        &[rows, columns] if name.starts_with("model.layers.") => {
            Some(rows * format.bytes(columns)?)
        }
        &[rows, columns] => Some(rows * format.of_tables().bytes(columns)?),
        shape => Some(4 * shape.iter().product::<usize>()),
    };
    Parameters::shapes_of(config).map(bytes).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe;

    #[test]
    fn quantised_weights_are_counted_where_a_net_is_searched_and_nowhere_else() {
        let of = |overrides: &[&str]| {
            let overrides: Vec<String> = overrides.iter().map(|&text| text.to_owned()).collect();
            let recipe = recipe::load(None, &overrides).unwrap();
            let tokenizer = espalier_training::Tokenizer::fresh(recipe.net.tokens).unwrap();
            Memory::of(&recipe.net.model_config(&tokenizer).unwrap(), &recipe).unwrap()
        };
        let wide = ["net.width=256", "net.intermediate=1024"];
        let exact = of(&wide);
        for (format, least, most) in [("q8_0", 0.265, 0.30), ("q4_0", 0.14, 0.18)] {
            let found = of(&[&wide[..], &[&format!("policy.weights={format}")]].concat());
            let share = found.weights as f64 / exact.weights as f64;
            assert!(share > least && share < most, "{format}: {share}");
            assert_eq!(Memory { weights: exact.weights, ..found }, exact);
        }
    }

    #[test]
    fn quantised_weights_on_a_gpu_are_refused_by_name() {
        let overrides = ["policy.weights=q8_0", "compute.device=cuda"].map(str::to_owned);
        let error = format!("{:#}", recipe::load(None, &overrides).unwrap_err());
        assert!(error.contains("policy.weights") && error.contains("cuda"), "{error}");
    }
}
