//! Files of written solutions: whose first wrong step is known ([`ProcessFormat`]), and of sampled ones ([`SamplesFormat`]). One file a
//! form; each is read from JSON Lines, a JSON array or Parquet.

mod bigbench_mistake;
mod evaluation;
mod processbench;
mod qwen_math;
mod samples;

use std::path::Path;

use anyhow::{Result, anyhow, bail, ensure};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::process::Solution;
use super::votes::{Sample, Sampled};
use crate::data::Place;
use crate::jsonl;

/// The form of rows whose first wrong step is known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub enum ProcessFormat {
    /// `{id, problem, steps, label}`: `label` is the first wrong step counted from 0, or -1.
    #[default]
    Processbench,
    /// BIG-Bench-Mistake's `{input, steps, mistake_index}`: `mistake_index` is the first wrong step counted from 0, or null (arXiv
    /// 2311.08516).
    BigbenchMistake,
}

impl ProcessFormat {
    /// Reads a file of solutions.
    ///
    /// # Errors
    /// Naming the file and the row that is not of the form, or whose label is no step.
    pub fn read(self, path: &Path) -> Result<Vec<Solution>> {
        match self {
            Self::Processbench => processbench::read(path),
            Self::BigbenchMistake => bigbench_mistake::read(path),
        }
    }
}

/// The form of rows with sampled solutions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub enum SamplesFormat {
    /// `{question, answer, samples: [{text, answer, score}]}`: a sample without `answer` has the one marked in its text, which ends where
    /// the prompt's mark of a next question stands; `score` may be left out.
    #[default]
    Samples,
    /// What Qwen2.5-Math's evaluation writes: `{question, gt, code, pred, score, pred_score}`, lists of one entry a sample; `score` says
    /// whether it is right, `pred_score` is the reward model's.
    QwenMath,
    /// The samples in a record of `espalier evaluate` or of a round (`evaluation.jsonl`); rows of decoded problems are passed over.
    Evaluation,
}

impl SamplesFormat {
    /// Reads a file of problems with samples. Answers are looked for in texts up to `next_question`, where a model goes on with one.
    ///
    /// # Errors
    /// Naming the file and the row that is not of the form.
    pub fn read(self, path: &Path, next_question: Option<&str>) -> Result<Vec<Sampled>> {
        let problems = match self {
            Self::Samples => samples::read(path, next_question)?,
            Self::QwenMath => qwen_math::read(path)?,
            Self::Evaluation => evaluation::read(path)?,
        };
        for Sampled { place, answer, samples, .. } in &problems {
            ensure!(!answer.trim().is_empty(), "{place}: the right answer is empty");
            ensure!(!samples.is_empty(), "{place}: there are no samples");
            let finite = |sample: &Sample| sample.score.is_none_or(f64::is_finite);
            ensure!(samples.iter().all(finite), "{place}: a score is no finite number");
        }
        Ok(problems)
    }
}

/// A solution whose label is one of its steps.
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

