//! ProcessBench (arXiv 2412.06559).

use std::path::Path;

use anyhow::Result;
use serde::Deserialize;
use serde_json::Value;

use super::checked;
use crate::data;
use crate::verifier::process::Solution;

#[derive(Deserialize)]
struct Row {
    id: Value,
    problem: String,
    steps: Vec<String>,
    label: i64,
}

pub(super) fn read(path: &Path) -> Result<Vec<Solution>> {
    let solution = |(place, row): (_, Row)| {
        let id = match row.id {
            Value::String(id) => id,
            other => other.to_string(),
        };
        let label = (row.label != -1).then_some(row.label);
        checked(&place, id, row.problem, row.steps, label)
    };
    data::typed_rows(path)?.into_iter().map(solution).collect()
}
