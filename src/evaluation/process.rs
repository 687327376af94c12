//! `process`: how well the value net finds the first wrong step of written solutions, as F1 of ProcessBench (arXiv 2412.06559).

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::measure::{Figures, Measure, Subject, own_file};
use super::record::Record;
use crate::report::{
    Proportion, RoundFiles, RoundsRow, Runs, Section, Table, mean_of_runs, percent,
};
use crate::seed;
use crate::verifier::formats::ProcessFormat;
use crate::verifier::process::{
    Metrics, Scored, Solution, best_threshold, both_kinds, metrics, score,
};
use crate::verifier::{Kept, Template};

/// Settings.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Process {
    /// Solutions with their first wrong step, under the names that tables give the files.
    pub files: BTreeMap<String, PathBuf>,
    /// The form of the rows.
    pub format: ProcessFormat,
    /// Values below this are called wrong, in [-1, 1]; absent: chosen on `validation`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f64>,
    /// Another file of the same form, on which the threshold of the best F1 is chosen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validation: Option<PathBuf>,
}

impl Measure for Process {
    const KEY: &'static str = "process";

    fn validate(&self) -> Result<()> {
        if self.files.is_empty() {
            bail!("files names no file");
        }
        if self.threshold.is_some_and(f64::is_nan) {
            bail!("threshold must be a number");
        }
        if self.threshold.is_some() == self.validation.is_some() {
            bail!("write either threshold or validation");
        }
        let measured = |path: &PathBuf| self.files.values().any(|file| file == path);
        if self.validation.as_ref().is_some_and(measured) {
            bail!("validation: a threshold that is chosen on a measured file itself says nothing");
        }
        Ok(())
    }

    fn measure(&self, subject: &Subject<'_>, _: &Record) -> Result<Figures> {
        let template = Template::of_environment(subject.environment);
        let validation = match &self.validation {
            Some(path) => self.format.read(path)?,
            None => Vec::new(),
        };
        let mut summary = Map::new();
        let (mut lines, mut notes, mut rows) = (Vec::new(), Vec::new(), Vec::new());
        for (name, path) in &self.files {
            let judge = Judge {
                template: &template,
                validation: validation.clone(),
                threshold: self.threshold,
                seed: seed::derive(subject.recipe.seed, &["process"]),
            };
            let out = own_file(subject.out, &format!("process-{name}"));
            let kept = out.as_deref().map(|out| Kept::new(out, subject.net));
            let solutions = self.format.read(path)?;
            let judged = judge
                .judge(subject.evaluator, solutions, kept.as_ref())
                .with_context(|| path.display().to_string())?;
            notes.extend(judged.measured.f1.map(|f1| format!("{name}, F1 {}", percent(f1))));
            let mut line = judged.object();
            summary.insert(name.clone(), Value::Object(line.clone()));
            line.insert("file".into(), json!(name));
            lines.push(Value::Object(line));
            rows.push((name.clone(), judged.measured));
        }
        let table = metrics_table(&rows);
        Ok(Figures { summary: Value::Object(summary), lines, table: Some(table), notes })
    }

    fn rows(runs: &Runs) -> Result<Vec<RoundsRow>> {
        let mut rows = Vec::new();
        for name in runs.names("evaluate", Self::KEY)? {
            let read = |round: &RoundFiles| {
                let files: Option<BTreeMap<String, Value>> = round.figure("evaluate", Self::KEY)?;
                Ok(files.as_ref().and_then(|files| f1_of(files.get(&name)?)))
            };
            let show = |found: Vec<Proportion>| Ok(mean_of_runs(&found).map(percent));
            let label = format!("F1 of first errors: {name}");
            rows.extend(runs.row(Section::Values, label, read, show)?);
        }
        Ok(rows)
    }
}

/// The F1 in an object of [`Judged::object`].
fn f1_of(object: &Value) -> Option<Proportion> {
    let interval = object.get("f1_interval")?;
    let (low, high) = (interval.get(0)?.as_f64()?, interval.get(1)?.as_f64()?);
    Some(Proportion { mean: object.get("f1")?.as_f64()?, low, high })
}

/// The choice of a threshold and what is measured at it.
pub struct Judge<'a> {
    /// The text in which the net is asked.
    pub template: &'a Template<'a>,
    /// Solutions on which a threshold is chosen.
    pub validation: Vec<Solution>,
    /// The threshold that is given.
    pub threshold: Option<f64>,
    /// Draws the resamples of F1's interval.
    pub seed: u64,
}