/// A text, a number as it is written, or nothing.
fn text_of(place: &Place, key: &str, value: &Value) -> Result<String> {
    let text = jsonl::text_or_number(value).map_err(|wrong| anyhow!("{place}: `{key}` {wrong}"))?;
    Ok(text.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn both_forms_are_read_and_foreign_labels_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.json");
        let read_text = |text: &str, format: ProcessFormat| {
            fs::write(&path, text).unwrap();
            format.read(&path).map_err(|error| error.to_string())
        };
        let row = |label: &str| {
            format!(
                "{{\"id\": \"a\", \"problem\": \"q\", \"steps\": [\"s\", \"t\"], \"label\": {label}}}"
            )
        };
        let solutions =
            read_text(&format!("[{}, {}]", row("1"), row("-1")), ProcessFormat::Processbench)
                .unwrap();
        assert_eq!((solutions[0].first_error, solutions[1].first_error), (Some(1), None));
        assert_eq!((solutions[0].id.as_str(), solutions[0].question.as_str()), ("a", "q"));
        for label in ["2", "-2", "null", "\"1\""] {
            let error =
                read_text(&format!("{}\n{}", row("0"), row(label)), ProcessFormat::Processbench)
                    .unwrap_err();
            assert!(error.contains("rows.json:2: "), "{error}");
        }
        let row = |rest: &str| format!("{{\"input\": \"q\", \"steps\": [\"s\"]{rest}}}");
        let text =
            format!("{}\n{}", row(", \"mistake_index\": 0"), row(", \"mistake_index\": null"));
        let solutions = read_text(&text, ProcessFormat::BigbenchMistake).unwrap();
        assert_eq!((solutions[0].first_error, solutions[1].first_error), (Some(0), None));
        let error =
            read_text(&format!("{}\n", row("")), ProcessFormat::BigbenchMistake).unwrap_err();
        assert!(error.contains("mistake_index"), "{error}");
        let error = read_text(
            "{\"input\": \"q\", \"steps\": [], \"mistake_index\": null}\n",
            ProcessFormat::BigbenchMistake,
        );
        assert!(error.unwrap_err().contains("`steps` is empty"));
    }

    fn samples_of(text: &str, format: SamplesFormat) -> Result<Vec<Sampled>, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.jsonl");
        fs::write(&path, text).unwrap();
        format.read(&path, Some("\nQ:")).map_err(|error| error.to_string())
    }

    #[test]
    fn an_answer_is_looked_for_before_the_next_question() {
        let row = r#"{"question": "q", "answer": "18", "samples": [{"text": "So\n#### 18\n\nQ: 1 + 1?\n#### 2"}, {"text": "Q: So?\n#### 3"}]}"#;
        let problem = samples_of(row, SamplesFormat::Samples).unwrap().remove(0);
        let answers: Vec<&str> = problem.samples.iter().map(|sample| &*sample.answer).collect();
        assert_eq!(answers, ["18", "3"]);
        assert!(problem.samples[0].text.ends_with("#### 2"));
    }

    #[test]
    fn the_form_of_qwen_math_is_read() {
        let row = r#"{"question": "q", "gt": "2", "code": ["a", "b"], "pred": ["2", "3"], "score": [true, false], "pred_score": [[0.5, 1.5], -1]}"#;
        let problem = samples_of(row, SamplesFormat::QwenMath).unwrap().remove(0);
        let scores: Vec<Option<f64>> = problem.samples.iter().map(|sample| sample.score).collect();
        assert_eq!(scores, [Some(1.5), Some(-1.0)]);
        assert_eq!(problem.samples[1].correct, Some(false));
        for (from, to, part) in [
            ("[\"2\", \"3\"]", "[\"2\"]", "`pred` has 1 entries for 2"),
            ("-1]", "null]", "`pred_score` of sample 2"),
            ("\"gt\": \"2\"", "\"gt\": null", "right answer is empty"),
            ("\"gt\": \"2\"", "\"gt\": [2]", "`gt` is neither"),
            ("\"gt\": \"2\",", "", "missing field `gt`"),
        ] {
            let error = samples_of(&row.replace(from, to), SamplesFormat::QwenMath).unwrap_err();
            assert!(error.contains("rows.jsonl") && error.contains(part), "{error}");
        }
        let none = r#"{"question": "q", "answer": "2", "samples": []}"#;
        assert!(samples_of(none, SamplesFormat::Samples).unwrap_err().contains("no samples"));
    }

    #[test]
    fn the_samples_of_a_record_are_read() {
        let step = |action: &str| {
            format!(
                "{{\"action\": \"{action}\", \"observation\": \"\\n\", \"prior\": 0.5, \"value\": null, \"q\": null, \"visits\": null}}"
            )
        };
        let set = format!(
            "{{\"schema\": \"espalier.samples/1\", \"draw\": {{\"stream\": \"maj@2\", \"count\": 2, \"values\": true}}, \"seed\": 0, \
             \"problem\": \"p\", \"question\": \"q\", \"answer\": \"2\", \"samples\": [{{\"correct\": true, \"answer\": \"2\", \"value\": 0.5, \
             \"tokens\": 4, \"steps\": [{}, {}]}}, {{\"correct\": false, \"answer\": null, \"value\": null, \"tokens\": 2, \"steps\": [{}]}}]}}",
            step("a"),
            step("b"),
            step("c")
        );
        let decoded = "{\"decoding\": \"maj@2\", \"seed\": 0, \"problem\": \"p\", \"answer\": \"2\", \"correct\": true, \"tokens\": 6, \"simulations\": 0}";
        let text = format!("{decoded}\n{set}\n");
        let problem = samples_of(&text, SamplesFormat::Evaluation).unwrap().remove(0);
        let [first, second] = &problem.samples[..] else { panic!("{problem:?}") };
        assert_eq!((first.text.as_str(), first.answer.as_str()), ("a\nb", "2"));
        assert_eq!((first.score, first.correct), (Some(0.5), Some(true)));
        // One without an answer cannot be chosen; a score it must have, as the others do.
        assert_eq!((second.answer.as_str(), second.score), ("", Some(-1.0)));
        let error = samples_of(&format!("{decoded}\n"), SamplesFormat::Evaluation).unwrap_err();
        assert!(error.contains("holds no samples"), "{error}");
    }
}
