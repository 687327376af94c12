//! What a message shows of a row, on one line of a terminal.

use serde_json::{Map, Value};

/// Most characters of a value.
const VALUE: usize = 60;
/// Most characters of a row's keys.
const KEYS: usize = 120;

/// The beginning of a value.
pub(super) fn value(value: &Value) -> String {
    one_line(&value.to_string(), VALUE)
}

/// The beginning of a text that is no row.
pub(super) fn text(text: &str) -> String {
    one_line(text.trim(), VALUE)
}

/// What keys a row has.
pub(super) fn keys(row: &Map<String, Value>) -> String {
    if row.is_empty() {
        return "the row is empty".to_owned();
    }
    let keys: Vec<&str> = row.keys().map(String::as_str).collect();
    format!("the row has {}", one_line(&keys.join(", "), KEYS))
}

/// The text with unprintable characters as escapes, cut with an ellipsis behind `width` characters.
fn one_line(text: &str, width: usize) -> String {
    let visible = |character: char| match character {
        '"' | '\'' | '\\' => character.to_string(),
        character => character.escape_debug().collect(),
    };
    let mut line: Vec<char> =
        text.chars().take(width + 1).flat_map(|c| visible(c).chars().collect::<Vec<_>>()).collect();
    if line.len() > width {
        line.truncate(width - 1);
        line.push('…');
    }
    line.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn rows_are_shown_short_and_without_control_characters() {
        assert_eq!(value(&json!([1, "a\nb", {"c": null}])), r#"[1,"a\nb",{"c":null}]"#);
        assert_eq!(value(&json!("\u{1b}[2J \u{202e}é")), r#""\u001b[2J \u{202e}é""#);
        let long = value(&json!("x".repeat(1000)));
        assert!(long.chars().count() == VALUE && long.ends_with("x…"), "{long}");
        assert_eq!(text(" \u{7}no row\n"), r"\u{7}no row");
        let row = |keys: &[&str]| keys.iter().map(|key| ((*key).to_owned(), json!(1))).collect();
        assert_eq!(keys(&row(&["question", "a\rb"])), r"the row has question, a\rb");
        assert_eq!(keys(&row(&[])), "the row is empty");
        assert!(keys(&row(&["k".repeat(500).as_str()])).chars().count() < 140);
    }
}
