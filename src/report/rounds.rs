//! The table of a run, or of several runs of one recipe: rows of figures by round. It knows the files of a run; each kind of figures
//! brings its own rows.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, ensure};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::Value;

use super::{Auc, Plot, Proportion, Series, Table, mean, mean_of_runs};
use crate::usage::UsageError;

/// A cell without a number.
pub const ABSENT: &str = "–";

/// Finished rounds of runs of one recipe.
#[derive(Debug)]
pub struct Runs {
    runs: Vec<Vec<RoundFiles>>,
}

impl Runs {
    /// Finds the rounds of run directories.
    ///
    /// # Errors
    /// When a directory holds no evaluated round.
    pub fn open(paths: &[PathBuf]) -> Result<Self> {
        let runs: Vec<Vec<RoundFiles>> =
            paths.iter().map(|path| evaluated_rounds(path)).collect::<Result<_>>()?;
        ensure!(!runs.is_empty(), "no run directory was given");
        let runs = Self { runs };
        let last = runs.rounds() - 1;
        for (path, rounds) in paths.iter().zip(&runs.runs) {
            if rounds.len() > last + 1 {
                tracing::warn!(
                    "{} has more rounds: round {last} is the last that every run has finished",
                    path.display()
                );
            }
        }
        Ok(runs)
    }

    /// Rounds that every run has finished.
    #[must_use]
    pub fn rounds(&self) -> usize {
        self.runs.iter().map(Vec::len).min().unwrap_or(0)
    }

    /// A round of each run.
    pub fn round(&self, round: usize) -> impl Iterator<Item = &RoundFiles> {
        self.runs.iter().map(move |rounds| &rounds[round])
    }

    /// The sources of problems: the held-out ones (`None`), then the others by name.
    ///
    /// # Errors
    /// When a summary cannot be read.
    pub fn sources(&self) -> Result<Vec<Option<String>>> {
        let mut others = self.names("evaluate", "others")?;
        others.extend(self.names("evaluate", "pass_at_k_others")?);
        Ok(std::iter::once(None).chain(others.into_iter().map(Some)).collect())
    }

    /// The names under a key of a stage's summary, in any of the rounds.
    ///
    /// # Errors
    /// When a summary cannot be read.
    pub fn names(&self, stage: &str, key: &str) -> Result<BTreeSet<String>> {
        let mut names = BTreeSet::new();
        for round in self.runs.iter().flatten() {
            let found: Option<BTreeMap<String, IgnoredAny>> = round.figure(stage, key)?;
            names.extend(found.unwrap_or_default().into_keys());
        }
        Ok(names)
    }

    /// What `read` finds in every round of the runs, in their order, without repetition.
    ///
    /// # Errors
    /// The first round's.
    pub fn listed<T: PartialEq>(
        &self,
        read: impl Fn(&RoundFiles) -> Result<Vec<T>>,
    ) -> Result<Vec<T>> {
        let mut listed = Vec::new();
        for round in (0..self.rounds()).flat_map(|round| self.round(round)) {
            for found in read(round)? {
                if !listed.contains(&found) {
                    listed.push(found);
                }
            }
        }
        Ok(listed)
    }

    /// A figure of every run, by round; `None` where a run lacks it: a mean over the others would be of other runs than those beside
    /// it, and a warning says so.
    ///
    /// # Errors
    /// The first figure's that cannot be read.
    pub fn figures<T>(
        &self,
        label: &str,
        read: impl Fn(&RoundFiles) -> Result<Option<T>>,
    ) -> Result<Vec<Option<Vec<T>>>> {
        let mut lacks = None;
        let mut rounds = Vec::new();
        for round in 0..self.rounds() {
            let found: Vec<Option<T>> = self.round(round).map(&read).collect::<Result<_>>()?;
            let lacking = found.iter().position(Option::is_none);
            if let Some(lacking) = lacking.filter(|_| found.iter().any(Option::is_some)) {
                lacks = lacks.or(self.round(round).nth(lacking));
            }
            rounds.push(found.into_iter().collect());
        }
        if let Some(RoundFiles { folder }) = lacks {
            tracing::warn!(
                "{label}: {} has no such figure, and another run has it: there is no mean over the runs",
                folder.display()
            );
        }
        Ok(rounds)
    }

