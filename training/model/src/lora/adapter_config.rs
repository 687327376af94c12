//! PEFT's `adapter_config.json`.

use std::path::Path;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::fields;
use crate::config::LoraConfig;
use crate::error::{Error, Result};

/// The file. What is used of it is read once; all of it is kept and saved again.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct AdapterConfig {
    fields: Map<String, Value>,
    used: Used,
    /// What PEFT does to the weights before it puts the pairs beside them.
    pub initial: Initial,
}

/// The fields that say what the tensors mean.
#[derive(Debug, Clone, PartialEq, Default)]
struct Used {
    base_model: Option<String>,
    rank: usize,
    alpha: f64,
    rank_stabilised: bool,
    dora: bool,
    biased: bool,
    stays_tied: bool,
    rank_pattern: Map<String, Value>,
    alpha_pattern: Map<String, Value>,
    modules_to_save: Vec<String>,
    token_indices: Vec<(String, Vec<usize>)>,
}

/// How an adapter's pairs began. Some kinds take their beginning out of the weight, so that a pair is no delta on the base as
/// it is: PEFT does that anew when it loads one, and so does the merge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Initial {
    /// Pairs are deltas.
    Plain,
    /// The largest singular directions are taken out (PiSSA, arXiv 2404.02948 §3).
    Pissa,
    /// `scale * Q R` of the first `rank` columns is taken out (OLoRA, arXiv 2406.01775 §3).
    Olora,
}

/// PEFT's `r` and `lora_alpha` where a file is silent.
const DEFAULT: usize = 8;

/// A field's value; `None` where it is null or not there.
fn field<T: DeserializeOwned>(
    fields: &Map<String, Value>,
    name: &str,
) -> Result<Option<T>, String> {
    let value = fields.get(name).filter(|value| !value.is_null());
    let read = |value: &Value| serde_json::from_value(value.clone());
    value.map(read).transpose().map_err(|error| format!("{name}: {error}"))
}

impl Used {
    fn read(fields: &Map<String, Value>) -> Result<Self, String> {
        let flag = |name| Ok::<_, String>(field(fields, name)?.unwrap_or_default());
        let name = "trainable_token_indices";
        // A list alone is the embedding's.
        let token_indices = match fields.get(name) {
            Some(Value::Array(_)) => field(fields, name)?
                .map(|list| (super::EMBEDDING.to_owned(), list))
                .into_iter()
                .collect(),
            _ => field::<Map<String, Value>>(fields, name)?
                .unwrap_or_default()
                .into_iter()
                .map(|(module, list)| {
                    let list = serde_json::from_value(list);
                    list.map(|list| (module, list)).map_err(|error| format!("{name}: {error}"))
                })
                .collect::<Result<_, _>>()?,
        };
        Ok(Self {
            base_model: field(fields, "base_model_name_or_path")?,
            rank: field(fields, "r")?.unwrap_or(DEFAULT),
            alpha: field(fields, "lora_alpha")?.unwrap_or(DEFAULT as f64),
            rank_stabilised: flag("use_rslora")?,
            dora: flag("use_dora")?,
            biased: flag("lora_bias")?,
            stays_tied: flag("ensure_weight_tying")?,
            rank_pattern: field(fields, "rank_pattern")?.unwrap_or_default(),
            alpha_pattern: field(fields, "alpha_pattern")?.unwrap_or_default(),
            modules_to_save: field(fields, "modules_to_save")?.unwrap_or_default(),
            token_indices,
        })
    }
}

impl AdapterConfig {
    pub fn new(lora: &LoraConfig) -> Self {
        let whole = lora.alpha.fract() == 0.0 && lora.alpha < 2f64.powi(53);
        let alpha = if whole { json!(lora.alpha as u64) } else { json!(lora.alpha) };
        let fields = json!({
            "peft_type": "LORA", "base_model_name_or_path": null, "r": lora.rank, "lora_alpha": alpha,
            "use_rslora": false, "task_type": "CAUSAL_LM", "target_modules": lora.target_modules,
            "lora_dropout": 0.0, "bias": "none", "fan_in_fan_out": false, "inference_mode": true,
            "init_lora_weights": true, "modules_to_save": null, "use_dora": false, "rank_pattern": {},
            "alpha_pattern": {}, "layers_to_transform": null, "layers_pattern": null, "revision": null,
        });
        let used = Used { rank: lora.rank, alpha: lora.alpha, ..Used::default() };
        let fields = match fields {
            Value::Object(fields) => fields,
            _ => Map::new(),
        };
        Self { fields, used, initial: Initial::Plain }
    }

    /// Reads the file's content, and checks that this crate computes what it means.
    ///
    /// # Errors
    /// Names the field that is missing, wrong, or asks for what is not supported.
    pub fn read(fields: Map<String, Value>, path: &Path) -> Result<Self> {
        let wrong = |message: String| Error::format(path, message);
        // Before all others: other kinds have other fields.
        match fields.get("peft_type").and_then(Value::as_str) {
            Some("LORA") => {}
            Some(kind) => {
                return Err(wrong(format!("peft_type: {kind} is not supported, only LORA is")));
            }
            None => {
                return Err(wrong(
                    "peft_type: missing, so this is no adapter of PEFT's".to_owned(),
                ));
            }
        }
        fields::check(&fields).map_err(wrong)?;
        let initial = fields::initial(fields.get("init_lora_weights")).map_err(wrong)?;
        let used = Used::read(&fields).map_err(wrong)?;
        Ok(Self { fields, used, initial })
    }

    /// The file's content.
    ///
    /// # Errors
    /// When it cannot be written as JSON.
    pub fn to_bytes(&self) -> serde_json::Result<Vec<u8>> {
        serde_json::to_vec_pretty(&self.fields)
    }

    pub fn base_model(&self) -> Option<&str> {
        self.used.base_model.as_deref()
    }

    /// Rank where no pattern says otherwise.
    pub fn rank(&self) -> usize {
        self.used.rank
    }

    /// Alpha where no pattern says otherwise.
    pub fn alpha(&self) -> f64 {
        self.used.alpha
    }

    /// Ranks by the pattern of a module's name, in the order in which they are tried.
    pub fn rank_pattern(&self) -> &Map<String, Value> {
        &self.used.rank_pattern
    }

    /// As [`Self::rank_pattern`], of alphas.
    pub fn alpha_pattern(&self) -> &Map<String, Value> {
        &self.used.alpha_pattern
    }

    /// Scale by `alpha / sqrt(rank)` instead of `alpha / rank` (arXiv 2312.03732).
    pub fn rank_stabilised(&self) -> bool {
        self.used.rank_stabilised
    }

    /// Whether rows have a magnitude of their own (DoRA, arXiv 2402.09353).
    pub fn dora(&self) -> bool {
        self.used.dora
    }

    /// Whether every `B` has a bias.
    pub fn biased(&self) -> bool {
        self.used.biased
    }

    /// Whether embedding and head stay one tensor where they are one.
    pub fn stays_tied(&self) -> bool {
        self.used.stays_tied
    }

    /// Whether a module was trained whole, as PEFT matches names.
    pub fn saves(&self, module: &str) -> bool {
        self.used.modules_to_save.iter().any(|name| module.ends_with(name.as_str()))
    }

    /// Tokens of which the rows of `module` were trained.
    pub fn token_indices(&self, module: &str) -> Option<&[usize]> {
        let of = |name: &str| module == name || module.ends_with(&format!(".{name}"));
        let entry = self.used.token_indices.iter().find(|(name, _)| of(name));
        entry.map(|(_, indices)| indices.as_slice())
    }
}
