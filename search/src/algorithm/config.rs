//! Settings that the decodings share.

use serde::de::Error as _;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Number, Value};

use crate::error::ConfigError;
use crate::mcts::MctsConfig;

/// Settings of every [`crate::Decoding`]; each reads those that concern it. The defaults are
/// AlphaMath's at inference.
///
/// In files the tree's settings stand side by side with the others, under the names that they have in [`MctsConfig`],
/// but for two: a tree's own `remove_duplicate` is called `tree_remove_duplicate`, and there is no `simulations`, which
/// is part of the decoding's name.
#[derive(Debug, Clone, PartialEq)]
pub struct DecodeConfig {
    /// `sbs`: drops siblings whose trimmed text an earlier one has.
    pub remove_duplicate: bool,
    /// How `mcts:N` grows its tree, and the sampling of every decoding: `temperature` (`greedy` takes 0) and `max_depth`,
    /// which outside a tree is the most steps of a path.
    pub tree: MctsConfig,
}

impl Default for DecodeConfig {
    fn default() -> Self {
        Self {
            remove_duplicate: true,
            tree: MctsConfig { c_puct: C_PUCT, ..MctsConfig::default() },
        }
    }
}

/// AlphaMath's exploration weight at inference.
const C_PUCT: f64 = 1.25;

/// Names in files.
const REMOVE_DUPLICATE: &str = "remove_duplicate";
const TREE_REMOVE_DUPLICATE: &str = "tree_remove_duplicate";
const SIMULATIONS: &str = "simulations";

impl DecodeConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// Names the first field that cannot be used.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.mcts(self.tree.roots as u64).validate()
    }

    /// The settings of a tree of so many simulations.
    #[must_use]
    pub fn mcts(&self, simulations: u64) -> MctsConfig {
        MctsConfig { simulations, ..self.tree.clone() }
    }
}

impl Serialize for DecodeConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let keys = match serde_json::to_value(&self.tree).map_err(S::Error::custom)? {
            Value::Object(keys) => keys,
            other => return Err(S::Error::custom(format!("{other} is no table"))),
        };
        let mut table: Map<String, Value> = keys
            .into_iter()
            .filter(|(key, _)| key != SIMULATIONS)
            .map(|(key, value)| match key.as_str() {
                REMOVE_DUPLICATE => (TREE_REMOVE_DUPLICATE.to_owned(), value),
                // The shortest number that reads as the same `f32`.
                "temperature" => (key, shortest(self.tree.temperature).unwrap_or(value)),
                _ => (key, value),
            })
            .collect();
        table.insert(REMOVE_DUPLICATE.to_owned(), self.remove_duplicate.into());
        table.serialize(serializer)
    }
}

fn shortest(number: f32) -> Option<Value> {
    Number::from_f64(number.to_string().parse().ok()?).map(Value::Number)
}

impl<'de> Deserialize<'de> for DecodeConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut table: Map<String, Value> = Map::deserialize(deserializer)?;
        if table.contains_key(SIMULATIONS) {
            let message = "`simulations` is part of the decoding's name, as in mcts:40";
            return Err(D::Error::custom(message));
        }
        let default = Self::default();
        let remove_duplicate = match table.remove(REMOVE_DUPLICATE) {
            Some(value) => of_key(REMOVE_DUPLICATE, bool::deserialize(value))?,
            None => default.remove_duplicate,
        };
        if let Some(of_tree) = table.remove(TREE_REMOVE_DUPLICATE) {
            table.insert(REMOVE_DUPLICATE.to_owned(), of_tree);
        }
        table.entry("c_puct").or_insert(C_PUCT.into());
        // Key by key first, so that an error says which.
        for (key, value) in &table {
            let alone = Map::from_iter([(key.clone(), value.clone())]);
            of_key::<_, _, D::Error>(key, MctsConfig::deserialize(Value::Object(alone)))?;
        }
        let tree = MctsConfig::deserialize(Value::Object(table)).map_err(D::Error::custom)?;
        Ok(Self { remove_duplicate, tree })
    }
}

/// A key's value, or an error that names the key.
fn of_key<T, F: std::fmt::Display, E: serde::de::Error>(
    key: &str,
    read: Result<T, F>,
) -> Result<T, E> {
    read.map_err(|error| {
        let message = error.to_string();
        let names_it = message.contains(&format!("`{key}`"));
        E::custom(if names_it { message } else { format!("{key}: {message}") })
    })
}

#[cfg(all(test, not(espalier_loom)))]
mod tests {
    use super::*;
    use crate::mcts::Compatibility;

    #[test]
    fn a_bad_field_is_named() {
        DecodeConfig::default().validate().unwrap();
        let tree = MctsConfig { max_depth: 0, ..MctsConfig::default() };
        let config = DecodeConfig { tree, ..DecodeConfig::default() };
        assert_eq!(config.validate().unwrap_err().field, "max_depth");
        let error =
            |json: &str| serde_json::from_str::<DecodeConfig>(json).unwrap_err().to_string();
        for (json, part) in [
            (r#"{"beams": 3}"#, "unknown field `beams`"),
            (r#"{"samples": "few"}"#, "samples: "),
            (r#"{"remove_duplicate": 1}"#, "remove_duplicate: "),
            (r#"{"simulations": 40}"#, "mcts:40"),
            (r#"{"selection": {"rule": "ucb"}}"#, "`puct`"),
        ] {
            assert!(error(json).contains(part), "{}", error(json));
        }
    }

    #[test]
    fn every_setting_of_a_tree_is_a_key_and_comes_back() {
        let none: DecodeConfig = serde_json::from_str("{}").unwrap();
        assert_eq!(none, DecodeConfig::default());
        assert_eq!(none.tree.c_puct, 1.25);
        let json = r#"{"temperature": 0.6, "negative_reward": -0.5, "compatibility": "alphamath",
            "remove_duplicate": false, "tree_remove_duplicate": true, "stop": {"tokens": 9}}"#;
        let some: DecodeConfig = serde_json::from_str(json).unwrap();
        assert!(!some.remove_duplicate && some.tree.remove_duplicate);
        assert_eq!((some.tree.temperature, some.tree.negative_reward), (0.6, -0.5));
        assert_eq!(some.tree.compatibility, Compatibility::AlphaMath);
        assert_eq!((some.tree.stop.tokens, some.mcts(7).simulations), (Some(9), 7));
        let written = serde_json::to_string(&some).unwrap();
        assert!(written.contains("\"temperature\":0.6,"), "{written}");
        assert_eq!(serde_json::from_str::<DecodeConfig>(&written).unwrap(), some);
    }
}
