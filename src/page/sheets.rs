//! The tables of a page that belong to no chart.

use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::Value;

use super::chart::Sheet;
use crate::evaluation::{Compared, compare};
use crate::report::{ABSENT, Difference, RoundFiles, Runs, Table, mean};

impl Sheet {
    /// A table as it is printed.
    pub(super) fn of(title: &str, note: &str, table: &Table) -> Self {
        Self {
            title: title.to_owned(),
            note: note.to_owned(),
            header: table.header().to_vec(),
            rows: table.rows().to_vec(),
        }
    }
}

/// Seconds and tokens of the stages by round, the mean over runs.
pub(super) fn stages(label: &str, runs: &Runs) -> Result<Sheet> {
    let header = ["round", "stage", "seconds", "tokens sampled", "tokens read", "tokens trained"];
    let mut rows = Vec::new();
    for number in 0..runs.rounds() {
        for stage in ["pretrain", "search", "harvest", "train", "gate", "probe", "evaluate"] {
            let spent: Vec<[Option<f64>; 4]> =
                runs.round(number).map(|round| spent(round, stage)).collect::<Result<_>>()?;
            let of = |column: usize| {
                let found: Option<Vec<f64>> = spent.iter().map(|spent| spent[column]).collect();
                found.map(|found| mean(&found))
            };
            if spent.iter().flatten().all(Option::is_none) {
                continue;
            }
            let cell = |number: Option<f64>, decimals: usize| {
                number.map_or(ABSENT.to_owned(), |number| format!("{number:.decimals$}"))
            };
            let cells = [cell(of(0), 1), cell(of(1), 0), cell(of(2), 0), cell(of(3), 0)];
            rows.push([vec![number.to_string(), stage.to_owned()], cells.to_vec()].concat());
        }
    }
    Ok(Sheet {
        title: titled("Time and tokens by stage", label),
        note: "Seconds and tokens read are those of the process that finished the stage. Read are the contexts that nets were given, kept beginnings included."
            .to_owned(),
        header: header.map(str::to_owned).to_vec(),
        rows,
    })
}

/// Seconds and tokens sampled, read and trained of a round's stage.
fn spent(round: &RoundFiles, stage: &str) -> Result<[Option<f64>; 4]> {
    let number = |key: &str| round.figure::<f64>(stage, key);
    let within = |key: &str, part: &str| -> Result<Option<f64>> {
        let whole: Option<Value> = round.figure(stage, key)?;
        Ok(whole.and_then(|whole| whole[part].as_f64()))
    };
    let seconds = number("stage_seconds")?;
    Ok(match stage {
        "pretrain" | "train" => [seconds, None, None, within("report", "tokens")?],
        "probe" => [seconds, within("search", "tokens")?, within("search", "tokens_read")?, None],
        "evaluate" => {
            let results: Vec<Value> = round.figure(stage, "results")?.unwrap_or_default();
            let sum = |key: &str| -> Option<f64> {
                let tokens = |result: &Value| {
                    let answers = result["n"].as_f64()? * result["seeds"].as_f64()?;
                    Some(result[key].as_f64()? * answers)
                };
                results.iter().map(tokens).sum()
            };
            let known = !results.is_empty();
            let tokens = |key: &str| known.then(|| sum(key)).flatten();
            [seconds, tokens("tokens_per_problem"), tokens("tokens_read_per_problem"), None]
        }
        _ => [seconds, number("tokens")?, number("tokens_read")?, None],
    })
}

/// The paths that ended without a verdict and the steps that were cut off, of the training trees by round; `None` where there are none.
pub(super) fn cut_paths(label: &str, runs: &Runs) -> Result<Option<Sheet>> {
    let mut rows: Vec<Vec<String>> = Vec::new();
    let causes = runs.names("search", "paths_cut")?;
    for cause in causes {
        let read = |round: &RoundFiles| -> Result<Option<u64>> {
            let cut: Option<Value> = round.figure("search", "paths_cut")?;
            Ok(cut.and_then(|cut| cut[&cause].as_u64()))
        };
        let found = runs.figures(&cause, read)?;
        if found.iter().flatten().flatten().all(|&count| count == 0) {
            continue;
        }
        let cells = found.into_iter().map(|found| {
            found.map_or(ABSENT.to_owned(), |found| found.iter().sum::<u64>().to_string())
        });
        rows.push([vec![cause.replace('_', " ")], cells.collect()].concat());
    }
    if rows.is_empty() {
        return Ok(None);
    }
    let rounds = (0..runs.rounds()).map(|round| format!("round {round}"));
    Ok(Some(Sheet {
        title: titled("Paths of training trees without a verdict", label),
        note: "Paths that ended for a cause that is not the policy's; the sum over runs."
            .to_owned(),
        header: std::iter::once("cause".to_owned()).chain(rounds).collect(),
        rows,
    }))
}

/// The last round against the first trained one: the same held-out problems, paired.
pub(super) fn gains(label: &str, paths: &[PathBuf], runs: &Runs) -> Result<Option<Sheet>> {
    let last = runs.rounds() - 1;
    if last < 2 {
        return Ok(None);
    }
    let title = titled(&format!("Round {last} against round 1"), label);
    differences(title, &records(paths, last), &records(paths, 1))
}

/// Runs of another recipe against the first: the last rounds that both have, paired.
pub(super) fn against_first(
    [first, other]: [&str; 2],
    [base, new]: [&[PathBuf]; 2],
    round: usize,
) -> Result<Option<Sheet>> {
    if base.len() != new.len() {
        return Ok(None);
    }
    let title = format!("{other} against {first}, round {round}");
    differences(title, &records(new, round), &records(base, round))
}

fn records(paths: &[PathBuf], round: usize) -> Vec<PathBuf> {
    let record = |path: &PathBuf| {
        path.join("rounds").join(round.to_string()).join(crate::report::record_name(None))
    };
    paths.iter().map(record).collect()
}

/// The paired differences; `None` where a file is not there or the problems are others.
fn differences(title: String, new: &[PathBuf], base: &[PathBuf]) -> Result<Option<Sheet>> {
    if !new.iter().chain(base).all(|path: &PathBuf| Path::exists(path)) {
        return Ok(None);
    }
    let rows = match compare(new, base, &[], None) {
        Ok(rows) => rows,
        Err(error) => {
            tracing::warn!("{title}: {error:#}; the page shows no differences");
            return Ok(None);
        }
    };
    let header = [
        "decoding",
        "% right",
        "before, % right",
        "difference",
        "95 % interval",
        "problems",
        "runs",
    ];
    let row = |row: Compared| {
        let Difference { mean, low, high } = row.difference;
        vec![
            row.decoding,
            format!("{:.1}", 100.0 * row.correct),
            format!("{:.1}", 100.0 * row.base_correct),
            format!("{:+.1}", 100.0 * mean),
            format!("[{:+.1}, {:+.1}]", 100.0 * low, 100.0 * high),
            row.problems.to_string(),
            row.runs.to_string(),
        ]
    };
    Ok(Some(Sheet {
        title,
        note:
            "Paired, problem by problem; an interval that holds 0 says that either may be better."
                .to_owned(),
        header: header.map(str::to_owned).to_vec(),
        rows: rows.into_iter().map(row).collect(),
    }))
}

fn titled(title: &str, label: &str) -> String {
    if label.is_empty() { title.to_owned() } else { format!("{title}: {label}") }
}
