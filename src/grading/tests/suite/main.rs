//! Pairs of answers by category, and texts that must not break the grader.

mod answers;
mod hostile;

use serde_json::Value;

/// Pairs with their verdicts.
const PAIRS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/data/grading/pairs.jsonl");

fn rows(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn string<'a>(row: &'a Value, key: &str) -> &'a str {
    row[key].as_str().unwrap_or_else(|| panic!("{key} in {row}"))
}
