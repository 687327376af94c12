//! The charts of runs: each figure by the same functions as the table's.

use std::collections::BTreeMap;

use anyhow::Result;
use serde::Deserialize;

use super::chart::{Chart, Line, Point};
use crate::evaluation::ROWS;
use crate::evaluation::pass_at_k::Pass;
use crate::evaluation::probe::{Steps, Values};
use crate::report::{Auc, Proportion, RoundFiles, Runs, mean, mean_of_runs, rounds_curves};

/// Runs of one recipe, whose means are drawn. The label is empty where there are no others.
pub(super) struct Group {
    pub label: String,
    pub runs: Runs,
}

/// A decoding's figures in a summary.
#[derive(Deserialize)]
struct Decoding {
    decoding: String,
    accuracy: f64,
    low: f64,
    high: f64,
    tokens_per_problem: f64,
    tokens_read_per_problem: Option<f64>,
}

/// All charts that have something to show.
pub(super) fn charts(groups: &[Group]) -> Result<Vec<Chart>> {
    let charts = [
        Chart::of_shares("Problems answered right", lines(groups, accuracy)?),
        Chart {
            share: true,
            whole: false,
            x_label: "tokens sampled for a problem".into(),
            note: "A point is a round.".into(),
            ..Chart::by_round("Right answers for tokens", "share", lines(groups, by_sampled)?)
        },
        Chart {
            share: true,
            whole: false,
            x_label: "tokens read and sampled for a problem".into(),
            note: "A point is a round. Read are the contexts that the policy and the net that values states were given, kept beginnings included.".into(),
            ..Chart::by_round("Right answers for all tokens", "share", lines(groups, by_all_tokens)?)
        },
        Chart {
            note: "Training problems change from round to round; the probe's are the same.".into(),
            ..Chart::of_shares("Problems solved by search", lines(groups, solved)?)
        },
        Chart::of_shares(
            "Chance that one of k samples is right (probe)",
            lines(groups, pass_at_k)?,
        ),
        Chart {
            note: "Area under the ROC curve: 0.5 is chance.".into(),
            ..Chart::by_round("How well labels and values tell", "area", lines(groups, areas)?)
        },
        Chart {
            share: true,
            whole: false,
            diagonal: true,
            x_label: "chance of a solution that the value net states".into(),
            note: "States of the probe's trees that have not ended, in bins.".into(),
            ..Chart::by_round(
                "Calibration of the value net",
                "share that can be solved",
                lines(groups, calibration)?,
            )
        },
        Chart::by_round(
            "Distinct steps sampled at a node (probe)",
            "steps",
            lines(groups, distinct)?,
        ),
        Chart::by_round(
            "Entropy at step starts (probe)",
            "−ln p of a sampled step",
            lines(groups, surprisal)?,
        ),
        Chart::of_shares("How searches ended", lines(groups, stops)?),
        Chart {
            whole: false,
            x_label: "optimiser steps since round 0".into(),
            ..Chart::by_round("Learning curve", "loss", lines(groups, learning)?)
        },
    ];
    Ok(charts.into_iter().filter(|chart| !chart.is_empty()).collect())
}

/// The lines of every group, named by it where there are several.
fn lines(groups: &[Group], of: fn(&Runs) -> Result<Vec<Line>>) -> Result<Vec<Line>> {
    let mut lines = Vec::new();
    for Group { label, runs } in groups {
        for line in of(runs)? {
            let named =
                if label.is_empty() { line.label } else { format!("{label}: {}", line.label) };
            lines.push(Line { label: named, ..line });
        }
    }
    lines.retain(|line| !line.points.is_empty());
    Ok(lines)
}

fn accuracy(runs: &Runs) -> Result<Vec<Line>> {
    let curves = rounds_curves(runs, ROWS)?.into_iter();
    let point = |(x, y, low, high): (f64, f64, f64, f64)| (x, y, Some(low), Some(high));
    Ok(curves
        .map(|curve| Line {
            label: curve.label,
            points: curve.points.into_iter().map(point).collect(),
        })
        .collect())
}

