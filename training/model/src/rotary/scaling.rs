//! Rotary embeddings stretched to longer contexts, as `transformers`' `modeling_rope_utils` computes them.

use std::f64::consts::TAU;

use serde_json::{Map, Value};

use super::Rope;
use crate::config::ModelConfig;
use crate::error::{Error, Result};

/// The settings of one embedding and where they come from, for messages.
struct Settings<'a> {
    field: &'static str,
    values: Option<&'a Map<String, Value>>,
    /// The base where the values have none.
    theta: f64,
}

impl<'a> Settings<'a> {
    /// Of all layers: `rope_scaling` of older files, else `rope_parameters` of newer ones.
    fn of(config: &'a ModelConfig) -> Result<Self> {
        let theta = config.rope_theta();
        for field in ["rope_scaling", "rope_parameters"] {
            let Some(values) = object(config, field)? else { continue };
            if let Some((kind, _)) = values.iter().find(|(_, value)| value.is_object()) {
                let message = format!("a rotary embedding for {kind} alone is not supported");
                return Err(Error::Model { field, message });
            }
            if !values.is_empty() {
                return Ok(Self { field, values: Some(values), theta });
            }
        }
        Ok(Self { field: "rope_theta", values: None, theta })
    }

    /// Of one kind of layers.
    fn of_kind(
        config: &'a ModelConfig,
        kind: &str,
        (base, scaled): (&'static str, bool),
        theta: f64,
    ) -> Result<Self> {
        let field = "rope_parameters";
        if let Some(kinds) = object(config, field)? {
            if let Some((name, _)) = kinds.iter().find(|(_, it)| !it.is_object() && !it.is_null()) {
                let message = format!("{name} stands beside the kinds of layers and not in one");
                return Err(Error::Model { field, message });
            }
            let values = kinds.get(kind).and_then(Value::as_object);
            return Ok(Self { field, values, theta });
        }
        let theta = match config.set(base) {
            // The file's own field of this name is read with the sizes.
            None if base == "rope_theta" => config.rope_theta.unwrap_or(theta),
            None => theta,
            Some(value) => match value.as_f64() {
                Some(theta) => theta,
                None => {
                    let message = format!("must be a positive number, is {value}");
                    return Err(Error::Model { field: base, message });
                }
            },
        };
        let values = object(config, "rope_scaling")?.filter(|_| scaled);
        Ok(Self { field: if values.is_some() { "rope_scaling" } else { base }, values, theta })
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

    /// As many positive numbers.
    fn numbers(&self, name: &str, count: usize) -> Result<Vec<f64>> {
        let values = self.get(name).and_then(Value::as_array);
        let number = |value: &Value| value.as_f64().filter(|number| *number > 0.0);
        let numbers =
            values.and_then(|values| values.iter().map(number).collect::<Option<Vec<_>>>());
        match numbers.filter(|numbers| numbers.len() == count) {
            Some(numbers) => Ok(numbers),
            None => self.fail(format!("{name} must be a list of {count} positive numbers")),
        }
    }
}

/// A field that is an object, if it is there.
fn object<'a>(
    config: &'a ModelConfig,
    field: &'static str,
) -> Result<Option<&'a Map<String, Value>>> {
    match config.set(field) {
        None => Ok(None),
        Some(Value::Object(values)) => Ok(Some(values)),
        Some(value) => Err(Error::Model { field, message: format!("{value} is not an object") }),
    }
}

/// The embedding of all layers over whole heads.
pub(super) fn whole(config: &ModelConfig) -> Result<Rope> {
    let settings = Settings::of(config)?;
    match share(config, &settings)? {
        Some(share) if share != 1.0 => {
            let message = format!("{share} is not supported, only whole heads are rotated");
            Err(Error::Model { field: PARTIAL, message })
        }
        _ => rope(config, &settings, config.head_dim()),
    }
}

