//! BIG-Bench-Mistake (arXiv 2311.08516).

use std::path::Path;

use anyhow::Result;
use serde::{Deserialize, Deserializer};

use super::checked;
use crate::data::{self, Place};
use crate::verifier::process::Solution;

#[derive(Deserialize)]
struct Row {
    input: String,
    steps: Vec<String>,
    // An absent key is no null: the row may be of another form.
    #[serde(deserialize_with = "null_or_number")]
    mistake_index: Option<i64>,
}

fn null_or_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    Option::deserialize(deserializer)
}

pub(super) fn read(path: &Path) -> Result<Vec<Solution>> {
    let solution = |(place, row): (Place, Row)| {
        let id = place.number().to_string();
        checked(&place, id, row.input, row.steps, row.mistake_index)
    };
    data::typed_rows(path)?.into_iter().map(solution).collect()
}
