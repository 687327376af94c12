//! Answers chosen from samples: by majority (self-consistency, arXiv 2203.11171), by the best score (best-of-N, arXiv 2110.14168), and by
//! votes weighted with scores (arXiv 2206.02336).

mod ballot;

pub use ballot::{Accuracy, Ballot, Method, Weight, agreement, measure};

use anyhow::Result;
use espalier_search::Evaluator;
use serde_json::{Value, json};

use super::{Kept, Template, read_values};
use crate::data::Place;

/// A problem with sampled solutions.
#[derive(Debug, Clone, PartialEq)]
pub struct Sampled {
    /// Its row.
    pub place: Place,
    /// The question.
    pub question: String,
    /// The right answer.
    pub answer: String,
    /// At least one.
    pub samples: Vec<Sample>,
}

/// A sampled solution.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sample {
    /// The solution.
    pub text: String,
    /// Its answer; empty where it has none.
    pub answer: String,
    /// Higher is better.
    pub score: Option<f64>,
    /// What the file itself says of it.
    pub correct: Option<bool>,
}

impl Sampled {
    /// As a row of [`crate::verifier::formats::SamplesFormat::Samples`].
    #[must_use]
    pub fn row(&self) -> Value {
        let sample = |sample: &Sample| json!({ "text": sample.text, "answer": sample.answer, "score": sample.score });
        let samples: Vec<Value> = self.samples.iter().map(sample).collect();
        json!({ "question": self.question, "answer": self.answer, "samples": samples })
    }
}

/// Replaces the file's scores by the value net's: of the whole solution, read at its end. Says how many were too long to be read.
///
/// # Errors
/// When the evaluator fails, or what is kept is of other samples or another net.
pub fn score(
    evaluator: &dyn Evaluator,
    template: &Template<'_>,
    problems: &mut [Sampled],
    kept: Option<&Kept<'_>>,
) -> Result<usize> {
    let whole = |problem: &Sampled| {
        let end = |sample: &Sample| template.solution_end(&problem.question, &sample.text);
        problem.samples.iter().map(end).collect()
    };
    let contexts: Vec<_> = problems.iter().map(whole).collect::<Result<_>>()?;
    let read = read_values(evaluator, &contexts, "value samples", kept)?;
    for (problem, values) in problems.iter_mut().zip(read.values) {
        for (sample, value) in problem.samples.iter_mut().zip(values) {
            sample.score = Some(value);
        }
    }
    Ok(read.too_long)
}
