//! Numbers of a file that must lie in a range: one that does not would become a label.

use serde::de::{Deserialize, Deserializer, Error};

/// Room for the rounding of a mean.
const ROUNDING: f64 = 1e-9;

/// Reads a value in [-1, 1].
pub(crate) fn value<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    check(f64::deserialize(deserializer)?, -1.0)
}

/// Reads a value in [-1, 1] or nothing.
pub(crate) fn value_if_any<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<f64>, D::Error> {
    let value = Option::deserialize(deserializer)?;
    value.map(|value| check(value, -1.0)).transpose()
}

/// Reads a probability.
pub(crate) fn probability<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    check(f64::deserialize(deserializer)?, 0.0)
}

/// Reads a weight, finite and at least 0, or nothing.
pub(crate) fn weight_if_any<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<f64>, D::Error> {
    match Option::deserialize(deserializer)? {
        Some(weight) if !(0.0..f64::INFINITY).contains(&weight) => {
            Err(D::Error::custom(format!("{weight} is no weight")))
        }
        weight => Ok(weight),
    }
}

fn check<E: Error>(number: f64, least: f64) -> Result<f64, E> {
    if (least - ROUNDING..=1.0 + ROUNDING).contains(&number) {
        return Ok(number);
    }
    Err(E::custom(format!("{number} is outside [{least}, 1]")))
}
