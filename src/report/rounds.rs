//! The table of a run, or of several runs of one recipe: accuracy by round and decoding, label quality by round.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
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
    let names = first.rounds[0].decodings();

    let mut header = vec!["decoding".to_owned()];
    header.extend((0..rounds).map(|round| format!("round {round}, % right")));
    header.push("tokens a problem".into());
    let mut table = Table::new(header);
    for name in names {
        let mut row = vec![name.clone()];
        let mut tokens = 0.0;
        for round in 0..rounds {
            let cells: Vec<Vec<f64>> = runs
                .iter()
                .map(|run| run.rounds[round].correct(&name, &first.problems))
                .collect::<Result<_>>()?;
            let share = proportion(&cells);
            row.push(percent(share.mean, share.low, share.high));
            let spent: Result<Vec<f64>> =
                runs.iter().map(|run| run.rounds[round].tokens(&name)).collect();
            let spent = spent?;
            tokens = spent.iter().sum::<f64>() / spent.len() as f64;
        }
        row.push(format!("{tokens:.1}"));
        table.push(row);
    }
    for (label, pick) in [
        ("AUC of Q (labels)", (|round: &Round| round.q_auc) as fn(&Round) -> Option<Auc>),
        ("AUC of the value net", |round: &Round| round.value_auc),
    ] {
        let mut row = vec![label.to_owned()];
        for round in 0..rounds {
            let found: Vec<Auc> = runs.iter().filter_map(|run| pick(&run.rounds[round])).collect();
            row.push(mean_auc(&found));
        }
        row.push(String::new());
        table.push(row);
    }
    Ok(table)
}

fn percent(mean: f64, low: f64, high: f64) -> String {
    format!("{:.1} [{:.1}, {:.1}]", 100.0 * mean, 100.0 * low, 100.0 * high)
}

/// Mean over runs; the interval treats the runs as independent.
fn mean_auc(found: &[Auc]) -> String {
    if found.is_empty() {
        return "–".into();
    }
    let count = found.len() as f64;
    let mean = found.iter().map(|auc| auc.auc).sum::<f64>() / count;
    let squares: f64 = found.iter().map(|auc| ((auc.high - auc.low) / 2.0).powi(2)).sum();
    let half = squares.sqrt() / count;
    format!("{mean:.3} ± {half:.3}")
}

struct Run {
    /// Ids of the held-out problems, in file order.
    problems: Vec<String>,
    rounds: Vec<Round>,
}

struct Round {
    path: PathBuf,
    rows: Vec<Decoded>,
    q_auc: Option<Auc>,
    value_auc: Option<Auc>,
}

impl Run {
    fn read(path: &Path) -> Result<Self> {
        let rounds: Vec<Round> = (0..)
            .map(|round| path.join("rounds").join(round.to_string()))
            .take_while(|folder| folder.join("evaluate.json").exists())
            .map(|folder| Round::read(&folder))
            .collect::<Result<_>>()?;
        ensure!(!rounds.is_empty(), "{} holds no evaluated round", path.display());
        let first = &rounds[0].rows[0].decoding;
        let problems = rounds[0]
            .rows
            .iter()
            .filter(|row| row.decoding == *first)
            .map(|row| row.problem.clone());
        let mut problems: Vec<String> = problems.collect();
        problems.sort();
        Ok(Self { problems, rounds })
    }
}

impl Round {
    fn read(folder: &Path) -> Result<Self> {
        let path = folder.join("evaluation.jsonl");
        let rows: Vec<Decoded> = jsonl::read(&path)?;
        ensure!(!rows.is_empty(), "{} is empty", path.display());
        Ok(Self {
            path,
            rows,
            q_auc: summary(folder, "harvest", "q_auc")?,
            value_auc: summary(folder, "evaluate", "value_auc")?,
        })
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

fn summary(folder: &Path, stage: &str, key: &str) -> Result<Option<Auc>> {
    let path = folder.join(format!("{stage}.json"));
    if !path.exists() {
        return Ok(None);
    }
    let text = fs::read_to_string(&path)?;
    let read = || -> serde_json::Result<Option<Auc>> {
        let mut value: Value = serde_json::from_str(&text)?;
        serde_json::from_value(value[key].take())
    };
    read().with_context(|| format!("{} is damaged", path.display()))
}
