//! The tree alone, in a game whose evaluation costs next to nothing, beside the crate `mcts` and a floor; and whole small
//! searches of AlphaMath's shape.
//!
//! *Narrow* (c_puct 1.5) keeps a few thousand nodes in cache under a hot root; *wide* (c_puct 50) adds a node in nearly every
//! simulation and is bound by memory. *AlphaMath* grows trees of 40 simulations with five children a node, texts, states and
//! records included.

pub mod espalier;
pub mod floor;
mod game;
pub mod peer;

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use espalier_search::testing::{HashedEvaluator, LetterGame};
use espalier_search::{Cancel, MctsConfig, for_each_index, search_tree};
use serde::{Deserialize, Serialize};

/// What an engine did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Visits of the root's children.
    pub root_visits: Vec<u64>,
    /// Steps of all descents; None where the engine does not tell.
    pub steps: Option<u64>,
    /// What selection and backup touch of a child, in bytes, its share of what siblings have in common included.
    pub bytes_per_child: f64,
}

/// The two shapes of the synthetic game, by their exploration weight.
pub const SHAPES: [(&str, f64); 2] = [("narrow", 1.5), ("wide", 50.0)];

/// One timed engine in one shape.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// Names this form and its version.
    pub schema: &'static str,
    /// `espalier`, `mcts` (the crate, 0.3) or `floor` (the cheapest program that makes the same descents).
    pub engine: &'static str,
    /// `narrow`, `wide` or `alphamath`.
    pub shape: &'static str,
    /// Threads at work.
    pub threads: usize,
    /// Whether they share one tree; otherwise each has its own.
    pub shared: bool,
    /// Simulations of all threads in a repetition.
    pub simulations: u64,
    /// Wall time of the median repetition over simulations.
    pub ns_per_simulation: f64,
    /// The fastest repetition's.
    pub ns_min: f64,
    /// The slowest repetition's.
    pub ns_max: f64,
    /// Simulations a second in the median repetition.
    pub simulations_per_second: f64,
    /// Mean steps of a descent; null where the engine does not tell.
    pub mean_path: Option<f64>,
    /// Hot bytes a child; null for whole searches.
    pub bytes_per_child: Option<f64>,
    /// Threads beyond the machine's cores say nothing about scaling.
    pub oversubscribed: bool,
    /// Where the program comes from.
    pub git_revision: &'static str,
}

/// One repetition, as the process that made it tells it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Repetition {
    nanoseconds: f64,
    simulations: u64,
    outcome: Option<Outcome>,
}

/// What a repetition did.
struct Done {
    simulations: u64,
    outcome: Option<Outcome>,
}

struct Case {
    engine: &'static str,
    shape: &'static str,
    threads: usize,
    shared: bool,
    run: Box<dyn Fn() -> Result<Done>>,
}

/// Times every engine in every shape, on one thread and on `threads`. Each repetition is a process of its own (what one engine
/// leaves in the allocator makes another up to a third faster or slower), and those of all cases alternate, so that a busy
/// moment of the machine hits all of them.
///
/// # Errors
/// When a process cannot be started or fails.
pub fn tree(threads: usize, simulations: u64, repetitions: usize) -> Result<Vec<Row>> {
    let cases = cases(threads, simulations);
    let mut timed: Vec<Vec<Repetition>> = cases.iter().map(|_| Vec::new()).collect();
    for _ in 0..repetitions {
        for (index, repetitions) in timed.iter_mut().enumerate() {
            repetitions.push(in_a_process(index, threads, simulations)?);
        }
    }
    Ok(cases.iter().zip(timed).filter_map(|(case, timed)| row(case, timed)).collect())
}

/// One repetition of one of the cases of [`tree`], after one that is not counted.
///
/// # Errors
/// When there is no such case, or a search fails.
pub fn repetition(case: usize, threads: usize, simulations: u64) -> Result<Repetition> {
    let cases = cases(threads, simulations);
    let case = cases.get(case).context("there is no such case")?;
    (case.run)()?;
    let start = Instant::now();
    let Done { simulations, outcome } = (case.run)()?;
    Ok(Repetition { nanoseconds: start.elapsed().as_secs_f64() * 1e9, simulations, outcome })
}