/// The embedding of all layers, over the first part of heads.
pub(super) fn partial(config: &ModelConfig) -> Result<Rope> {
    let settings = Settings::of(config)?;
    let share = share(config, &settings)?.unwrap_or(1.0);
    let head_dim = config.head_dim();
    let width = (head_dim as f64 * share) as usize;
    if !(share <= 1.0 && width >= 2 && width.is_multiple_of(2)) {
        let message = format!("{share} of a head of {head_dim} gives no pairs to rotate");
        return Err(Error::Model { field: PARTIAL, message });
    }
    rope(config, &settings, width)
}

/// The embedding of the layers of one kind.
pub(super) fn of_kind(
    config: &ModelConfig,
    kind: &str,
    old: (&'static str, bool),
    theta: f64,
) -> Result<Rope> {
    rope(config, &Settings::of_kind(config, kind, old, theta)?, config.head_dim())
}

const PARTIAL: &str = "partial_rotary_factor";

/// Which share of each head is rotated, if the file says so.
fn share(config: &ModelConfig, settings: &Settings<'_>) -> Result<Option<f64>> {
    match config.set(PARTIAL).and_then(Value::as_f64) {
        None => settings.optional(PARTIAL),
        share => Ok(share),
    }
}

/// The embedding of settings, over this much of a head.
fn rope(config: &ModelConfig, settings: &Settings<'_>, width: usize) -> Result<Rope> {
    let theta = settings.optional("rope_theta")?.unwrap_or(settings.theta);
    if !(theta.is_finite() && theta > 0.0) {
        let message = format!("must be a positive number, is {theta}");
        return Err(Error::Model { field: "rope_theta", message });
    }
    let plain = Rope::plain(theta, width);
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
        "llama3" => llama3(config, settings, plain)?,
        "longrope" | "su" => longrope(config, settings, plain)?,
        // Phi-3's first files called it so.
        "yarn" if settings.get("short_factor").is_some() => longrope(config, settings, plain)?,
        "yarn" => yarn(config, settings, theta, plain)?,
        _ => {
            let message =
                "is not supported, only default, linear, dynamic, llama3, yarn and longrope are";
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

const ORIGINAL: &str = "original_max_position_embeddings";

/// Positions of the context that the model was first trained on, if the file tells them.
fn told_length(config: &ModelConfig, settings: &Settings<'_>) -> Result<Option<f64>> {
    match config.set(ORIGINAL) {
        Some(value) => match value.as_f64().filter(|length| *length > 0.0) {
            Some(length) => Ok(Some(length)),
            None => {
                let message = format!("must be a positive number, is {value}");
                Err(Error::Model { field: ORIGINAL, message })
            }
        },
        None => settings.optional(ORIGINAL),
    }
}

/// As [`told_length`], else all that there are.
fn original_length(config: &ModelConfig, settings: &Settings<'_>) -> Result<f64> {
    let told = told_length(config, settings)?;
    Ok(told.unwrap_or(config.max_position_embeddings as f64))
}

/// LongRoPE (Ding et al., arXiv 2402.13753): each frequency has a divisor of its own, and attention is made sharper. Sequences
/// longer than the original context have other divisors, for all of their positions. Paths of a tree share what was computed
/// for their common beginning, whatever their lengths will be, so the limit is the original context.
fn longrope(config: &ModelConfig, settings: &Settings<'_>, plain: Rope) -> Result<Rope> {
    let pairs = plain.pairs();
    let short = settings.numbers("short_factor", pairs)?;
    settings.numbers("long_factor", pairs)?;
    let Some(original) = told_length(config, settings)? else {
        return settings.fail(format!("{ORIGINAL} is missing"));
    };
    let factor = settings.optional("factor")?;
    let factor = factor.unwrap_or(config.max_position_embeddings as f64 / original);
    let attention_factor = match settings.optional("attention_factor")? {
        Some(given) => given,
        None if factor <= 1.0 => 1.0,
        None => (1.0 + factor.ln() / original.ln()).sqrt(),
    };
    let mut short = short.into_iter();
    let scaled = plain.map(|frequency| frequency / short.next().unwrap_or(1.0));
    Ok(Rope { attention_factor, limit: Some((original as usize).max(1)), ..scaled })
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