/// Solutions whose first wrong step the net was asked for.
pub struct Judged {
    /// Values below this are called wrong.
    pub threshold: f64,
    /// The metrics where the threshold was chosen.
    pub chosen: Option<Metrics>,
    /// The metrics of the measured solutions.
    pub measured: Metrics,
    /// Step ends that are longer than the net reads; they count as wrong.
    pub too_long: usize,
}

impl Judge<'_> {
    /// Values the steps of the solutions, and writes predictions to what keeps them.
    ///
    /// # Errors
    /// When the net fails, or no threshold can be chosen.
    pub fn judge(
        &self,
        evaluator: &dyn espalier_search::Evaluator,
        solutions: Vec<Solution>,
        kept: Option<&Kept<'_>>,
    ) -> Result<Judged> {
        if self.threshold.is_none() {
            both_kinds(self.validation.iter().map(|solution| solution.first_error))?;
        }
        let mut all = self.validation.clone();
        all.extend(solutions);
        let (all, too_long) = score(evaluator, self.template, &all, kept)?;
        if too_long > 0 {
            tracing::warn!(
                "{too_long} step ends are longer than the net reads; they count as wrong"
            );
        }
        let (validation, scored) = all.split_at(self.validation.len());
        let (threshold, chosen) = match self.threshold {
            Some(threshold) => (threshold, None),
            None => {
                let threshold = best_threshold(validation)?;
                (threshold, Some(metrics(validation, threshold, self.seed)))
            }
        };
        let measured = metrics(scored, threshold, self.seed);
        if let Some(kept) = kept {
            kept.write(scored.iter().map(|scored| prediction(scored, threshold)))?;
        }
        Ok(Judged { threshold, chosen, measured, too_long })
    }
}

impl Judged {
    /// As JSON.
    #[must_use]
    pub fn object(&self) -> Map<String, Value> {
        let mut object = Map::new();
        object.insert("schema".into(), json!("espalier.process/1"));
        object.extend(metrics_object(&self.measured));
        object.insert("threshold".into(), json!(self.threshold));
        object.insert("too_long".into(), json!(self.too_long));
        object.insert("validation".into(), self.chosen.as_ref().map(metrics_object).into());
        object
    }
}

/// Labels as ProcessBench has them: -1 for no wrong step.
fn label(step: Option<usize>) -> Value {
    step.map_or(json!(-1), |step| json!(step))
}

fn prediction(scored: &Scored, threshold: f64) -> Value {
    json!({
        "schema": "espalier.process_prediction/1",
        "id": scored.id,
        "label": label(scored.first_error),
        "prediction": label(scored.prediction(threshold)),
        "values": scored.values,
    })
}

fn metrics_object(metrics: &Metrics) -> Map<String, Value> {
    let Metrics { n, n_error, n_correct, accuracy_error, accuracy_correct, f1 } = metrics;
    let mut object = Map::new();
    for (name, share) in
        [("accuracy_error", accuracy_error), ("accuracy_correct", accuracy_correct), ("f1", f1)]
    {
        object.insert(name.into(), share.map(|share| share.mean).into());
        let interval = share.map(|share| vec![share.low, share.high]);
        object.insert(format!("{name}_interval"), interval.into());
    }
    for (name, count) in [("n", n), ("n_error", n_error), ("n_correct", n_correct)] {
        object.insert(name.into(), json!(count));
    }
    object
}

/// A row for each of these solutions.
#[must_use]
pub fn metrics_table(rows: &[(String, Metrics)]) -> Table {
    let mut table = Table::new([
        "solutions",
        "n",
        "% found, with an error",
        "% passed, without",
        "F1",
        "95 % interval of F1",
    ]);
    let share = |share: Option<Proportion>| {
        share.map_or("–".to_owned(), |share| format!("{:.1}", 100.0 * share.mean))
    };
    for (name, metrics) in rows {
        table.push([
            name.clone(),
            format!("{} + {}", metrics.n_error, metrics.n_correct),
            share(metrics.accuracy_error),
            share(metrics.accuracy_correct),
            share(metrics.f1),
            metrics.f1.map_or("–".to_owned(), |f1| {
                format!("[{:.1}, {:.1}]", 100.0 * f1.low, 100.0 * f1.high)
            }),
        ]);
    }
    table
}
