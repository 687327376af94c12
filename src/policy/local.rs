//! The `[policy]` section of kind `local`: the net of a checkpoint folder.

use std::fs;

use espalier_inference::Meter;
use espalier_model::checkpoint::Source;
use espalier_search::ConfigError;
use espalier_training::{Dtype, InferenceConfig, LocalEvaluator, SamplingConfig, WeightFormat};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::json;

use super::config::ValueRecipe;
use super::error::PolicyError;
use super::kind::{Backend, Policy, PolicyKind, identity};
use super::value::ValueSource;
use super::valued::Valued;
use crate::compute::ComputeRecipe;
use crate::environment::AnyEnvironment;
use crate::kinds::kind_or;

/// How the local net writes steps; `[net]` shapes it, `--checkpoint` names it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LocalRecipe {
    /// Longest step in tokens, the stop included.
    pub max_step_tokens: usize,
    /// Draw from the so many most likely tokens; 0 for all.
    pub top_k: usize,
    /// Draw from the most likely tokens that together reach this probability, in (0, 1].
    pub top_p: f32,
    /// Draw from tokens at least this many times as likely as the most likely one, in [0, 1].
    pub min_p: f32,
    /// Type of the cached keys and values: by default `float32` on the CPU and the checkpoint's on a device. `float16` and `bfloat16`
    /// take half the memory, and change answers in their third digit.
    pub kv_cache_dtype: Option<Dtype>,
    /// How the weights are held for searches: rounded to `q8_0` or `q4_0`, or `stored` in a quantised file's own blocks; absent: in 32
    /// or 16 bits, as the checkpoint has them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weights: Option<WeightFormat>,
    /// Who values states.
    #[serde(deserialize_with = "own_or_kind")]
    pub value: ValueRecipe,
}

/// A section that does not say its kind is the net's own.
fn own_or_kind<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ValueRecipe, D::Error> {
    kind_or(ValueRecipe::own(), deserializer)
}

impl Default for LocalRecipe {
    fn default() -> Self {
        let InferenceConfig { max_step_tokens, sampling, kv_cache_dtype, weights, .. } =
            InferenceConfig::default();
        let SamplingConfig { top_k, top_p, min_p } = sampling;
        let value = ValueRecipe::own();
        Self { max_step_tokens, top_k, top_p, min_p, kv_cache_dtype, weights, value }
    }
}

impl LocalRecipe {
    /// Settings of inference for steps that end with one of `stops`.
    #[must_use]
    pub fn inference(&self, compute: &ComputeRecipe, stops: Vec<String>) -> InferenceConfig {
        let &Self { max_step_tokens, top_k, top_p, min_p, kv_cache_dtype, weights, value: _ } =
            self;
        InferenceConfig {
            max_step_tokens,
            stops,
            sampling: SamplingConfig { top_k, top_p, min_p },
            kv_cache_megabytes: compute.kv_cache_megabytes,
            kv_cache_dtype,
            weights,
            slots: compute.slots,
            threads: compute.threads,
            device: compute.device,
            ..InferenceConfig::default()
        }
    }
}

impl Backend for LocalEvaluator {
    fn meter(&self) -> Option<Meter> {
        Some(self.meter())
    }
}

impl PolicyKind for LocalRecipe {
    fn validate(&self) -> Result<(), ConfigError> {
        let Self { max_step_tokens, top_p, min_p, .. } = *self;
        ConfigError::require(
            max_step_tokens >= 1,
            "max_step_tokens",
            &max_step_tokens,
            "must be >= 1",
        )?;
        ConfigError::require(top_p > 0.0 && top_p <= 1.0, "top_p", &top_p, "must be in (0, 1]")?;
        ConfigError::require((0.0..=1.0).contains(&min_p), "min_p", &min_p, "must be in [0, 1]")?;
        self.value.validate()
    }

    fn load(
        &self,
        environment: &AnyEnvironment,
        compute: &ComputeRecipe,
        checkpoint: Option<Source<'_>>,
    ) -> Result<Policy, PolicyError> {
        let source = checkpoint.ok_or_else(|| {
            let message = "--checkpoint DIR is needed: the recipe's policy is a local net ([policy] kind names others)";
            PolicyError::Usage(message.to_owned())
        })?;
        let net = load_net(source, self.inference(compute, environment.stops()))?;
        let mut fingerprint = net.fingerprint().to_owned();
        let settings = Self { value: ValueRecipe::own(), ..self.clone() };
        if settings != Self::default() {
            let mut settings = json!(settings);
            // The net's own values are what the fingerprint has always meant.
            settings.as_object_mut().map(|settings| settings.remove("value"));
            fingerprint = identity(&json!({ "net": fingerprint, "settings": settings }))?;
        }
        let whole = fs::canonicalize(source.path).unwrap_or_else(|_| source.path.to_owned());
        let place = whole.display().to_string();
        if matches!(self.value, ValueRecipe::Own(_)) {
            return Ok(Policy::new(net, fingerprint, place));
        }
        let (values, of_values) = ValueSource::load(&self.value, environment, compute, None)?;
        let fingerprint = identity(&json!({ "policy": fingerprint, "values": of_values }))?;
        Ok(Policy::new(Valued { policy: net, values }, fingerprint, place))
    }

    fn needs_checkpoint(&self) -> bool {
        true
    }

    fn untrainable(&self) -> Option<&'static str> {
        None
    }

    fn value(&self) -> Option<&ValueRecipe> {
        Some(&self.value)
    }

    fn local(&self) -> Option<&LocalRecipe> {
        Some(self)
    }
}

/// A checkpoint's net.
pub(super) fn load_net(
    source: Source<'_>,
    config: InferenceConfig,
) -> Result<LocalEvaluator, PolicyError> {
    LocalEvaluator::open(source, config).map_err(|error| match error {
        espalier_model::error::Error::Setting { .. } => PolicyError::Usage(error.to_string()),
        error => PolicyError::Checkpoint { path: source.path.to_owned(), source: error },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use espalier_training::{Checkpoint, NetConfig, Tokenizer, Tokens};

    #[test]
    fn what_weights_are_rounded_to_is_part_of_a_policy_s_fingerprint() {
        let dir = tempfile::tempdir().unwrap();
        let net = dir.path().join("net");
        let config = NetConfig { layers: 1, width: 32, ..NetConfig::default() };
        let tokenizer = Tokenizer::fresh(Tokens::Characters).unwrap();
        Checkpoint::initialise(&config, tokenizer, 1).unwrap().save(&net).unwrap();
        let environment = crate::recipe::load(None, &[]).unwrap().environment;
        let environment = environment.without_steps().unwrap();
        let fingerprint = |weights| {
            let recipe = LocalRecipe { weights, ..LocalRecipe::default() };
            let policy =
                recipe.load(&environment, &ComputeRecipe::default(), Some((&net).into())).unwrap();
            policy.fingerprint().to_owned()
        };
        let found = [None, Some(WeightFormat::Q8_0), Some(WeightFormat::Q4_0)].map(fingerprint);
        assert!(found[0] != found[1] && found[1] != found[2] && found[0] != found[2], "{found:?}");
    }
}
