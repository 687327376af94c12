//! Rotary embeddings stretched to longer contexts, as `transformers`' `modeling_rope_utils` computes them.

use std::f64::consts::TAU;

use serde_json::{Map, Value};

use super::Rope;
use crate::config::{DEFAULT_ROPE_THETA, ModelConfig};
use crate::error::{Error, Result};

/// The settings of one scaling and where they come from, for messages.
struct Settings<'a> {
    field: &'static str,
    values: Option<&'a Map<String, Value>>,
}

impl<'a> Settings<'a> {
    /// `rope_scaling` of older files, else `rope_parameters` of newer ones.
    fn of(config: &'a ModelConfig) -> Result<Self> {
        for field in ["rope_scaling", "rope_parameters"] {
            let Some(value) = config.set(field) else {
                continue;
            };
            let Some(values) = value.as_object() else {
                return Err(Error::Model { field, message: format!("{value} is not an object") });
            };
            if let Some((kind, _)) = values.iter().find(|(_, value)| value.is_object()) {
                let message = format!("a rotary embedding for {kind} alone is not supported");
                return Err(Error::Model { field, message });
            }
            if !values.is_empty() {
                return Ok(Self { field, values: Some(values) });
            }
        }
        Ok(Self { field: "rope_theta", values: None })
    }

    fn get(&self, name: &str) -> Option<&'a Value> {
        self.values?.get(name).filter(|value| !value.is_null())
    }

    fn fail<T>(&self, message: String) -> Result<T> {
        Err(Error::Model { field: self.field, message })
    }

    /// A positive number, if it is there.
    fn optional(&self, name: &str) -> Result<Option<f64>> {
        match self.get(name) {
            None => Ok(None),
            Some(value) => match value.as_f64().filter(|number| *number > 0.0) {
                Some(number) => Ok(Some(number)),
                None => self.fail(format!("{name} must be a positive number, is {value}")),
            },
        }
    }

    fn number(&self, name: &str) -> Result<f64> {
        match self.optional(name)? {
            Some(number) => Ok(number),
            None => self.fail(format!("{name} is missing")),
        }
    }
}

/// The embedding that a configuration asks for.
pub(super) fn rope(config: &ModelConfig) -> Result<Rope> {
    let settings = Settings::of(config)?;
    let theta =
        settings.optional("rope_theta")?.or(config.rope_theta).unwrap_or(DEFAULT_ROPE_THETA);
    if !(theta.is_finite() && theta > 0.0) {
        let message = format!("must be a positive number, is {theta}");
        return Err(Error::Model { field: "rope_theta", message });
    }
    let partial = match config.set("partial_rotary_factor").and_then(Value::as_f64) {
        None => settings.optional("partial_rotary_factor")?,
        partial => partial,
    };
    if let Some(share) = partial.filter(|share| *share != 1.0) {
        let message = format!("{share} is not supported, only whole heads are rotated");
        return Err(Error::Model { field: "partial_rotary_factor", message });
    }
    let plain = Rope::plain(theta, config.head_dim());
    let kind = settings.get("rope_type").or_else(|| settings.get("type"));
    let kind = kind.map_or(Some("default"), Value::as_str).unwrap_or_default();
    let scaled = match kind {
        "default" => plain,
        "linear" => {
            let factor = settings.number("factor")?;
            plain.map(|frequency| frequency / factor)
        }
        // NTK-aware scaling begins where sequences outgrow `max_position_embeddings`, and none here does.
        "dynamic" => settings.number("factor").map(|_| plain)?,
        "llama3" => llama3(config, &settings, plain)?,
        "yarn" => yarn(config, &settings, theta, plain)?,
        _ => {
            let message = "is not supported, only default, linear, dynamic, llama3 and yarn are";
            return settings.fail(format!("type {kind:?} {message}"));
        }
    };
    let finite = scaled.attention_factor.is_finite()
        && scaled.frequencies.iter().all(|frequency| frequency.is_finite());
    if finite { Ok(scaled) } else { settings.fail("gives angles that are not finite".to_owned()) }
}

impl Rope {
    fn map(mut self, change: impl FnMut(f64) -> f64) -> Self {
        self.frequencies = self.frequencies.into_iter().map(change).collect();
        self
    }
}

/// Positions of the context that the model was first trained on.
fn original_length(config: &ModelConfig, settings: &Settings<'_>) -> Result<f64> {
    const FIELD: &str = "original_max_position_embeddings";
    match config.set(FIELD) {
        Some(value) => match value.as_f64().filter(|length| *length > 0.0) {
            Some(length) => Ok(length),
            None => {
                let message = format!("must be a positive number, is {value}");
                Err(Error::Model { field: FIELD, message })
            }
        },
        None => Ok(settings.optional(FIELD)?.unwrap_or(config.max_position_embeddings as f64)),
    }
}

/// Llama 3.1: long waves are stretched by `factor`, short ones stay, those between are blended.
fn llama3(config: &ModelConfig, settings: &Settings<'_>, plain: Rope) -> Result<Rope> {
    let factor = settings.number("factor")?;
    let (low, high) = (settings.number("low_freq_factor")?, settings.number("high_freq_factor")?);
    if low >= high {
        return settings
            .fail(format!("low_freq_factor {low} must be below high_freq_factor {high}"));
    }
    let original = original_length(config, settings)?;
    Ok(plain.map(|frequency| {
        let waves = original * frequency / TAU;
        if waves < low {
            frequency / factor
        } else if waves > high {
            frequency
        } else {
            let smooth = (waves - low) / (high - low);
            (1.0 - smooth) * frequency / factor + smooth * frequency
        }
    }))
}

/// YaRN (Peng et al., arXiv 2309.00071): a ramp over the pairs from extrapolation to interpolation, and attention
/// made sharper by a factor on cosine and sine.
fn yarn(config: &ModelConfig, settings: &Settings<'_>, theta: f64, plain: Rope) -> Result<Rope> {
    let original = original_length(config, settings)?;
    let factor = settings.optional("factor")?;
    let factor = factor.unwrap_or(config.max_position_embeddings as f64 / original);
    let scale = |weight: f64| if factor <= 1.0 { 1.0 } else { 0.1 * weight * factor.ln() + 1.0 };
    let mscale = (settings.optional("mscale")?, settings.optional("mscale_all_dim")?);
    let attention_factor = match (settings.optional("attention_factor")?, mscale) {
        (Some(given), _) => given,
        (None, (Some(one), Some(all))) => scale(one) / scale(all),
        (None, _) => scale(1.0),
    };
    let dim = 2.0 * plain.frequencies.len() as f64;
    // The pair that makes this many turns over the original context.
    let pair = |turns: f64| dim * (original / (turns * TAU)).ln() / (2.0 * theta.ln());
    let mut low = pair(settings.optional("beta_fast")?.unwrap_or(32.0));
    let mut high = pair(settings.optional("beta_slow")?.unwrap_or(1.0));
    if settings.get("truncate") != Some(&Value::Bool(false)) {
        (low, high) = (low.floor(), high.ceil());
    }
    (low, high) = (low.max(0.0), high.min(dim - 1.0));
    if low == high {
        high += 0.001;
    }
    let mut index = 0.0;
    let scaled = plain.map(|frequency| {
        let ramp = ((index - low) / (high - low)).clamp(0.0, 1.0);
        index += 1.0;
        frequency / factor * ramp + frequency * (1.0 - ramp)
    });
    Ok(Rope { attention_factor, ..scaled })
}
