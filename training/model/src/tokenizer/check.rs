//! What the `tokenizers` library takes for granted of a `tokenizer.json`: where it is not so, the library fills memory.

use serde_json::Value;

/// Far beyond any vocabulary; the library makes a list of all ids below the largest that no token has.
const MOST_IDS: u64 = 1 << 22;

/// Checks a file before the library reads it; returns what it holds.
///
/// # Errors
/// Says what is wrong.
pub(super) fn file(bytes: &[u8]) -> Result<Value, String> {
    let json: Value =
        serde_json::from_slice(bytes).map_err(|error| format!("not JSON: {error}"))?;
    let model = &json["model"];
    let added = json["added_tokens"].as_array().into_iter().flatten().map(|token| &token["id"]);
    let vocabulary = model["vocab"].as_object().into_iter().flatten().map(|(_, id)| id);
    if let Some(id) = added.chain(vocabulary).find(|id| id.as_u64() >= Some(MOST_IDS)) {
        return Err(format!("a token has id {id}; ids below {MOST_IDS} are supported"));
    }
    Ok(json)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_library_cannot_read_is_refused() {
        let with =
            |model: &str| file(format!(r#"{{"added_tokens": [], "model": {model}}}"#).as_bytes());
        for good in [r#"{}"#, r#"{"vocab": {"a": 0, "b": 4194303}}"#, r#"{"vocab": [["a", 0.5]]}"#]
        {
            assert!(with(good).is_ok(), "{good}");
        }
        for (bad, part) in [("", "not JSON"), (r#"{"vocab": {"a": 4294967295}}"#, "id 4294967295")]
        {
            let error = with(bad).unwrap_err();
            assert!(error.contains(part), "{bad}: {error}");
        }
        let added = file(br#"{"added_tokens": [{"id": 4194304}], "model": {}}"#);
        assert!(added.unwrap_err().contains("id 4194304"));
    }
}
