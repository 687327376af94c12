//! Samples with their texts, answers and scores.

use std::path::Path;

use anyhow::Result;
use serde::Deserialize;
use serde_json::Value;

use super::text_of;
use crate::data::{self, Place};
use crate::grading::{extract, until};
use crate::verifier::votes::{Sample, Sampled};

#[derive(Deserialize)]
struct Row {
    question: String,
    answer: Value,
    samples: Vec<SampleRow>,
}

#[derive(Deserialize)]
struct SampleRow {
    #[serde(default)]
    text: String,
    answer: Option<Value>,
    score: Option<f64>,
}

pub(super) fn read(path: &Path, next_question: Option<&str>) -> Result<Vec<Sampled>> {
    let rows = data::typed_rows(path)?.into_iter();
    rows.map(|(place, row)| problem(place, row, next_question)).collect()
}

fn problem(place: Place, row: Row, next_question: Option<&str>) -> Result<Sampled> {
    let mut samples = Vec::with_capacity(row.samples.len());
    for SampleRow { text, answer, score } in row.samples {
        let answer = match &answer {
            Some(answer) => text_of(&place, "samples.answer", answer)?,
            None => {
                extract(until(&text, next_question.as_slice())).unwrap_or_default().into_owned()
            }
        };
        samples.push(Sample { text, answer, score, correct: None });
    }
    let answer = text_of(&place, "answer", &row.answer)?;
    Ok(Sampled { place, question: row.question, answer, samples })
}
