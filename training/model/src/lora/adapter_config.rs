//! PEFT's `adapter_config.json`.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::config::LoraConfig;
use crate::error::{Error, Result};

/// What is used of it; the rest is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct AdapterConfig {
    pub peft_type: String,
    #[serde(default)]
    pub base_model_name_or_path: Option<String>,
    /// Rank of the pairs.
    pub r: usize,
    pub lora_alpha: serde_json::Number,
    /// Scale by `alpha / sqrt(r)` instead of `alpha / r` (arXiv 2312.03732).
    #[serde(default)]
    pub use_rslora: bool,
    #[serde(flatten)]
    other: Map<String, Value>,
}

impl AdapterConfig {
    pub fn new(lora: &LoraConfig) -> Self {
        let whole = lora.alpha.fract() == 0.0 && lora.alpha < 2f64.powi(53);
        let alpha = serde_json::Number::from_f64(lora.alpha).unwrap_or_else(|| 1.into());
        let other = json!({
            "task_type": "CAUSAL_LM", "target_modules": lora.target_modules, "lora_dropout": 0.0,
            "bias": "none", "fan_in_fan_out": false, "inference_mode": true, "init_lora_weights": true,
            "modules_to_save": null, "use_dora": false, "rank_pattern": {}, "alpha_pattern": {},
            "layers_to_transform": null, "layers_pattern": null, "revision": null,
        });
        Self {
            peft_type: "LORA".to_owned(),
            base_model_name_or_path: None,
            r: lora.rank,
            lora_alpha: if whole { (lora.alpha as u64).into() } else { alpha },
            use_rslora: false,
            other: match other {
                Value::Object(fields) => fields,
                _ => Map::new(),
            },
        }
    }

    pub fn scale(&self) -> f64 {
        let rank = self.r as f64;
        let alpha = self.lora_alpha.as_f64().unwrap_or(0.0);
        alpha / if self.use_rslora { rank.sqrt() } else { rank }
    }

    /// Checks that this crate computes what the adapter means.
    pub fn validate(&self, path: &Path) -> Result<()> {
        let fail = |message: String| Err(Error::format(path, message));
        if self.peft_type != "LORA" {
            return fail(format!("peft_type: {:?} is not supported, only LORA is", self.peft_type));
        }
        if self.r == 0 || !self.scale().is_finite() {
            return fail(format!(
                "r: {} with lora_alpha {} gives no scale",
                self.r, self.lora_alpha
            ));
        }
        // Each of these changes what the tensors mean. Empty or off is how PEFT says that it does not.
        for field in [
            "use_dora",
            "use_qalora",
            "use_bdlora",
            "lora_bias",
            "fan_in_fan_out",
            "modules_to_save",
            "rank_pattern",
            "alpha_pattern",
            "target_parameters",
            "trainable_token_indices",
            "layer_replication",
        ] {
            let value = self.other.get(field).unwrap_or(&Value::Null);
            let off = match value {
                Value::Null | Value::Bool(false) => true,
                Value::Object(entries) => entries.is_empty(),
                Value::Array(entries) => entries.is_empty(),
                _ => false,
            };
            if !off {
                return fail(format!("{field}: {value} is not supported"));
            }
        }
        match self.other.get("bias") {
            None | Some(Value::Null) => Ok(()),
            Some(value) if value == "none" => Ok(()),
            Some(value) => fail(format!("bias: {value} is not supported, only none is")),
        }
    }
}