    /// A row whose cells show the figures of all runs; `None` when no cell has a number.
    ///
    /// # Errors
    /// The first figure's or cell's.
    pub fn row<T>(
        &self,
        section: Section,
        label: impl Into<String>,
        read: impl Fn(&RoundFiles) -> Result<Option<T>>,
        show: impl Fn(Vec<T>) -> Result<Option<String>>,
    ) -> Result<Option<RoundsRow>> {
        let label = label.into();
        let cells = self.figures(&label, read)?.into_iter();
        let cells = cells.map(|figures| figures.map_or(Ok(None), &show));
        let cells: Vec<Option<String>> = cells.collect::<Result<_>>()?;
        if cells.iter().all(Option::is_none) {
            return Ok(None);
        }
        let cells = cells.into_iter().map(|cell| cell.unwrap_or_else(|| ABSENT.to_owned()));
        Ok(Some(RoundsRow {
            section,
            label,
            cells: cells.collect(),
            tokens: None,
            curve: Vec::new(),
        }))
    }
}

/// The files of a finished round.
#[derive(Debug)]
pub struct RoundFiles {
    folder: PathBuf,
}

impl RoundFiles {
    /// A figure of a stage's summary; `None` where the stage, or the figure, is not there.
    ///
    /// # Errors
    /// Naming the file that is damaged.
    pub fn figure<T: DeserializeOwned>(&self, stage: &str, key: &str) -> Result<Option<T>> {
        let path = self.folder.join(format!("{stage}.json"));
        if !path.exists() {
            return Ok(None);
        }
        let text =
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let read = || -> serde_json::Result<Option<T>> {
            let mut value: Value = serde_json::from_str(&text)?;
            serde_json::from_value(value[key].take())
        };
        read().with_context(|| format!("{} is damaged", path.display()))
    }

    /// The record of the evaluation on a source's problems.
    #[must_use]
    pub fn record(&self, source: Option<&str>) -> PathBuf {
        self.folder.join(record_name(source))
    }
}

/// The file of a round that records the evaluation on the held-out problems, or on those of the source of this name.
#[must_use]
pub fn record_name(source: Option<&str>) -> String {
    match source {
        Some(name) => format!("evaluation-{name}.jsonl"),
        None => "evaluation.jsonl".to_owned(),
    }
}

/// A row's label with the source that it is of.
#[must_use]
pub fn label_of(source: Option<&str>, label: &str) -> String {
    source.map_or_else(|| label.to_owned(), |source| format!("{source}: {label}"))
}

/// Where a row stands in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Section {
    /// Answers to problems.
    Answers,
    /// Training trees and their labels.
    Labels,
    /// The value net.
    Values,
    /// The probe: the same problems searched alike after every round.
    Probe,
}

impl Section {
    /// What stands above its rows; nothing where each says itself what it is of.
    fn title(self) -> Option<&'static str> {
        match self {
            Self::Answers | Self::Labels | Self::Values => None,
            Self::Probe => Some("probe: validation problems, searched alike after every round"),
        }
    }
}

/// A row of figures by round.
#[derive(Debug, Clone, PartialEq)]
pub struct RoundsRow {
    /// Where it stands; rows of one section stay in their order.
    pub section: Section,
    /// The first cell.
    pub label: String,
    /// One cell a round.
    pub cells: Vec<String>,
    /// Sampled tokens a problem in the last round.
    pub tokens: Option<String>,
    /// The shares behind the cells, one a round, where the row is a curve of the plot.
    pub curve: Vec<Option<Proportion>>,
}

/// The rows that one kind of measure has for runs.
pub type RowsOf = fn(&Runs) -> Result<Vec<RoundsRow>>;

/// Sets the figures of finished rounds side by side; `kinds` bring the rows.
///
/// # Errors
/// When a directory holds no evaluated round, or the runs differ in problems or decodings.
pub fn rounds_table(paths: &[PathBuf], kinds: &[RowsOf]) -> Result<Table> {
    table_of(&Runs::open(paths)?, kinds)
}