fn by_sampled(runs: &Runs) -> Result<Vec<Line>> {
    by_tokens(runs, |found| Some(found.tokens_per_problem))
}

/// A server that does not count, and a stage that two processes did, leave gaps.
fn by_all_tokens(runs: &Runs) -> Result<Vec<Line>> {
    by_tokens(runs, |found| Some(found.tokens_per_problem + found.tokens_read_per_problem?))
}

fn by_tokens(runs: &Runs, count: fn(&Decoding) -> Option<f64>) -> Result<Vec<Line>> {
    let decodings = |round: &RoundFiles| -> Result<Vec<Decoding>> {
        Ok(round.figure("evaluate", "results")?.unwrap_or_default())
    };
    let names = runs
        .listed(|round| Ok(decodings(round)?.into_iter().map(|found| found.decoding).collect()))?;
    let mut lines = Vec::new();
    for label in names {
        let read = |round: &RoundFiles| {
            Ok(decodings(round)?.into_iter().find(|found| found.decoding == label))
        };
        let mut points = Vec::new();
        for found in runs.figures(&label, read)?.into_iter().flatten() {
            let tokens: Option<Vec<f64>> = found.iter().map(count).collect();
            let Some(tokens) = tokens else { continue };
            let share = |found: &Decoding| Proportion {
                mean: found.accuracy,
                low: found.low,
                high: found.high,
            };
            let shares: Vec<Proportion> = found.iter().map(share).collect();
            points.extend(mean_of_runs(&shares).map(|share| point(mean(&tokens), share)));
        }
        lines.push(Line { label, points });
    }
    Ok(lines)
}

fn solved(runs: &Runs) -> Result<Vec<Line>> {
    let training = number_line(runs, "training problems", |round| {
        let count = |key| round.figure::<f64>("search", key);
        Ok(count("solved")?.zip(count("problems")?).map(|(solved, problems)| solved / problems))
    })?;
    let probe = share_line(runs, "probe", |round| round.figure("probe", "solved"))?;
    Ok(vec![training, probe])
}

fn pass_at_k(runs: &Runs) -> Result<Vec<Line>> {
    let passes = |round: &RoundFiles| -> Result<Vec<Pass>> {
        Ok(round.figure("probe", "pass_at_k")?.unwrap_or_default())
    };
    let ks = runs.listed(|round| Ok(passes(round)?.iter().map(|pass| pass.k).collect()))?;
    let line = |k: usize| {
        share_line(runs, &format!("pass@{k}"), |round| {
            let pass = passes(round)?.into_iter().find(|pass| pass.k == k);
            Ok(pass.map(|Pass { pass, low, high, .. }| Proportion { mean: pass, low, high }))
        })
    };
    ks.into_iter().map(line).collect()
}

fn areas(runs: &Runs) -> Result<Vec<Line>> {
    let share = |auc: Auc| Proportion { mean: auc.auc, low: auc.low, high: auc.high };
    Ok(vec![
        share_line(runs, "Q of the labels", |round| {
            Ok(round.figure("harvest", "q_auc")?.map(share))
        })?,
        share_line(runs, "value net, random legal states", |round| {
            Ok(round.figure("evaluate", "value_auc")?.map(share))
        })?,
        share_line(runs, "value net, states of the probe's trees", |round| {
            let values: Option<Values> = round.figure("probe", "values")?;
            Ok(values.and_then(|values| values.overall.auc).map(share))
        })?,
    ])
}

/// Each round's own line: of one run, since bins of several are of other states.
fn calibration(runs: &Runs) -> Result<Vec<Line>> {
    let mut lines = Vec::new();
    for number in 0..runs.rounds() {
        for (run, round) in runs.round(number).enumerate() {
            let Some(values) = round.figure::<Values>("probe", "values")? else { continue };
            let label = match runs.round(number).count() {
                1 => format!("round {number}"),
                _ => format!("run {}, round {number}", run + 1),
            };
            let bins = values.overall.bins.iter();
            let points = bins.map(|bin| (bin.predicted, bin.solvable, None, None)).collect();
            lines.push(Line { label, points });
        }
    }
    Ok(lines)
}

