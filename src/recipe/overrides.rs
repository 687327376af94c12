//! Changing single keys of a recipe: `--set search.c_puct=2`.

use anyhow::{Context, Result, bail};
use toml::{Table, Value};

/// Applies `dotted.key=value`. The value is read as TOML; what is not TOML is taken as a string.
///
/// # Errors
/// When it is not an assignment, or the path runs through a value that is no section.
pub fn set(table: &mut Table, assignment: &str) -> Result<()> {
    let (key, text) = assignment
        .split_once('=')
        .with_context(|| format!("--set {assignment}: write key=value, as in search.c_puct=2"))?;
    let value = format!("value = {text}")
        .parse::<Table>()
        .ok()
        .and_then(|mut table| table.remove("value"))
        .unwrap_or_else(|| Value::String(text.trim().to_owned()));
    set_value(table, key.trim(), value).with_context(|| format!("--set {assignment}"))
}

/// Sets the key at a dotted path, making sections on the way.
///
/// # Errors
/// When the path runs through a value that is no section.
pub fn set_value(table: &mut Table, key: &str, value: Value) -> Result<()> {
    let mut at = table;
    let mut path = key.split('.').peekable();
    while let Some(part) = path.next() {
        if part.is_empty() {
            bail!("`{key}` is not a key");
        }
        if path.peek().is_none() {
            at.insert(part.to_owned(), value);
            return Ok(());
        }
        let section = at.entry(part).or_insert_with(|| Value::Table(Table::new()));
        at = section
            .as_table_mut()
            .with_context(|| format!("`{part}` in `{key}` is a value, not a section"))?;
    }
    Ok(())
}

/// Lays one table over another; sections merge, values replace.
pub(super) fn merge(base: &mut Table, over: Table) {
    for (key, value) in over {
        match (base.get_mut(&key), value) {
            // A section of another kind shares no keys with the one below it.
            (Some(Value::Table(below)), Value::Table(above))
                if above.get("kind").is_none_or(|kind| below.get("kind") == Some(kind)) =>
            {
                merge(below, above);
            }
            (_, value) => {
                base.insert(key, value);
            }
        }
    }
}
