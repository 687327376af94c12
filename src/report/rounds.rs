//! The table of a run, or of several runs of one recipe: accuracy by round and decoding, label quality by round.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::Value;

use super::{Auc, Table, proportion};
use crate::jsonl;
use crate::pipeline::Decoded;

/// Reads finished rounds of run directories and sets them side by side. Intervals are over problems and runs.
///
/// # Errors
/// When a directory holds no evaluated round, or the runs differ in problems or decodings.
pub fn rounds_table(runs: &[PathBuf]) -> Result<Table> {
    let runs: Vec<Run> = runs.iter().map(|path| Run::read(path)).collect::<Result<_>>()?;
    let first = runs.first().context("no run directory was given")?;
    let rounds = runs.iter().map(|run| run.rounds.len()).min().unwrap_or(0);
    let mut header = vec!["decoding".to_owned()];
    header.extend((0..rounds).map(|round| format!("round {round}, % right")));
    header.push("tokens a problem".into());
    let mut table = Table::new(header);
    for (source, measured) in &first.rounds[0].sources {
        let problems = measured.problems();
        for name in measured.decodings() {
            let mut row = vec![match source {
                Some(source) => format!("{source}: {name}"),
                None => name.clone(),
            }];
            let mut tokens = 0.0;
            for round in 0..rounds {
                let all: Vec<&Decodings> = runs
                    .iter()
                    .map(|run| run.rounds[round].source(source))
                    .collect::<Result<_>>()?;
                let cells: Vec<Vec<f64>> = all
                    .iter()
                    .map(|measured| measured.correct(&name, &problems))
                    .collect::<Result<_>>()?;
                let share = proportion(&cells);
                row.push(percent(share.mean, share.low, share.high));
                let spent: Vec<f64> =
                    all.iter().map(|measured| measured.tokens(&name)).collect::<Result<_>>()?;
                tokens = spent.iter().sum::<f64>() / spent.len() as f64;
            }
            row.push(format!("{tokens:.1}"));
            table.push(row);
        }
    }
    type Row = (&'static str, fn(&[Run], usize) -> String);
    let rows: [Row; 3] = [
        ("training problems solved, %", mean_solved),
        ("AUC of Q (labels)", |runs, round| mean_auc(runs, |run| run.rounds[round].q_auc)),
        ("AUC of the value net", |runs, round| mean_auc(runs, |run| run.rounds[round].value_auc)),
    ];
    for (label, cell) in rows {
        let cells: Vec<String> = (0..rounds).map(|round| cell(&runs, round)).collect();
        // What these problems do not have is left out.
        if cells.iter().any(|cell| cell != ABSENT) {
            table.push([&[label.to_owned()], &cells[..], &[String::new()]].concat());
        }
    }
    Ok(table)
}

/// A cell without a number.
const ABSENT: &str = "–";

fn percent(mean: f64, low: f64, high: f64) -> String {
    format!("{:.1} [{:.1}, {:.1}]", 100.0 * mean, 100.0 * low, 100.0 * high)
}

fn mean_solved(runs: &[Run], round: usize) -> String {
    let shares: Vec<f64> = runs.iter().filter_map(|run| run.rounds[round].solved).collect();
    if shares.is_empty() {
        return ABSENT.into();
    }
    format!("{:.1}", 100.0 * shares.iter().sum::<f64>() / shares.len() as f64)
}

/// Mean over runs; the interval treats the runs as independent.
fn mean_auc(runs: &[Run], pick: impl Fn(&Run) -> Option<Auc>) -> String {
    let found: Vec<Auc> = runs.iter().filter_map(pick).collect();
    if found.is_empty() {
        return ABSENT.into();
    }
    let count = found.len() as f64;
    let mean = found.iter().map(|auc| auc.auc).sum::<f64>() / count;
    let squares: f64 = found.iter().map(|auc| ((auc.high - auc.low) / 2.0).powi(2)).sum();
    let half = squares.sqrt() / count;
    format!("{mean:.3} ± {half:.3}")
}

struct Run {
    rounds: Vec<Round>,
}

struct Round {
    /// Of the held-out problems (no name) and of each other source.
    sources: BTreeMap<Option<String>, Decodings>,
    /// Share of the training problems that a tree solved.
    solved: Option<f64>,
    q_auc: Option<Auc>,
    value_auc: Option<Auc>,
}

/// A file of decoded problems.
struct Decodings {
    path: PathBuf,
    rows: Vec<Decoded>,
}

impl Run {
    fn read(path: &Path) -> Result<Self> {
        let rounds: Vec<Round> = (0..)
            .map(|round| path.join("rounds").join(round.to_string()))
            .take_while(|folder| folder.join("evaluate.json").exists())
            .map(|folder| Round::read(&folder))
            .collect::<Result<_>>()?;
        ensure!(!rounds.is_empty(), "{} holds no evaluated round", path.display());
        Ok(Self { rounds })
    }
}

impl Round {
    fn read(folder: &Path) -> Result<Self> {
        let others: Option<BTreeMap<String, IgnoredAny>> = summary(folder, "evaluate", "others")?;
        let mut sources = BTreeMap::new();
        sources.insert(None, Decodings::read(folder.join("evaluation.jsonl"))?);
        for name in others.unwrap_or_default().into_keys() {
            let path = folder.join(format!("evaluation-{name}.jsonl"));
            sources.insert(Some(name), Decodings::read(path)?);
        }
        let count = |key| summary::<f64>(folder, "search", key);
        let solved = count("solved")?.zip(count("problems")?);
        Ok(Self {
            sources,
            solved: solved.map(|(solved, problems)| solved / problems),
            q_auc: summary(folder, "harvest", "q_auc")?,
            value_auc: summary(folder, "evaluate", "value_auc")?,
        })
    }

    fn source(&self, name: &Option<String>) -> Result<&Decodings> {
        self.sources.get(name).with_context(|| {
            let held_out = &self.sources[&None].path;
            let name = name.as_deref().unwrap_or_default();
            format!(
                "nothing of {name} beside {}; the runs are not of one recipe",
                held_out.display()
            )
        })
    }
}

impl Decodings {
    fn read(path: PathBuf) -> Result<Self> {
        let rows: Vec<Decoded> = jsonl::read(&path)?;
        ensure!(!rows.is_empty(), "{} is empty", path.display());
        Ok(Self { path, rows })
    }

    /// Ids of the problems.
    fn problems(&self) -> Vec<String> {
        let first = &self.rows[0].decoding;
        let mut problems: Vec<String> = self.of(first).map(|row| row.problem.clone()).collect();
        problems.sort();
        problems
    }

    /// In the order in which they were measured.
    fn decodings(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for row in &self.rows {
            if !names.contains(&row.decoding) {
                names.push(row.decoding.clone());
            }
        }
        names
    }

    fn of<'a>(&'a self, decoding: &'a str) -> impl Iterator<Item = &'a Decoded> {
        self.rows.iter().filter(move |row| row.decoding == decoding)
    }

    fn correct(&self, decoding: &str, problems: &[String]) -> Result<Vec<f64>> {
        let by_id: HashMap<&str, bool> =
            self.of(decoding).map(|row| (row.problem.as_str(), row.correct)).collect();
        if by_id.len() != problems.len() {
            bail!(
                "{}: {decoding} has {} problems where {} were expected; the runs are not of one recipe",
                self.path.display(),
                by_id.len(),
                problems.len()
            );
        }
        problems
            .iter()
            .map(|id| {
                let correct = by_id.get(id.as_str()).with_context(|| {
                    format!("{}: {decoding} has no problem {id}", self.path.display())
                })?;
                Ok(f64::from(u8::from(*correct)))
            })
            .collect()
    }

    fn tokens(&self, decoding: &str) -> Result<f64> {
        let (count, total) = self
            .of(decoding)
            .fold((0_u64, 0_u64), |(count, total), row| (count + 1, total + row.tokens));
        ensure!(count > 0, "{} has no {decoding}", self.path.display());
        Ok(total as f64 / count as f64)
    }
}

fn summary<T: DeserializeOwned>(folder: &Path, stage: &str, key: &str) -> Result<Option<T>> {
    let path = folder.join(format!("{stage}.json"));
    if !path.exists() {
        return Ok(None);
    }
    let text = fs::read_to_string(&path)?;
    let read = || -> serde_json::Result<Option<T>> {
        let mut value: Value = serde_json::from_str(&text)?;
        serde_json::from_value(value[key].take())
    };
    read().with_context(|| format!("{} is damaged", path.display()))
}
