//! The probe's rows in the table of rounds.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use serde::de::DeserializeOwned;

use super::calibration::Reliability;
use super::states::Values;
use super::steps::Steps;
use crate::evaluation::pass_at_k::Pass;
use crate::report::{
    Proportion, RoundFiles, RoundsRow, Runs, Section, area_of_runs, mean_of_runs, percent,
};

/// A number of values.
type Figure = fn(&Reliability) -> f64;

/// The stage whose summary holds the figures.
const STAGE: &str = "probe";

/// The rows of finished rounds; none where no round was probed.
///
/// # Errors
/// When a summary cannot be read.
pub fn rows(runs: &Runs) -> Result<Vec<RoundsRow>> {
    let mut rows = Vec::new();
    let share = |rounds: Vec<&RoundFiles>| {
        Ok(mean_of_runs(&figures::<Proportion>(&rounds, "solved")?).map(percent))
    };
    rows.push(runs.row(Section::Probe, "solved by search, %", share)?);
    for k in ks(runs)? {
        let label = format!("pass@{k} of the policy alone, %");
        rows.push(runs.row(Section::Probe, label, |rounds| {
            let passes: Vec<Vec<Pass>> = figures(&rounds, "pass_at_k")?;
            let of_k = passes.into_iter().flatten().filter(|pass| pass.k == k);
            let shares =
                of_k.map(|Pass { pass, low, high, .. }| Proportion { mean: pass, low, high });
            Ok(mean_of_runs(&shares.collect::<Vec<_>>()).map(percent))
        })?);
    }
    rows.push(steps_row(runs, "distinct steps a node", |steps| Some(steps.distinct))?);
    rows.push(steps_row(runs, "share of sampled steps that differ", |steps| {
        Some(steps.distinct / steps.sampled as f64)
    })?);
    rows.push(steps_row(runs, "−ln p of a sampled step", |steps| steps.surprisal)?);
    rows.push(runs.row(Section::Probe, "simulations a problem", |rounds| {
        Ok(mean(&figures::<f64>(&rounds, "simulations_per_problem")?)
            .map(|mean| format!("{mean:.1}")))
    })?);
    for stop in runs.names(STAGE, "stops")? {
        let label = format!("searches that ended: {stop}, %");
        rows.push(runs.row(Section::Probe, label, |rounds| {
            let stops: Vec<BTreeMap<String, usize>> = figures(&rounds, "stops")?;
            let share = |stops: &BTreeMap<String, usize>| {
                let all = stops.values().sum::<usize>().max(1);
                stops.get(&stop).copied().unwrap_or(0) as f64 / all as f64
            };
            let shares: Vec<f64> = stops.iter().map(share).collect();
            Ok(mean(&shares).map(|mean| format!("{:.1}", 100.0 * mean)))
        })?);
    }
    rows.extend(value_rows(runs)?);
    Ok(rows.into_iter().flatten().collect())
}

/// The value net's, overall and by depth; none where no truth is known.
fn value_rows(runs: &Runs) -> Result<Vec<Option<RoundsRow>>> {
    let mut depths = BTreeSet::new();
    for round in 0..runs.rounds() {
        for values in figures::<Values>(&runs.round(round).collect::<Vec<_>>(), "values")? {
            depths.extend(values.by_depth.into_keys());
        }
    }
    let places: Vec<Option<usize>> =
        std::iter::once(None).chain(depths.into_iter().map(Some)).collect();
    let mut rows = Vec::new();
    for &place in &places {
        rows.push(runs.row(Section::Probe, at("AUC of V", place), |rounds| {
            let areas = reliabilities(&rounds, place)?.into_iter().filter_map(|found| found.auc);
            Ok(area_of_runs(areas))
        })?);
    }
    let kinds: [(&str, Figure); 2] = [
        ("calibration error of V", |found| found.calibration_error),
        ("Brier score of V", |found| found.brier),
    ];
    for (label, figure) in kinds {
        for &place in &places {
            rows.push(runs.row(Section::Probe, at(label, place), |rounds| {
                let found = reliabilities(&rounds, place)?;
                let found: Vec<f64> = found.iter().map(figure).collect();
                Ok(mean(&found).map(|mean| format!("{mean:.3}")))
            })?);
        }
    }
    Ok(rows)
}

fn at(label: &str, depth: Option<usize>) -> String {
    depth.map_or_else(|| label.to_owned(), |depth| format!("{label} at depth {depth}"))
}

fn steps_row(
    runs: &Runs,
    label: &str,
    figure: impl Fn(&Steps) -> Option<f64>,
) -> Result<Option<RoundsRow>> {
    runs.row(Section::Probe, label, |rounds| {
        let steps: Vec<Steps> = figures(&rounds, "steps")?;
        let found: Vec<f64> = steps.iter().filter_map(&figure).collect();
        Ok(mean(&found).map(|mean| format!("{mean:.2}")))
    })
}

/// The numbers of samples, in any of the rounds.
fn ks(runs: &Runs) -> Result<BTreeSet<usize>> {
    let mut ks = BTreeSet::new();
    for round in 0..runs.rounds() {
        let passes: Vec<Vec<Pass>> = figures(&runs.round(round).collect::<Vec<_>>(), "pass_at_k")?;
        ks.extend(passes.into_iter().flatten().map(|pass| pass.k));
    }
    Ok(ks)
}

/// The values of all states, or of those at a depth.
fn reliabilities(rounds: &[&RoundFiles], depth: Option<usize>) -> Result<Vec<Reliability>> {
    let values: Vec<Values> = figures(rounds, "values")?;
    let of = |mut values: Values| match depth {
        None => Some(values.overall),
        Some(depth) => values.by_depth.remove(&depth),
    };
    Ok(values.into_iter().filter_map(of).collect())
}

/// A figure of each run that has it.
fn figures<T: DeserializeOwned>(rounds: &[&RoundFiles], key: &str) -> Result<Vec<T>> {
    rounds.iter().filter_map(|round| round.figure(STAGE, key).transpose()).collect()
}

fn mean(found: &[f64]) -> Option<f64> {
    (!found.is_empty()).then(|| found.iter().sum::<f64>() / found.len() as f64)
}
