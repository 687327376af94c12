//! `votes`: answers chosen from a file of sampled solutions that the value net scores.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::measure::{Figures, Measure, Subject, own_file};
use super::recipe::listed_once;
use super::record::Record;
use crate::report::{
    Proportion, RoundFiles, RoundsRow, Runs, Section, Table, mean_of_runs, percent,
};
use crate::verifier::formats::SamplesFormat;
use crate::verifier::votes::{
    Accuracy, Ballot, Method, Sampled, Weight, agreement, measure, score,
};
use crate::verifier::{Kept, Template};

/// Settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Votes {
    /// Problems with sampled solutions, under the names that tables give the files.
    pub files: BTreeMap<String, PathBuf>,
    /// The form of the rows.
    pub format: SamplesFormat,
    /// What a value counts for in a vote.
    pub weight: Weight,
    /// Chooses among the first so many samples of each problem; empty: among all.
    pub samples: Vec<usize>,
}

impl Default for Votes {
    fn default() -> Self {
        Self {
            files: BTreeMap::new(),
            format: SamplesFormat::default(),
            weight: Weight::Value,
            samples: Vec::new(),
        }
    }
}

impl Measure for Votes {
    const KEY: &'static str = "votes";

    fn validate(&self) -> Result<()> {
        if self.files.is_empty() {
            bail!("files names no file");
        }
        check_samples(&self.samples).context("samples")
    }

    fn measure(&self, subject: &Subject<'_>, _: &Record) -> Result<Figures> {
        let template = Template::of_environment(subject.environment);
        let mut summary = Map::new();
        let (mut lines, mut notes, mut rows) = (Vec::new(), Vec::new(), Vec::new());
        for (name, path) in &self.files {
            let mut problems = self.format.read(path, template.next_question())?;
            let out = own_file(subject.out, &format!("votes-{name}"));
            let kept = out.as_deref().map(|out| Kept::new(out, subject.net));
            let of = || path.display().to_string();
            score_by_net(subject.evaluator, &template, &mut problems, kept.as_ref())
                .with_context(of)?;
            let counted = Counted::new(&problems, &self.samples, self.weight).with_context(of)?;
            let objects = counted.objects(true, self.weight);
            let best = counted.measured.iter().find(|row| row.method == Method::WeightedVote);
            notes
                .extend(best.map(|row| format!("{name}, weighted vote {}", percent(row.accuracy))));
            summary.insert(name.clone(), json!(objects));
            lines.extend(objects.into_iter().map(|mut object| {
                object["file"] = json!(name);
                object
            }));
            rows.push((name.clone(), counted));
        }
        let table = votes_table(rows.iter().map(|(name, counted)| (Some(name.as_str()), counted)));
        Ok(Figures { summary: Value::Object(summary), lines, table: Some(table), notes })
    }

    fn rows(runs: &Runs) -> Result<Vec<RoundsRow>> {
        let mut rows = Vec::new();
        for name in runs.names("evaluate", Self::KEY)? {
            let choice = |row: KeptRow| (row.method, row.samples);
            let choices = runs
                .listed(|round| Ok(kept_rows(round, &name)?.into_iter().map(choice).collect()))?;
            for (method, samples) in choices {
                let read = |round: &RoundFiles| {
                    let row = kept_rows(round, &name)?
                        .into_iter()
                        .find(|row| (row.method, row.samples) == (method, samples));
                    let share = |KeptRow { accuracy, low, high, .. }| Proportion {
                        mean: accuracy,
                        low,
                        high,
                    };
                    Ok(row.map(share))
                };
                let show = |found: Vec<Proportion>| Ok(mean_of_runs(&found).map(percent));
                let of = samples.map_or_else(String::new, |samples| format!(" of {samples}"));
                let label = format!("{name}: {}{of}", method.name());
                rows.extend(runs.row(Section::Answers, label, read, show)?);
            }
        }
        Ok(rows)
    }
}

