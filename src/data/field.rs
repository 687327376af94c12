//! Fields of a row.

use serde_json::{Map, Number, Value};

use super::shown;

/// A field that is not there or not of its kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{field}` {message}")]
pub(super) struct FieldError {
    /// The field, as it is asked for.
    pub(super) field: String,
    /// What is wrong with it.
    pub(super) message: String,
}

impl FieldError {
    pub(super) fn new(field: &str, message: impl Into<String>) -> Self {
        Self { field: field.to_owned(), message: message.into() }
    }

    /// The error with what the row looks like: the beginning of the field's value, where it has one, and the row's keys.
    pub(super) fn of(&self, row: &Map<String, Value>) -> String {
        let value = lookup(row, &self.field).map(|value| format!(": {}", shown::value(value)));
        format!("{self}{}; {}", value.unwrap_or_default(), shown::keys(row))
    }
}

/// The value at a dotted path: `question`, `meta.question`, `choices.0.text`. A key that itself has dots goes before. `null` is as
/// good as absent.
pub(super) fn lookup<'a>(row: &'a Map<String, Value>, path: &str) -> Option<&'a Value> {
    if let Some(value) = row.get(path) {
        return Some(value).filter(|value| !value.is_null());
    }
    let mut parts = path.split('.');
    let mut value = row.get(parts.next()?)?;
    for part in parts {
        value = match value {
            Value::Object(fields) => fields.get(part)?,
            Value::Array(items) => items.get(part.parse::<usize>().ok()?)?,
            _ => return None,
        };
    }
    Some(value).filter(|value| !value.is_null())
}

/// The text of a field that must be there and not be empty.
pub(super) fn text(row: &Map<String, Value>, path: &str) -> Result<String, FieldError> {
    optional_text(row, path)?.ok_or_else(|| FieldError::new(path, "is missing or empty"))
}

/// The text of a field, without the white space around it; `None` where it is absent or empty.
pub(super) fn optional_text(
    row: &Map<String, Value>,
    path: &str,
) -> Result<Option<String>, FieldError> {
    let Some(value) = lookup(row, path) else { return Ok(None) };
    let text = match value {
        Value::String(text) => text.trim().to_owned(),
        Value::Number(number) => number_text(number),
        Value::Bool(truth) => truth.to_string(),
        _ => return Err(FieldError::new(path, "is neither a text nor a number")),
    };
    Ok(Some(text).filter(|text| !text.is_empty()))
}

/// A number as people write it: 43.0, as tables of floats have it, is 43.
pub(super) fn number_text(number: &Number) -> String {
    /// Beyond it a float no longer tells neighbouring whole numbers apart.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    match number.as_f64() {
        Some(value) if number.is_f64() && value.fract() == 0.0 && value.abs() < EXACT => {
            format!("{value:.0}")
        }
        Some(value) if number.is_f64() => value.to_string(),
        _ => number.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn row() -> Map<String, Value> {
        let Value::Object(row) = json!({
            "q": " text ", "empty": "", "none": null, "deep": {"list": [{"a": 1.5}], "a.b": 2},
            "a.b": true, "whole": 43.0, "half": 0.5, "minus": -0.25, "large": 1e300, "int": 12345678901234567u64,
        }) else {
            unreachable!()
        };
        row
    }

    #[test]
    fn dotted_paths_lead_into_objects_and_lists() {
        let row = row();
        let text = |path| optional_text(&row, path).unwrap();
        assert_eq!(text("q").as_deref(), Some("text"));
        assert_eq!(text("deep.list.0.a").as_deref(), Some("1.5"));
        assert_eq!(text("a.b").as_deref(), Some("true"));
        for absent in ["empty", "none", "deep.list.1.a", "deep.list.x", "q.a", "", "."] {
            assert_eq!(text(absent), None, "{absent}");
        }
        let error = optional_text(&row, "deep").unwrap_err().to_string();
        assert_eq!(error, "`deep` is neither a text nor a number");
        let error = super::text(&row, "empty").unwrap_err().of(&row);
        let keys = "q, empty, none, deep, a.b, whole, half, minus, large, int";
        assert_eq!(error, format!("`empty` is missing or empty: \"\"; the row has {keys}"));
        let error = super::text(&row, "deep.list").unwrap_err().of(&row);
        assert!(
            error.starts_with("`deep.list` is neither a text nor a number: [{\"a\":1.5}]; the")
        );
    }

    #[test]
    fn whole_floats_lose_their_point() {
        let row = row();
        for (path, expected) in
            [("whole", "43"), ("half", "0.5"), ("minus", "-0.25"), ("int", "12345678901234567")]
        {
            assert_eq!(text(&row, path).unwrap(), expected);
        }
        assert!(text(&row, "large").unwrap().starts_with('1'));
    }
}