fn in_a_process(case: usize, threads: usize, simulations: u64) -> Result<Repetition> {
    let program = std::env::current_exe().context("this program's own file is not known")?;
    let numbers = [case.to_string(), threads.to_string(), simulations.to_string()];
    let [case, threads, simulations] = &numbers;
    let arguments =
        ["bench", "search", "--case", case, "--threads", threads, "--simulations", simulations];
    let output = Command::new(program)
        .args(arguments)
        .stderr(Stdio::inherit())
        .output()
        .context("cannot start a process to time")?;
    ensure!(output.status.success(), "a timed process ended with {}", output.status);
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn row(case: &Case, repetitions: Vec<Repetition>) -> Option<Row> {
    let per_simulation =
        |repetition: &Repetition| repetition.nanoseconds / repetition.simulations.max(1) as f64;
    let [fastest, median, slowest] =
        super::spread(repetitions.iter().map(per_simulation).collect());
    let Repetition { simulations, outcome, .. } = repetitions.into_iter().next()?;
    let steps = outcome.as_ref().and_then(|outcome| outcome.steps);
    Some(Row {
        schema: "espalier.bench.search/1",
        engine: case.engine,
        shape: case.shape,
        threads: case.threads,
        shared: case.shared,
        simulations,
        ns_per_simulation: median,
        ns_min: fastest,
        ns_max: slowest,
        simulations_per_second: 1e9 / median,
        mean_path: steps.map(|steps| steps as f64 / simulations as f64),
        bytes_per_child: outcome.map(|outcome| outcome.bytes_per_child),
        oversubscribed: super::oversubscribed(case.threads),
        git_revision: env!("ESPALIER_GIT_REVISION"),
    })
}

/// Engines beside each other, shape by shape.
fn cases(threads: usize, simulations: u64) -> Vec<Case> {
    let mut cases = Vec::new();
    for (shape, c_puct) in SHAPES {
        let mut add = |engine, threads, shared, run: Box<dyn Fn() -> Outcome + Sync>| {
            let run = move || {
                if shared || threads == 1 {
                    return Ok(Done { simulations, outcome: Some(run()) });
                }
                std::thread::scope(|scope| (0..threads).for_each(|_| _ = scope.spawn(&run)));
                Ok(Done { simulations: simulations * threads as u64, outcome: None })
            };
            cases.push(Case { engine, shape, threads, shared, run: Box::new(run) });
        };
        add("floor", 1, true, Box::new(move || floor::run(c_puct, simulations)));
        for threads in super::counts(threads) {
            add(
                "espalier",
                threads,
                true,
                Box::new(move || espalier::run(c_puct, simulations, threads)),
            );
            add("mcts", threads, true, Box::new(move || peer::run(c_puct, simulations, threads)));
        }
        if threads > 1 {
            add(
                "espalier",
                threads,
                false,
                Box::new(move || espalier::run(c_puct, simulations, 1)),
            );
            add("mcts", threads, false, Box::new(move || peer::run(c_puct, simulations, 1)));
        }
    }
    for threads in super::counts(threads) {
        let run = move || small_searches(simulations, threads);
        let (engine, shape) = ("espalier", "alphamath");
        cases.push(Case { engine, shape, threads, shared: false, run: Box::new(run) });
    }
    cases
}

/// As many searches of 40 simulations as make up `simulations`.
fn small_searches(simulations: u64, threads: usize) -> Result<Done> {
    let game = LetterGame { length: Some(10) };
    let problem = LetterGame::problem("bench", "abcdefgh");
    let evaluator = HashedEvaluator::new(1, ["a", "b", "c", "d", "e", "f", "g", "h"]);
    let config = MctsConfig { max_depth: 10, ..MctsConfig::default() };
    let trees = (simulations / config.simulations).max(1) as usize;
    let done = AtomicU64::new(0);
    for_each_index(trees, threads, &Cancel::new(), |index| -> Result<()> {
        let tree =
            search_tree(&game, &evaluator, &problem, &config, index as u64, true, &Cancel::new())?;
        done.fetch_add(tree.simulations, Ordering::Relaxed);
        Ok(())
    })?;
    Ok(Done { simulations: done.into_inner(), outcome: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_floor_makes_the_same_descents() {
        for (shape, c_puct) in SHAPES {
            let (ours, floor) = (espalier::run(c_puct, 20_000, 1), floor::run(c_puct, 20_000));
            assert_eq!(ours.root_visits, floor.root_visits, "{shape}");
            assert_eq!(ours.steps, floor.steps, "{shape}");
            assert!(ours.bytes_per_child <= 24.0);
            let visits: u64 = espalier::run(c_puct, 20_000, 2).root_visits.iter().sum();
            assert_eq!(visits, 19_999, "{shape}");
        }
    }
}
