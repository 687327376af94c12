//! Which fields of `adapter_config.json` change what an adapter's tensors mean.

use serde_json::{Map, Value};

use super::adapter_config::Initial;

/// Fields that are read elsewhere in this crate, or that say only how the adapter was trained.
const HARMLESS: [&str; 33] = [
    "alpha_pattern",
    "auto_mapping",
    "base_model_name_or_path",
    "bias",
    "corda_config",
    "ensure_weight_tying",
    "eva_config",
    "exclude_modules",
    "fan_in_fan_out",
    "inference_mode",
    "init_lora_weights",
    "layers_pattern",
    "layers_to_transform",
    "loftq_config",
    "lora_alpha",
    "lora_bias",
    "lora_dropout",
    "lora_ga_config",
    "megatron_core",
    "modules_to_save",
    "peft_type",
    "peft_version",
    "qalora_group_size",
    "r",
    "rank_pattern",
    "revision",
    "runtime_config",
    "target_modules",
    "task_type",
    "trainable_token_indices",
    "use_dora",
    "use_rslora",
    "merge_weights",
];

/// Whether a field says that its feature is not used.
fn off(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Object(entries) => entries.is_empty(),
        Value::Array(entries) => entries.is_empty(),
        Value::String(text) => text.is_empty(),
        _ => false,
    }
}

/// Checks that nothing is asked for that this crate has no code for.
///
/// # Errors
/// Tells the first field that does.
pub(super) fn check(fields: &Map<String, Value>) -> Result<(), String> {
    for (field, value) in fields {
        if HARMLESS.contains(&field.as_str()) || off(value) {
            continue;
        }
        return Err(match field.as_str() {
            "alora_invocation_tokens" => format!(
                "{field}: an activated adapter acts only after its tokens, which cannot be merged into weights and is not supported"
            ),
            "layer_replication" => {
                format!("{field}: {value} makes another model of the base, which is not supported")
            }
            "target_parameters" => {
                format!("{field}: {value} is not supported, no model here has experts")
            }
            _ => format!(
                "{field}: {value} is not supported; where it does not change what the tensors mean, take the field out"
            ),
        });
    }
    match fields.get("bias") {
        None | Some(Value::Null) => Ok(()),
        Some(Value::String(kind)) if ["none", "all", "lora_only"].contains(&kind.as_str()) => {
            Ok(())
        }
        Some(other) => Err(format!("bias: {other} is none of none, all and lora_only")),
    }
}

/// What PEFT does at loading for a value of `init_lora_weights`.
///
/// # Errors
/// Tells why a value is not supported, and what to do.
pub(super) fn initial(value: Option<&Value>) -> Result<Initial, String> {
    let kind = match value {
        None | Some(Value::Null | Value::Bool(_)) => return Ok(Initial::Plain),
        Some(Value::String(kind)) => kind.as_str(),
        Some(other) => return Err(format!("init_lora_weights: {other} is not supported")),
    };
    match kind {
        "pissa" => return Ok(Initial::Pissa),
        // Both begin as no delta, and leave the base as it is.
        "eva" | "orthogonal" => return Ok(Initial::Plain),
        _ => {}
    }
    match kind.to_lowercase().as_str() {
        "olora" => Ok(Initial::Olora),
        "gaussian" | "mica" => Ok(Initial::Plain),
        _ => {
            let why = match kind {
                "corda" | "lora_ga" => {
                    "took a part out of the base that depends on data that the adapter does not hold"
                }
                "loftq" => "was trained beside a quantised base",
                _ if kind.starts_with("pissa_niter_") => {
                    "took out singular directions of the base that were found with random numbers"
                }
                _ => "is not known",
            };
            Err(format!(
                "init_lora_weights: {kind:?} {why}, so its pairs are no deltas on the base; save the adapter with PEFT's \
                 path_initial_model_for_weight_conversion, or, where the base here is the changed one, write true instead"
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn harmless_fields_are_listed_once() {
        let unique: std::collections::BTreeSet<_> = HARMLESS.iter().collect();
        assert_eq!(unique.len(), HARMLESS.len());
    }

    #[test]
    fn fields_that_are_not_known_are_refused_where_they_are_set() {
        let check = |text: &str| check(&serde_json::from_str(text).unwrap());
        check(r#"{"lora_dropout": 0.1, "new": null, "newer": {}, "newest": ""}"#).unwrap();
        for field in ["use_qalora", "use_bdlora", "arrow_config", "kasa_config", "brand_new"] {
            let message = check(&format!("{{{field:?}: {{\"a\": 1}}}}")).unwrap_err();
            assert!(message.contains(field), "{message}");
        }
    }
}
