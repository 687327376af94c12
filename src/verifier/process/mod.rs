//! ProcessBench (arXiv 2412.06559): find the first wrong step of a solution, or say that all are right.
//!
//! A step is called wrong when the value at its end is below a threshold; the prediction is the first such step. The accuracy on
//! solutions with an error (their first wrong step is found exactly) and the one on solutions without (nothing is called wrong) make F1,
//! their harmonic mean.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;
use espalier_search::Evaluator;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use serde::{Deserialize, Deserializer, Serialize};

use super::{Kept, Template, Values, read_values};
use crate::data::{self, Place};
use crate::report::{Proportion, proportion};

/// The form of the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub enum Format {
    /// `{id, problem, steps, label}`: `label` is the first wrong step counted from 0, or -1.
    Processbench,
    /// BIG-Bench-Mistake's `{input, steps, mistake_index}`: `mistake_index` is the first wrong step counted from 0, or null (arXiv
    /// 2311.08516).
    BigbenchMistake,
}

/// A solution whose first wrong step is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Solution {
    /// The source's own id, or the row.
    pub id: String,
    /// The question.
    pub question: String,
    /// At least one.
    pub steps: Vec<String>,
    /// The first wrong step, counted from 0; `None` when all are right.
    pub first_error: Option<usize>,
}

#[derive(Deserialize)]
struct ProcessBenchRow {
    id: serde_json::Value,
    problem: String,
    steps: Vec<String>,
    label: i64,
}

#[derive(Deserialize)]
struct MistakeRow {
    input: String,
    steps: Vec<String>,
    // An absent key is no null: the row may be of another form.
    #[serde(deserialize_with = "null_or_number")]
    mistake_index: Option<i64>,
}

fn null_or_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    Option::deserialize(deserializer)
}

/// Reads solutions from JSON Lines, a JSON array or Parquet.
///
/// # Errors
/// Naming the file and the row that is not of the form, or whose label is no step.
pub fn read(path: &Path, format: Format) -> Result<Vec<Solution>> {
    match format {
        Format::Processbench => {
            let solution = |place: &Place, row: ProcessBenchRow| {
                let id = match row.id {
                    serde_json::Value::String(id) => id,
                    other => other.to_string(),
                };
                let label = if row.label == -1 { None } else { Some(row.label) };
                checked(place, id, row.problem, row.steps, label)
            };
            let rows = data::typed_rows(path)?;
            rows.into_iter().map(|(place, row)| solution(&place, row)).collect()
        }
        Format::BigbenchMistake => {
            let solution = |place: &Place, row: MistakeRow| {
                let id = place.number().to_string();
                checked(place, id, row.input, row.steps, row.mistake_index)
            };
            let rows = data::typed_rows(path)?;
            rows.into_iter().map(|(place, row)| solution(&place, row)).collect()
        }
    }
}

fn checked(
    place: &Place,
    id: String,
    question: String,
    steps: Vec<String>,
    label: Option<i64>,
) -> Result<Solution> {
    ensure!(!steps.is_empty(), "{place}: `steps` is empty");
    let first_error = match label {
        None => None,
        Some(label) => match usize::try_from(label) {
            Ok(step) if step < steps.len() => Some(step),
            _ => {
                bail!("{place}: label {label} is none of the {} steps, counted from 0", steps.len())
            }
        },
    };
    Ok(Solution { id, question, steps, first_error })
}

/// A solution with the value net's opinion of each step.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Scored {
    /// [`Solution::id`].
    pub id: String,
    /// [`Solution::first_error`].
    pub first_error: Option<usize>,
    /// The value at the end of each step, in [-1, 1].
    pub values: Vec<f64>,
}

impl Scored {
    /// The first step whose value is below the threshold.
    #[must_use]
    pub fn prediction(&self, threshold: f64) -> Option<usize> {
        self.values.iter().position(|value| *value < threshold)
    }
}

