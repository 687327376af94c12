//! Sections whose `kind` says which keys they have.

use serde::de::{DeserializeOwned, Error};
use serde::{Deserialize, Deserializer, Serialize};
use toml::Table;

/// Reads a section. One that does not say its kind is of the default one.
///
/// # Errors
/// When a key is wrong.
pub fn kind_or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Serialize + DeserializeOwned,
{
    kind_or(T::default(), deserializer)
}

/// As [`kind_or_default`], with another default.
///
/// # Errors
/// When a key is wrong.
pub fn kind_or<'de, D, T>(default: T, deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Serialize + DeserializeOwned,
{
    let mut section = Table::deserialize(deserializer)?;
    if !section.contains_key("kind") {
        let mut default = Table::try_from(default).map_err(D::Error::custom)?;
        if let Some(kind) = default.remove("kind") {
            section.insert("kind".to_owned(), kind);
        }
    }
    section.try_into().map_err(|error: toml::de::Error| D::Error::custom(error.message()))
}