fn steps_line(runs: &Runs, label: &str, of: fn(&Steps) -> Option<f64>) -> Result<Vec<Line>> {
    let line = number_line(runs, label, |round| {
        let steps: Option<Steps> = round.figure("probe", "steps")?;
        Ok(steps.as_ref().and_then(of))
    })?;
    Ok(vec![line])
}

fn distinct(runs: &Runs) -> Result<Vec<Line>> {
    steps_line(runs, "distinct steps", |steps| Some(steps.distinct))
}

fn surprisal(runs: &Runs) -> Result<Vec<Line>> {
    steps_line(runs, "−ln p", |steps| steps.surprisal)
}

fn stops(runs: &Runs) -> Result<Vec<Line>> {
    let mut lines = Vec::new();
    for (stage, problems) in [("search", "training problems"), ("probe", "probe")] {
        for stop in runs.names(stage, "stops")? {
            let label = format!("{problems}: {}", stop.replace('_', " "));
            lines.push(number_line(runs, &label, |round| {
                let stops: Option<BTreeMap<String, usize>> = round.figure(stage, "stops")?;
                Ok(stops.map(|stops| {
                    let all = stops.values().sum::<usize>().max(1);
                    stops.get(&stop).copied().unwrap_or(0) as f64 / all as f64
                }))
            })?);
        }
    }
    Ok(lines)
}

/// A run's own curves, one after the other over the rounds; of several runs each its own.
fn learning(runs: &Runs) -> Result<Vec<Line>> {
    let several = runs.round(0).count() > 1;
    let mut lines: Vec<Line> = Vec::new();
    let mut before: BTreeMap<usize, f64> = BTreeMap::new();
    for number in 0..runs.rounds() {
        for (run, round) in runs.round(number).enumerate() {
            let stage = if number == 0 { "pretrain" } else { "train" };
            let curve: Vec<BTreeMap<String, f64>> =
                round.figure(stage, "curve")?.unwrap_or_default();
            let before = before.entry(run).or_default();
            let start = *before;
            for part in curve {
                let step = part.get("step").copied().unwrap_or_default();
                *before = start + step;
                for (name, value) in part.iter().filter(|(name, _)| name.ends_with("loss")) {
                    let name = name.replace('_', " ");
                    let label = if several { format!("run {}: {name}", run + 1) } else { name };
                    let point = (start + step, *value, None, None);
                    match lines.iter_mut().find(|line| line.label == label) {
                        Some(line) => line.points.push(point),
                        None => lines.push(Line { label, points: vec![point] }),
                    }
                }
            }
        }
    }
    Ok(lines)
}

fn point(x: f64, share: Proportion) -> Point {
    (x, share.mean, Some(share.low), Some(share.high))
}

/// The mean over runs by round, with its interval.
fn share_line(
    runs: &Runs,
    label: &str,
    read: impl Fn(&RoundFiles) -> Result<Option<Proportion>>,
) -> Result<Line> {
    let found = runs.figures(label, read)?.into_iter().enumerate();
    let points = found
        .filter_map(|(round, found)| mean_of_runs(&found?).map(|share| point(round as f64, share)));
    Ok(Line { label: label.to_owned(), points: points.collect() })
}

/// The mean over runs by round.
fn number_line(
    runs: &Runs,
    label: &str,
    read: impl Fn(&RoundFiles) -> Result<Option<f64>>,
) -> Result<Line> {
    let found = runs.figures(label, read)?.into_iter().enumerate();
    let points = found.filter_map(|(round, found)| Some((round as f64, mean(&found?), None, None)));
    Ok(Line { label: label.to_owned(), points: points.collect() })
}