/// Reads the value at the end of every step; also says how many step ends were too long to be read.
///
/// # Errors
/// When the evaluator fails, or what is kept is of other solutions or another net.
pub fn score(
    evaluator: &dyn Evaluator,
    template: &Template,
    solutions: &[Solution],
    kept: Option<&Kept<'_>>,
) -> Result<(Vec<Scored>, usize)> {
    let step_ends = |solution: &Solution| template.step_ends(&solution.question, &solution.steps);
    let contexts: Vec<_> = solutions.iter().map(step_ends).collect();
    let Values { values, too_long } = read_values(evaluator, &contexts, "value steps", kept)?;
    let scored = solutions.iter().zip(values).map(|(solution, values)| Scored {
        id: solution.id.clone(),
        first_error: solution.first_error,
        values,
    });
    Ok((scored.collect(), too_long))
}

/// How well first wrong steps are found at a threshold.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Metrics {
    /// Solutions.
    pub n: usize,
    /// Those with a wrong step.
    pub n_error: usize,
    /// Those without.
    pub n_correct: usize,
    /// Share of solutions with a wrong step whose first one is found exactly; absent without such solutions.
    pub accuracy_error: Option<Proportion>,
    /// Share of solutions without a wrong step in which none is called wrong; absent without such solutions.
    pub accuracy_correct: Option<Proportion>,
    /// Harmonic mean of the two, with a bootstrap interval; absent unless both are there.
    pub f1: Option<Proportion>,
}

/// Measures at a threshold. `seed` draws the resamples of F1's interval.
#[must_use]
pub fn metrics(scored: &[Scored], threshold: f64, seed: u64) -> Metrics {
    let hits = |with_error: bool| -> Vec<f64> {
        let kind = scored.iter().filter(|scored| scored.first_error.is_some() == with_error);
        let hit = |scored: &Scored| scored.prediction(threshold) == scored.first_error;
        kind.map(|scored| f64::from(u8::from(hit(scored)))).collect()
    };
    let (errors, corrects) = (hits(true), hits(false));
    let share = |hits: &[f64]| (!hits.is_empty()).then(|| proportion(&[hits.to_vec()]));
    let (accuracy_error, accuracy_correct) = (share(&errors), share(&corrects));
    let f1 = accuracy_error.zip(accuracy_correct).map(|(error, correct)| {
        let (low, high) = f1_interval(&errors, &corrects, seed);
        Proportion { mean: harmonic_mean(error.mean, correct.mean), low, high }
    });
    Metrics {
        n: scored.len(),
        n_error: errors.len(),
        n_correct: corrects.len(),
        accuracy_error,
        accuracy_correct,
        f1,
    }
}

fn harmonic_mean(a: f64, b: f64) -> f64 {
    if a + b > 0.0 { 2.0 * a * b / (a + b) } else { 0.0 }
}

/// The middle 95 % of F1 over resamples of either kind of solution.
fn f1_interval(errors: &[f64], corrects: &[f64], seed: u64) -> (f64, f64) {
    const RESAMPLES: usize = 2000;
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut resampled = |hits: &[f64]| {
        let sum: f64 = (0..hits.len()).map(|_| hits[rng.random_range(0..hits.len())]).sum();
        sum / hits.len() as f64
    };
    let mut scores: Vec<f64> =
        (0..RESAMPLES).map(|_| harmonic_mean(resampled(errors), resampled(corrects))).collect();
    scores.sort_by(f64::total_cmp);
    (scores[RESAMPLES / 40], scores[RESAMPLES - 1 - RESAMPLES / 40])
}

/// Counts solutions with a wrong step and without.
///
/// # Errors
/// When one of the kinds is absent: no threshold can be chosen on the other alone.
pub fn both_kinds(first_errors: impl IntoIterator<Item = Option<usize>>) -> Result<(usize, usize)> {
    let (mut n_error, mut n_correct) = (0, 0);
    for first_error in first_errors {
        *if first_error.is_some() { &mut n_error } else { &mut n_correct } += 1;
    }
    ensure!(
        n_error > 0 && n_correct > 0,
        "a threshold needs solutions with a wrong step and without; there are {n_error} and {n_correct}"
    );
    Ok((n_error, n_correct))
}

