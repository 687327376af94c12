//! The sampled solutions in the record of an evaluation (`evaluation.jsonl`).

use std::path::Path;

use anyhow::{Result, anyhow, ensure};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::data;
use crate::verifier::votes::{Sample, Sampled};

/// Of the form `espalier.samples/1` the parts that are read here.
#[derive(Deserialize)]
struct Row {
    question: String,
    answer: String,
    draw: Draw,
    samples: Vec<Solution>,
}

#[derive(Deserialize)]
struct Draw {
    count: usize,
    values: bool,
}

#[derive(Deserialize)]
struct Solution {
    correct: bool,
    answer: Option<String>,
    value: Option<f64>,
    steps: Vec<Step>,
}

#[derive(Deserialize)]
struct Step {
    action: String,
    observation: String,
}

pub(super) fn read(path: &Path) -> Result<Vec<Sampled>> {
    let mut problems = Vec::new();
    for (place, row) in data::typed_rows::<Map<String, Value>>(path)? {
        if !row.contains_key("samples") {
            continue;
        }
        let Row { question, answer, draw, samples } = serde_json::from_value(Value::Object(row))
            .map_err(|error| anyhow!("{place}: {error}"))?;
        let mut samples: Vec<Sample> =
            samples.into_iter().map(|solution| sample(solution, draw.values)).collect();
        // None where the net could not read the problem: as many without an answer.
        let none = Sample {
            score: draw.values.then_some(-1.0),
            correct: Some(false),
            ..Sample::default()
        };
        samples.resize(draw.count, none);
        problems.push(Sampled { place, question, answer, samples });
    }
    ensure!(
        !problems.is_empty(),
        "{} holds no samples: no measure of that evaluation reads any",
        path.display()
    );
    Ok(problems)
}

/// A solution as one text. One without an answer was not valued: it counts as -1 beside those that were.
fn sample(solution: Solution, valued: bool) -> Sample {
    let steps = solution.steps.iter();
    let text: String =
        steps.flat_map(|step| [step.action.as_str(), step.observation.as_str()]).collect();
    Sample {
        text: text.trim_end().to_owned(),
        answer: solution.answer.unwrap_or_default(),
        score: valued.then(|| solution.value.unwrap_or(-1.0)),
        correct: Some(solution.correct),
    }
}