/// Checks the numbers of samples that answers are chosen from.
///
/// # Errors
/// When one is 0 or listed twice.
pub fn check_samples(samples: &[usize]) -> Result<()> {
    ensure!(!samples.contains(&0), "an answer is chosen from at least 1, not 0");
    listed_once(samples)
}

/// A row of a summary.
#[derive(Deserialize)]
struct KeptRow {
    method: Method,
    samples: Option<usize>,
    accuracy: f64,
    low: f64,
    high: f64,
}

fn kept_rows(round: &RoundFiles, name: &str) -> Result<Vec<KeptRow>> {
    let files: Option<BTreeMap<String, Vec<KeptRow>>> = round.figure("evaluate", Votes::KEY)?;
    Ok(files.and_then(|mut files| files.remove(name)).unwrap_or_default())
}

/// Scores samples by the net, warns of those that it cannot read, and writes the scored problems to what keeps them.
///
/// # Errors
/// When the net fails, or a file cannot be written.
pub fn score_by_net(
    evaluator: &dyn espalier_search::Evaluator,
    template: &Template<'_>,
    problems: &mut [Sampled],
    kept: Option<&Kept<'_>>,
) -> Result<()> {
    let too_long = score(evaluator, template, problems, kept)?;
    if too_long > 0 {
        tracing::warn!("{too_long} samples are longer than the net reads; they count as wrong");
    }
    kept.map_or(Ok(()), |kept| kept.write(problems.iter().map(Sampled::row)))
}

/// Problems whose samples were voted on.
pub struct Counted {
    /// Each way to choose, for each number of samples.
    pub measured: Vec<Accuracy>,
    /// Problems.
    pub n: usize,
    /// How many samples are graded as the file itself grades them, and how many it grades.
    pub agreement: Option<[usize; 2]>,
}

impl Counted {
    /// Chooses among the first of the samples for each of these numbers; among all when there is none.
    ///
    /// # Errors
    /// As [`Ballot::new`] and [`measure`].
    pub fn new(problems: &[Sampled], samples: &[usize], weight: Weight) -> Result<Self> {
        let ballots = problems.iter().map(Ballot::new).collect::<Result<Vec<_>>>()?;
        if !ballots.iter().any(Ballot::has_scores) {
            tracing::warn!(
                "no sample has a score: there is nothing to choose the best or weigh votes by"
            );
        }
        let mut measured = Vec::new();
        if samples.is_empty() {
            measured = measure(&ballots, None, weight)?;
        }
        for k in samples {
            measured.extend(measure(&ballots, Some(*k), weight)?);
        }
        let agreement = agreement(problems, &ballots);
        Ok(Self { measured, n: ballots.len(), agreement })
    }

    /// As JSON, one object a way to choose.
    #[must_use]
    pub fn objects(&self, by_net: bool, weight: Weight) -> Vec<Value> {
        let object = |row: &Accuracy| {
            json!({
                "schema": "espalier.votes/1",
                "method": row.method,
                "samples": row.samples,
                "accuracy": row.accuracy.mean,
                "low": row.accuracy.low,
                "high": row.accuracy.high,
                "n": self.n,
                "scores": if by_net { "net" } else { "file" },
                "weight": weight,
                "graded_as_in_file": self.agreement.map(|[same, of]| json!({ "same": same, "of": of })),
            })
        };
        self.measured.iter().map(object).collect()
    }
}

/// A row for each way to choose; with the file's name where it has one.
#[must_use]
pub fn votes_table<'a>(files: impl IntoIterator<Item = (Option<&'a str>, &'a Counted)>) -> Table {
    let mut table = Table::new(["choice", "samples", "% right", "95 % interval", "n"]);
    for (name, counted) in files {
        for Accuracy { method, samples, accuracy } in &counted.measured {
            let method = method.name();
            table.push([
                name.map_or_else(|| method.to_owned(), |name| format!("{name}: {method}")),
                samples.map_or("–".into(), |samples| samples.to_string()),
                format!("{:.1}", 100.0 * accuracy.mean),
                format!("[{:.1}, {:.1}]", 100.0 * accuracy.low, 100.0 * accuracy.high),
                counted.n.to_string(),
            ]);
        }
    }
    table
}