/// The threshold of the best F1, the lowest of equals.
///
/// Only a value below all earlier ones of its solution can be the first below a threshold. Going up through those values, each one
/// moves its solution's prediction to its own step.
///
/// # Errors
/// When solutions with an error or without are absent.
pub fn best_threshold(scored: &[Scored]) -> Result<f64> {
    let (n_error, n_correct) = both_kinds(scored.iter().map(|scored| scored.first_error))?;
    let mut minima: Vec<(f64, usize, usize)> = Vec::new();
    for (index, solution) in scored.iter().enumerate() {
        let mut least = f64::INFINITY;
        for (step, &value) in solution.values.iter().enumerate() {
            if value < least {
                least = value;
                minima.push((value, index, step));
            }
        }
    }
    minima.sort_by(|a, b| a.0.total_cmp(&b.0));
    let lowest = minima.first().context("no step has a value")?.0;
    let mut found = vec![false; scored.len()];
    let (mut errors, mut corrects) = (0_usize, n_correct);
    let mut called = vec![false; scored.len()];
    let mut best = (0.0, lowest);
    let mut at = 0;
    while at < minima.len() {
        let value = minima[at].0;
        while at < minima.len() && minima[at].0 == value {
            let (_, index, step) = minima[at];
            match scored[index].first_error {
                Some(first) => {
                    errors -= usize::from(found[index]);
                    found[index] = first == step;
                    errors += usize::from(found[index]);
                }
                None => corrects -= usize::from(!called[index]),
            }
            called[index] = true;
            at += 1;
        }
        let f1 = harmonic_mean(errors as f64 / n_error as f64, corrects as f64 / n_correct as f64);
        // Between this value and the next one up, so that rounding moves neither across.
        let threshold = minima
            .get(at)
            .map_or(value.next_up(), |next| value.midpoint(next.0).max(value.next_up()));
        if f1 > best.0 {
            best = (f1, threshold);
        }
    }
    Ok(best.1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use espalier_search::testing::AnswerEach;
    use espalier_search::{Evaluation, EvaluatorError, Request};
    use std::fs;

    fn scored(first_error: Option<usize>, values: &[f64]) -> Scored {
        Scored { id: String::new(), first_error, values: values.to_vec() }
    }

    /// Four solutions with an error and two without.
    fn example() -> Vec<Scored> {
        vec![
            scored(Some(1), &[0.9, -0.5, 0.8]),
            scored(Some(0), &[-0.2, -0.9]),
            scored(Some(2), &[0.5, 0.4, 0.1]),
            scored(Some(1), &[0.05, 0.6]),
            scored(None, &[0.7, 0.3]),
            scored(None, &[0.2, -0.1, 0.9]),
        ]
    }

    #[test]
    fn metrics_by_hand() {
        // Below 0: [1], [0], none (wrong), none (wrong); none (right), [1] (wrong).
        let Metrics { n, n_error, n_correct, accuracy_error, accuracy_correct, f1 } =
            metrics(&example(), 0.0, 1);
        assert_eq!((n, n_error, n_correct), (6, 4, 2));
        let (error, correct, f1) =
            (accuracy_error.unwrap(), accuracy_correct.unwrap(), f1.unwrap());
        assert_eq!((error.mean, correct.mean, f1.mean), (0.5, 0.5, 0.5));
        assert!(f1.low < 0.5 && f1.high > 0.5 && error.low < 0.5 && correct.high > 0.5);
        // Below -0.15: 2 of 4, 2 of 2: 2/3.
        assert!((metrics(&example(), -0.15, 1).f1.unwrap().mean - 2.0 / 3.0).abs() < 1e-12);
        // A value at the threshold is not below it.
        assert_eq!(scored(None, &[0.0]).prediction(0.0), None);
        let none = metrics(&example()[..4], 0.0, 1);
        assert!(none.accuracy_correct.is_none() && none.f1.is_none());
    }

    #[test]
    fn the_best_threshold_is_the_best_of_all() {
        let example = example();
        let f1 = |scored: &[Scored], threshold| metrics(scored, threshold, 1).f1.unwrap().mean;
        let best = best_threshold(&example).unwrap();
        // Values 0.9 -0.5 | -0.2 -0.9 | 0.5 0.4 0.1 | 0.05 0.6 | 0.7 0.3 | 0.2 -0.1: between -0.2 and -0.1 two errors are found
        // and nothing else is called wrong; from 0.1 to 0.2 three of four, and one of two.
        assert!(best > -0.2 && best <= -0.1, "{best}");
        // Against every threshold that there is, on values drawn at random with ties.
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        for _ in 0..200 {
            let drawn: Vec<Scored> = (0..8)
                .map(|index| {
                    let values: Vec<f64> =
                        (0..4).map(|_| f64::from(rng.random_range(-5_i32..=5)) / 5.0).collect();
                    scored((index % 3 > 0).then(|| rng.random_range(0..4)), &values)
                })
                .collect();
            let best = f1(&drawn, best_threshold(&drawn).unwrap());
            let all = (-11..=13).map(|tenth| f1(&drawn, f64::from(tenth) / 10.0));
            assert_eq!(best, all.fold(0.0, f64::max));
        }
        assert!(best_threshold(&example[..4]).unwrap_err().to_string().contains("4 and 0"));
    }

    #[test]
    fn both_forms_are_read_and_foreign_labels_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.json");
        let read_text = |text: &str, format| {
            fs::write(&path, text).unwrap();
            read(&path, format).map_err(|error| error.to_string())
        };
        let row = |label: &str| {
            format!(
                "{{\"id\": \"a\", \"problem\": \"q\", \"steps\": [\"s\", \"t\"], \"label\": {label}}}"
            )
        };
        let solutions =
            read_text(&format!("[{}, {}]", row("1"), row("-1")), Format::Processbench).unwrap();
        assert_eq!((solutions[0].first_error, solutions[1].first_error), (Some(1), None));
        assert_eq!((solutions[0].id.as_str(), solutions[0].question.as_str()), ("a", "q"));
        for label in ["2", "-2", "null", "\"1\""] {
            let error = read_text(&format!("{}\n{}", row("0"), row(label)), Format::Processbench)
                .unwrap_err();
            assert!(error.contains("rows.json:2: "), "{error}");
        }
        let row = |rest: &str| format!("{{\"input\": \"q\", \"steps\": [\"s\"]{rest}}}");
        let text =
            format!("{}\n{}", row(", \"mistake_index\": 0"), row(", \"mistake_index\": null"));
        let solutions = read_text(&text, Format::BigbenchMistake).unwrap();
        assert_eq!((solutions[0].first_error, solutions[1].first_error), (Some(0), None));
        let error = read_text(&format!("{}\n", row("")), Format::BigbenchMistake).unwrap_err();
        assert!(error.contains("mistake_index"), "{error}");
        let error = read_text(
            "{\"input\": \"q\", \"steps\": [], \"mistake_index\": null}\n",
            Format::BigbenchMistake,
        );
        assert!(error.unwrap_err().contains("`steps` is empty"));
    }

    /// Values a text by its last character but the delimiter, and reads no long one.
    fn by_last_digit(request: &Request) -> Result<Evaluation, EvaluatorError> {
        if request.context.len() > 20 {
            return Err(EvaluatorError::ContextTooLong { tokens: 21, limit: 20 });
        }
        let digit = request.context.trim_end().chars().last().and_then(|c| c.to_digit(10));
        Ok(Evaluation { proposals: vec![], value: f64::from(digit.unwrap()) / 10.0 })
    }

    #[test]
    fn values_are_read_at_step_ends_and_too_long_ones_count_as_wrong() {
        let solution = |steps: &[&str], first_error| Solution {
            id: "a".into(),
            question: "q".into(),
            steps: steps.iter().map(|step| (*step).to_owned()).collect(),
            first_error,
        };
        let template = Template::new("{question}\n", "\n").unwrap();
        let solutions = [
            solution(&["x 3", "y 1"], Some(1)),
            solution(&["long 2", "longer and longer 9"], None),
        ];
        let (scored, too_long) =
            score(&AnswerEach(by_last_digit), &template, &solutions, None).unwrap();
        assert_eq!(
            (&scored[0].values[..], &scored[1].values[..]),
            (&[0.3, 0.1][..], &[0.2, -1.0][..])
        );
        assert_eq!(too_long, 1);
    }
}
