//! The probe's rows in the table of rounds.

use std::collections::BTreeMap;

use anyhow::Result;
use serde::de::DeserializeOwned;

use super::calibration::Reliability;
use super::outcomes::{Outcome, share_of_runs};
use super::states::Values;
use super::steps::Steps;
use crate::evaluation::pass_at_k::{Pass, estimate};
use crate::report::{
    Proportion, RoundFiles, RoundsRow, Runs, Section, area_of_runs, mean, percent,
};

/// A number of values.
type Figure = fn(&Reliability) -> f64;

/// A run's share, and the outcomes of the problems that it is of.
type Share = (Proportion, Option<Vec<Outcome>>);

/// The stage whose summary holds the figures.
const STAGE: &str = "probe";

/// The rows of finished rounds; none where no round was probed.
///
/// # Errors
/// When a summary cannot be read.
pub fn rows(runs: &Runs) -> Result<Vec<RoundsRow>> {
    let mut rows = Vec::new();
    let solved = |round: &RoundFiles| with_outcomes(round, figure(round, "solved")?);
    rows.push(runs.row(Section::Probe, "solved by search, %", solved, |found: Vec<Share>| {
        Ok(share_of_runs(&found, Outcome::share_solved).map(percent))
    })?);
    for (k, samples) in ks(runs)? {
        let label = format!("pass@{k} of the policy alone, %");
        let read = |round: &RoundFiles| {
            let passes: Option<Vec<Pass>> = figure(round, "pass_at_k")?;
            let pass = passes.into_iter().flatten().find(|pass| pass.k == k);
            let share = |Pass { pass, low, high, .. }| Proportion { mean: pass, low, high };
            with_outcomes(round, pass.map(share))
        };
        rows.push(runs.row(Section::Probe, label, read, |found: Vec<Share>| {
            Ok(share_of_runs(&found, |one| estimate(samples, one.right, k)).map(percent))
        })?);
    }
    rows.push(steps_row(runs, "distinct steps a node", |steps| Some(steps.distinct))?);
    rows.push(steps_row(runs, "share of sampled steps that differ", |steps| {
        Some(steps.distinct / steps.sampled as f64)
    })?);
    rows.push(steps_row(runs, "−ln p of a sampled step", |steps| steps.surprisal)?);
    let simulations = |round: &RoundFiles| figure(round, "simulations_per_problem");
    rows.push(runs.row(Section::Probe, "simulations a problem", simulations, |found| {
        Ok(Some(format!("{:.1}", mean(&found))))
    })?);
    for stop in runs.names(STAGE, "stops")? {
        let label = format!("searches that ended: {stop}, %");
        let read = |round: &RoundFiles| {
            let share = |stops: BTreeMap<String, usize>| {
                let all = stops.values().sum::<usize>().max(1);
                stops.get(&stop).copied().unwrap_or(0) as f64 / all as f64
            };
            Ok(figure(round, "stops")?.map(share))
        };
        rows.push(runs.row(Section::Probe, label, read, |found| {
            Ok(Some(format!("{:.1}", 100.0 * mean(&found))))
        })?);
    }
    rows.extend(value_rows(runs)?);
    Ok(rows.into_iter().flatten().collect())
}

