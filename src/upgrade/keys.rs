//! Recipe keys of earlier versions. A key that moves gets a line of [`RENAMED`]: recipes that have it are refused by its new
//! name, and run directories are converted.

use anyhow::{Context, Result, bail};
use toml::{Table, Value};

use crate::recipe::set_value;

/// A key of an earlier version.
struct Renamed {
    /// Dotted, as in `labels.max_correct`.
    old: &'static str,
    /// The keys that have its place.
    new: &'static [&'static str],
    /// The value there; `None` where the old value cannot be read.
    value: fn(&Value) -> Option<Value>,
}

const RENAMED: &[Renamed] = &[
    Renamed { old: "labels.max_correct", new: &["labels.paths.max_correct"], value: same },
    Renamed { old: "labels.max_incorrect", new: &["labels.paths.max_incorrect"], value: same },
    Renamed { old: "rounds.data", new: &["rounds.window"], value: window },
    Renamed { old: "training.beta", new: &["objective.beta"], value: same },
    Renamed { old: "training.value_dropout", new: &["objective.value_dropout"], value: same },
    Renamed { old: "search.selection.widening", new: &["search.selection.unpruning"], value: same },
    Renamed {
        old: "evaluation.decode.selection.widening",
        new: &["evaluation.decode.selection.unpruning"],
        value: same,
    },
    // Round 0 learnt by the same key.
    Renamed {
        old: "training.observation_loss",
        new: &["objective.observation_loss", "bootstrap.observation_loss"],
        value: same,
    },
];

fn same(value: &Value) -> Option<Value> {
    Some(value.clone())
}

/// `accumulated` labels are those of all rounds, which is 0; the `latest` those of 1.
fn window(data: &Value) -> Option<Value> {
    match data.as_str()? {
        "accumulated" => Some(Value::Integer(0)),
        "latest" => Some(Value::Integer(1)),
        _ => None,
    }
}

/// Refuses a recipe that has a key of an earlier version.
///
/// # Errors
/// Naming the key, the one that has its place and the value there.
pub fn refuse_old_keys(recipe: &Table) -> Result<()> {
    for Renamed { old, new, value } in RENAMED {
        let Some(found) = find(recipe, old) else { continue };
        let keys = new.join("` and `");
        match value(found) {
            Some(value) => {
                let lines: Vec<String> = new.iter().map(|key| format!("{key} = {value}")).collect();
                bail!("`{old}` is now `{keys}`: write {}", lines.join(" and "));
            }
            None => bail!("`{old}` is now `{keys}`"),
        }
    }
    Ok(())
}

/// Moves the values of earlier keys to their new ones, and says which.
///
/// # Errors
/// When an old value cannot be read.
pub fn rename_old_keys(recipe: &mut Table) -> Result<Vec<String>> {
    let mut renamed = Vec::new();
    for Renamed { old, new, value } in RENAMED {
        let Some(found) = take(recipe, old) else { continue };
        let text = found.to_string();
        let value = value(&found).with_context(|| format!("{old} = {text} cannot be read"))?;
        for key in *new {
            set_value(recipe, key, value.clone())?;
        }
        renamed.push(format!("{old} is now {}", new.join(" and ")));
    }
    // Earlier versions had one objective, which now has a name.
    if let Some(objective) = recipe.get_mut("objective").and_then(Value::as_table_mut) {
        objective.entry("kind").or_insert("alphamath".into());
    }
    Ok(renamed)
}

fn find<'a>(table: &'a Table, key: &str) -> Option<&'a Value> {
    match key.split_once('.') {
        Some((section, rest)) => find(table.get(section)?.as_table()?, rest),
        None => table.get(key),
    }
}

fn take(table: &mut Table, key: &str) -> Option<Value> {
    match key.split_once('.') {
        Some((section, rest)) => take(table.get_mut(section)?.as_table_mut()?, rest),
        None => table.remove(key),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_keys_are_refused_by_their_new_name_and_moved() {
        let mut recipe: Table =
            "[rounds]\ndata = \"latest\"\n[labels]\nkind = \"q_value\"\nmax_correct = 2\n[training]\nbeta = 0.2\nobservation_loss = false"
                .parse()
                .unwrap();
        let error = refuse_old_keys(&recipe).unwrap_err().to_string();
        assert!(
            error.contains("`labels.max_correct` is now `labels.paths.max_correct`"),
            "{error}"
        );
        assert_eq!(rename_old_keys(&mut recipe).unwrap().len(), 4);
        let expected: Table =
            "[rounds]\nwindow = 1\n[labels]\nkind = \"q_value\"\n[labels.paths]\nmax_correct = 2\n\
             [training]\n[objective]\nkind = \"alphamath\"\nbeta = 0.2\nobservation_loss = false\n\
             [bootstrap]\nobservation_loss = false"
                .parse()
                .unwrap();
        assert_eq!(recipe, expected);
        refuse_old_keys(&recipe).unwrap();
        let mut odd: Table = "[rounds]\ndata = \"some\"".parse().unwrap();
        let error = format!("{:#}", rename_old_keys(&mut odd).unwrap_err());
        assert!(error.contains("rounds.data = \"some\""), "{error}");
    }
}