/// As [`rounds_table`], of opened runs.
///
/// # Errors
/// When the runs differ in problems or decodings.
pub fn table_of(runs: &Runs, kinds: &[RowsOf]) -> Result<Table> {
    let mut header = vec!["decoding".to_owned()];
    header.extend((0..runs.rounds()).map(|round| format!("round {round}, % right")));
    header.push("tokens a problem".into());
    let mut rows = label_rows(runs)?;
    rows.extend(rows_of(runs, kinds)?);
    rows.sort_by_key(|row| row.section);
    let mut table = Table::new(&header);
    let mut last = None;
    for RoundsRow { section, label, cells, tokens, .. } in rows {
        let title = section.title().filter(|_| last != Some(section));
        if let Some(title) = title {
            table.push((0..header.len()).map(|cell| if cell == 0 { title } else { "" }));
        }
        last = Some(section);
        table.push([&[label], &cells[..], &[tokens.unwrap_or_default()]].concat());
    }
    Ok(table)
}

/// Draws accuracy by round, one curve a decoding, from the same rows as [`rounds_table`].
///
/// # Errors
/// As [`rounds_table`].
pub fn rounds_plot(paths: &[PathBuf], kinds: &[RowsOf]) -> Result<Plot> {
    let runs = Runs::open(paths)?;
    Ok(Plot {
        title: "Accuracy by round".to_owned(),
        x_label: "round".to_owned(),
        y_label: "share of problems answered right, 95 % interval".to_owned(),
        ticks: (0..runs.rounds()).map(|round| round.to_string()).collect(),
        series: rounds_curves(&runs, kinds)?,
    })
}

/// The curves of [`rounds_plot`], of opened runs.
///
/// # Errors
/// As [`table_of`].
pub fn rounds_curves(runs: &Runs, kinds: &[RowsOf]) -> Result<Vec<Series>> {
    let curves = rows_of(runs, kinds)?.into_iter().filter(|row| !row.curve.is_empty());
    let series = curves.map(|row| {
        let points = row.curve.iter().enumerate().filter_map(|(round, share)| {
            share.map(|share| (round as f64, share.mean, share.low, share.high))
        });
        Series { label: row.label, points: points.collect() }
    });
    Ok(series.collect())
}

fn rows_of(runs: &Runs, kinds: &[RowsOf]) -> Result<Vec<RoundsRow>> {
    let mut rows = Vec::new();
    for kind in kinds {
        rows.extend(kind(runs)?);
    }
    Ok(rows)
}

fn evaluated_rounds(path: &Path) -> Result<Vec<RoundFiles>> {
    let rounds: Vec<RoundFiles> = (0..)
        .map(|round| path.join("rounds").join(round.to_string()))
        .take_while(|folder| folder.join("evaluate.json").exists())
        .map(|folder| RoundFiles { folder })
        .collect();
    ensure!(!rounds.is_empty(), UsageError(anyhow!("{} holds no evaluated round", path.display())));
    Ok(rounds)
}

/// The training problems that trees solved, and the quality of the labels.
fn label_rows(runs: &Runs) -> Result<Vec<RoundsRow>> {
    let solved = |round: &RoundFiles| {
        let count = |key| round.figure::<f64>("search", key);
        Ok(count("solved")?.zip(count("problems")?).map(|(solved, problems)| solved / problems))
    };
    let percent = |shares: Vec<f64>| Ok(Some(format!("{:.1}", 100.0 * mean(&shares))));
    let rows = [
        runs.row(
            Section::Labels,
            "net taken on",
            |round| round.figure("gate", "taken"),
            |found: Vec<bool>| Ok(Some(taken(&found))),
        )?,
        runs.row(Section::Labels, "training problems solved, %", solved, percent)?,
        runs.row(
            Section::Labels,
            "AUC of Q (labels)",
            |round| round.figure("harvest", "q_auc"),
            |areas| Ok(area_of_runs(areas)),
        )?,
    ];
    Ok(rows.into_iter().flatten().collect())
}

/// Whether the gates took the round's own nets on.
fn taken(taken: &[bool]) -> String {
    let yes = taken.iter().filter(|&&taken| taken).count();
    match taken.len() {
        1 => if yes == 1 { "yes" } else { "no" }.to_owned(),
        runs => format!("{yes} of {runs}"),
    }
}

/// The mean area over runs with its interval, for a table.
#[must_use]
pub fn area_of_runs(areas: Vec<Auc>) -> Option<String> {
    let share = |auc: Auc| Proportion { mean: auc.auc, low: auc.low, high: auc.high };
    let mean = mean_of_runs(&areas.into_iter().map(share).collect::<Vec<_>>());
    mean.map(|mean| format!("{:.3} [{:.3}, {:.3}]", mean.mean, mean.low, mean.high))
}
