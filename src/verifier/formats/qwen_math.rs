//! The output of Qwen2.5-Math's evaluation.

use std::path::Path;

use anyhow::{Result, ensure};
use serde::Deserialize;
use serde_json::Value;

use super::text_of;
use crate::data::{self, Place};
use crate::verifier::votes::{Sample, Sampled};

#[derive(Deserialize)]
struct Row {
    question: String,
    gt: Value,
    code: Vec<String>,
    pred: Vec<Value>,
    score: Option<Vec<bool>>,
    pred_score: Option<Vec<Value>>,
}

pub(super) fn read(path: &Path) -> Result<Vec<Sampled>> {
    data::typed_rows(path)?.into_iter().map(problem).collect()
}

fn problem((place, row): (Place, Row)) -> Result<Sampled> {
    let n = row.code.len();
    let lengths = [
        ("pred", row.pred.len()),
        ("score", row.score.as_ref().map_or(n, Vec::len)),
        ("pred_score", row.pred_score.as_ref().map_or(n, Vec::len)),
    ];
    for (key, length) in lengths {
        ensure!(length == n, "{place}: `{key}` has {length} entries for {n} in `code`");
    }
    let mut samples = Vec::with_capacity(n);
    for (index, text) in row.code.into_iter().enumerate() {
        let score = match row.pred_score.as_ref().map(|scores| &scores[index]) {
            None => None,
            // A process reward model's list has a score a step; the last one is the whole solution's.
            Some(Value::Array(scores)) => scores.last().and_then(Value::as_f64),
            Some(score) => score.as_f64(),
        };
        ensure!(
            score.is_some() || row.pred_score.is_none(),
            "{place}: `pred_score` of sample {} is no number",
            index + 1
        );
        let answer = text_of(&place, "pred", &row.pred[index])?;
        let correct = row.score.as_ref().map(|score| score[index]);
        samples.push(Sample { text, answer, score, correct });
    }
    let answer = text_of(&place, "gt", &row.gt)?;
    Ok(Sampled { place, question: row.question, answer, samples })
}