/// The value net's, overall and by depth; none where no truth is known.
fn value_rows(runs: &Runs) -> Result<Vec<Option<RoundsRow>>> {
    let mut depths = runs.listed(|round| {
        let values: Option<Values> = figure(round, "values")?;
        Ok(values.map(|values| values.by_depth.into_keys().collect()).unwrap_or_default())
    })?;
    depths.sort_unstable();
    let places: Vec<Option<usize>> =
        std::iter::once(None).chain(depths.into_iter().map(Some)).collect();
    let mut rows = Vec::new();
    for &place in &places {
        let read = |round: &RoundFiles| Ok(reliability(round, place)?.and_then(|found| found.auc));
        let show = |areas| Ok(area_of_runs(areas));
        rows.push(runs.row(Section::Probe, at("AUC of V", place), read, show)?);
    }
    let kinds: [(&str, Figure); 2] = [
        ("calibration error of V", |found| found.calibration_error),
        ("Brier score of V", |found| found.brier),
    ];
    for (label, figure) in kinds {
        for &place in &places {
            let read = |round: &RoundFiles| Ok(reliability(round, place)?.as_ref().map(figure));
            let show = |found: Vec<f64>| Ok(Some(format!("{:.3}", mean(&found))));
            rows.push(runs.row(Section::Probe, at(label, place), read, show)?);
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
    of_steps: impl Fn(&Steps) -> Option<f64>,
) -> Result<Option<RoundsRow>> {
    let read = |round: &RoundFiles| {
        let steps: Option<Steps> = figure(round, "steps")?;
        Ok(steps.as_ref().and_then(&of_steps))
    };
    runs.row(Section::Probe, label, read, |found| Ok(Some(format!("{:.2}", mean(&found)))))
}

/// The numbers of samples of which one must be right, each with that of the samples that were drawn.
fn ks(runs: &Runs) -> Result<BTreeMap<usize, usize>> {
    let passes = runs.listed(|round| {
        let passes: Option<Vec<Pass>> = figure(round, "pass_at_k")?;
        Ok(passes.into_iter().flatten().map(|pass| (pass.k, pass.samples)).collect())
    })?;
    Ok(passes.into_iter().collect())
}

/// The values of all states, or of those at a depth.
fn reliability(round: &RoundFiles, depth: Option<usize>) -> Result<Option<Reliability>> {
    let values: Option<Values> = figure(round, "values")?;
    Ok(values.and_then(|mut values| match depth {
        None => Some(values.overall),
        Some(depth) => values.by_depth.remove(&depth),
    }))
}

/// A share with the outcomes of its round.
fn with_outcomes(round: &RoundFiles, share: Option<Proportion>) -> Result<Option<Share>> {
    share.map(|share| Ok((share, figure(round, "outcomes")?))).transpose()
}

fn figure<T: DeserializeOwned>(round: &RoundFiles, key: &str) -> Result<Option<T>> {
    round.figure(STAGE, key)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use serde_json::{Value, json};

    use super::*;
    use crate::report::proportion;

    /// The probe of a run of these problems, (solved, right of 4 samples), as its stage writes it; without outcomes as earlier versions
    /// did.
    fn probed(problems: &[(bool, usize)], outcomes: bool) -> Value {
        let share =
            |value: fn(&(bool, usize)) -> f64| proportion(&[problems.iter().map(value).collect()]);
        let solved = share(|one| f64::from(u8::from(one.0)));
        let pass = share(|one| estimate(4, one.1, 2));
        let outcome = |(index, (solved, right)): (usize, &(bool, usize))| json!({"problem": format!("p{index}"), "solved": solved, "right": right});
        let outcomes: Option<Vec<Value>> =
            outcomes.then(|| problems.iter().enumerate().map(outcome).collect());
        json!({
            "solved": solved,
            "pass_at_k": [{"schema": "espalier.pass_at_k/1", "k": 2, "samples": 4, "pass": pass.mean, "low": pass.low,
                "high": pass.high, "n": problems.len(), "seeds": 1, "tokens_per_problem": 1.0}],
            "outcomes": outcomes,
        })
    }

    /// The rows over runs with these probes.
    fn rows_of(probes: &[Value]) -> Vec<RoundsRow> {
        let folder = tempfile::tempdir().unwrap();
        let write = |(index, probe): (usize, &Value)| -> PathBuf {
            let run = folder.path().join(index.to_string());
            let round = run.join("rounds/0");
            fs::create_dir_all(&round).unwrap();
            fs::write(round.join("evaluate.json"), "{}").unwrap();
            fs::write(round.join("probe.json"), probe.to_string()).unwrap();
            run
        };
        let paths: Vec<PathBuf> = probes.iter().enumerate().map(write).collect();
        rows(&Runs::open(&paths).unwrap()).unwrap()
    }

    /// The cells of the shares.
    fn cells(probes: &[Value]) -> [String; 2] {
        let rows = rows_of(probes);
        [0, 1].map(|row: usize| rows[row].cells[0].clone())
    }

    #[test]
    fn several_runs_are_compared_on_the_same_problems() {
        let few: Vec<(bool, usize)> =
            (0..50).map(|index| (index == 7, usize::from(index < 2))).collect();
        let one = cells(&[probed(&few, true)]);
        // The same outcomes again and again add no certainty, and small shares stay shares.
        let same = vec![probed(&few, true); 3];
        assert_eq!(cells(&same), one);
        assert!(one[0].starts_with("2.0 [0."), "{one:?}");
        // Of earlier versions the shares alone are known.
        let earlier = vec![probed(&few, false); 3];
        assert_eq!(cells(&earlier), one);
        // Runs that solve different problems count each problem once, whatever runs it was solved in.
        let halves = [0, 1].map(|half| {
            let problems: Vec<(bool, usize)> =
                (0..50).map(|index| (index % 2 == half, 2)).collect();
            problems
        });
        let values =
            halves.clone().map(|half| half.iter().map(|one| f64::from(u8::from(one.0))).collect());
        assert_eq!(cells(&halves.map(|half| probed(&half, true)))[0], percent(proportion(&values)));
    }

    #[test]
    fn a_figure_that_a_run_lacks_has_no_mean() {
        let problems = [(true, 2), (false, 0)];
        let mut without = probed(&problems, true);
        without["pass_at_k"] = json!([]);
        let rows = rows_of(&[probed(&problems, true), without]);
        let labels: Vec<&str> = rows.iter().map(|row| row.label.as_str()).collect();
        assert_eq!(labels, ["solved by search, %"]);
    }
}
