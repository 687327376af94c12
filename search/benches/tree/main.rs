//! The tree alone, in a game whose evaluation costs next to nothing, beside the crate `mcts` and a floor; and whole small
//! searches of AlphaMath's shape.
//!
//! *Narrow* (c_puct 1.5) keeps a few thousand nodes in cache under a hot root; *wide* (c_puct 50) adds a node in nearly every
//! simulation and is bound by memory. *AlphaMath* grows trees of 40 simulations with five children a node, texts, states and
//! records included; *large* is one such search of a fifth of the simulations. Where several descents are in flight the threads
//! make them a level at a time, and *large* has as many leaves in a batch.
//!
//! `cargo bench -p espalier-search --bench tree -- --help` lists the options. `cargo test` runs it on small trees and checks that the
//! floor makes the same descents.

mod engines;
mod espalier;
mod floor;
mod game;
mod options;
mod peer;
mod table;

use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use engines::{Case, Done, Outcome, cases};
use options::Options;

/// One timed engine in one shape.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// Names this form and its version.
    pub schema: &'static str,
    /// `espalier`, `mcts` (the crate, 0.3) or `floor` (the cheapest program that makes the same descents).
    pub engine: &'static str,
    /// `narrow`, `wide`, `large` or `alphamath`.
    pub shape: &'static str,
    /// Threads at work.
    pub threads: usize,
    /// Whether they share one tree; otherwise each has its own.
    pub shared: bool,
    /// Descents that each thread keeps in flight.
    pub together: usize,
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
    /// `git describe` of the sources.
    pub git_revision: String,
}

/// One repetition, as the process that made it reports it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Repetition {
    nanoseconds: f64,
    simulations: u64,
    outcome: Option<Outcome>,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // Cargo passes it to benchmarks, and not when it tests them.
    if !arguments.iter().any(|argument| argument == "--bench") {
        engines::check();
        return ExitCode::SUCCESS;
    }
    let options = match Options::parse(&arguments) {
        Ok(options) => options,
        Err(message) => {
            eprintln!("{message}");
            return ExitCode::from(2);
        }
    };
    match time(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tree: {error:#}");
            ExitCode::from(3)
        }
    }
}

fn time(options: &Options) -> Result<()> {
    if let Some(case) = options.case {
        println!("{}", serde_json::to_string(&repetition(case, options)?)?);
        return Ok(());
    }
    let rows = rows(options)?;
    if options.json {
        for row in &rows {
            println!("{}", serde_json::to_string(row)?);
        }
    } else {
        print!("{}", table::table(&rows));
    }
    Ok(())
}

/// Times every engine in every shape, on one thread and on all. Each repetition is a process of its own (the allocations of one
/// engine make another up to a third faster or slower), and those of all cases alternate, so that a busy moment of the machine
/// hits all of them.
fn rows(options: &Options) -> Result<Vec<Row>> {
    let cases = cases(options.threads, options.simulations);
    let mut timed: Vec<Vec<Repetition>> = cases.iter().map(|_| Vec::new()).collect();
    for _ in 0..options.repetitions {
        for (index, repetitions) in timed.iter_mut().enumerate() {
            repetitions.push(in_a_process(index, options)?);
        }
    }
    let revision = revision();
    Ok(cases.iter().zip(timed).filter_map(|(case, timed)| row(case, timed, &revision)).collect())
}

/// One repetition of a case, after one that is not counted.
fn repetition(case: usize, options: &Options) -> Result<Repetition> {
    let cases = cases(options.threads, options.simulations);
    let case = cases.get(case).context("there is no such case")?;
    (case.run)()?;
    let start = Instant::now();
    let Done { simulations, outcome } = (case.run)()?;
    Ok(Repetition { nanoseconds: start.elapsed().as_secs_f64() * 1e9, simulations, outcome })
}

fn in_a_process(case: usize, options: &Options) -> Result<Repetition> {
    let program = std::env::current_exe().context("this program's own file is not known")?;
    let numbers = [case.to_string(), options.threads.to_string(), options.simulations.to_string()];
    let [case, threads, simulations] = &numbers;
    let output = Command::new(program)
        .args(["--bench", "--case", case, "--threads", threads, "--simulations", simulations])
        .stderr(Stdio::inherit())
        .output()
        .context("cannot start a process to time")?;
    ensure!(output.status.success(), "a timed process ended with {}", output.status);
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn row(case: &Case, repetitions: Vec<Repetition>, revision: &str) -> Option<Row> {
    let per_simulation =
        |repetition: &Repetition| repetition.nanoseconds / repetition.simulations.max(1) as f64;
    let mut times: Vec<f64> = repetitions.iter().map(per_simulation).collect();
    times.sort_by(f64::total_cmp);
    let Repetition { simulations, outcome, .. } = repetitions.into_iter().next()?;
    let steps = outcome.as_ref().and_then(|outcome| outcome.steps);
    Some(Row {
        schema: "espalier.bench.search/1",
        engine: case.engine,
        shape: case.shape,
        threads: case.threads,
        shared: case.shared,
        together: case.together,
        simulations,
        ns_per_simulation: times[times.len() / 2],
        ns_min: times[0],
        ns_max: times[times.len() - 1],
        simulations_per_second: 1e9 / times[times.len() / 2],
        mean_path: steps.map(|steps| steps as f64 / simulations as f64),
        bytes_per_child: outcome.map(|outcome| outcome.bytes_per_child),
        oversubscribed: case.threads > options::cores(),
        git_revision: revision.to_owned(),
    })
}

/// Asked at run time: compiled in, it would compile the crate's tests anew at every commit.
fn revision() -> String {
    let folder = env!("CARGO_MANIFEST_DIR");
    let asked = Command::new("git")
        .args(["-C", folder, "describe", "--always", "--dirty", "--abbrev=12"])
        .output();
    let text = asked.ok().filter(|output| output.status.success());
    let text = text.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    text.unwrap_or_else(|| "unknown".to_owned())
}
