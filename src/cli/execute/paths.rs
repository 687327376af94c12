//! Many paths of code steps, beside what CPython made of them.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde_json::json;

use super::super::arguments::{print_json, print_line};
use super::started;
use espalier::execution::{CodeState, Execution, ExecutorConfig, Outcome};
use espalier::jsonl;

/// A path, and what CPython makes of its steps where that is known.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    id: String,
    #[serde(default)]
    #[expect(dead_code, reason = "a row's kind is its writer's own")]
    tag: String,
    steps: Vec<String>,
    #[serde(default)]
    cpython: Vec<Known>,
}

#[derive(Debug, Deserialize)]
struct Known {
    outcome: Outcome,
    observation: String,
}

/// How many steps ended how.
#[derive(Debug, Default)]
struct Counts {
    steps: usize,
    agree: usize,
    unsupported: usize,
    differ: usize,
}

/// Runs every path, prints each step with --json and each that differs without, and then the counts.
pub fn main(file: &Path, config: &ExecutorConfig, json: bool) -> Result<()> {
    let rows: Vec<Row> = jsonl::read(file)?;
    for (at, row) in rows.iter().enumerate() {
        let known = row.cpython.is_empty() || row.cpython.len() == row.steps.len();
        let place = || format!("{}, line {}", file.display(), at + 1);
        ensure!(known, "{}: cpython must have one entry a step, or none", place());
    }
    let executor = started(config)?;
    let mut counts = Counts::default();
    let start = std::time::Instant::now();
    for row in &rows {
        let mut state = CodeState::default();
        for (at, code) in row.steps.iter().enumerate() {
            let ran = executor.run(&state, code).with_context(|| row.id.clone())?;
            let Execution { outcome, observation, seconds } = ran.0;
            state = ran.1;
            let agrees = row
                .cpython
                .get(at)
                .map(|known| outcome == known.outcome && observation == known.observation);
            counts.steps += 1;
            counts.agree += usize::from(agrees == Some(true));
            counts.unsupported += usize::from(outcome == Outcome::Unsupported);
            let differs = agrees == Some(false) && outcome != Outcome::Unsupported;
            counts.differ += usize::from(differs);
            if json {
                print_json(&json!({
                    "schema": "espalier.execution/1",
                    "id": row.id,
                    "step": at,
                    "outcome": outcome,
                    "observation": observation,
                    "seconds": seconds,
                    "agrees": agrees,
                }))?;
            } else if differs {
                let known = &row.cpython[at];
                print_line(&format!("{}, step {at}: {outcome}, {observation:?}", row.id))?;
                print_line(&format!("  CPython: {}, {:?}", known.outcome, known.observation))?;
            }
        }
    }
    if !json {
        let seconds = start.elapsed().as_secs_f64();
        let Counts { steps, agree, unsupported, differ } = counts;
        print_line(&format!(
            "{} paths, {steps} steps by {}: {agree} agree with CPython, {unsupported} unsupported, {differ} differ; {:.0} steps a second",
            rows.len(),
            executor.interpreter(),
            steps as f64 / seconds.max(1e-9)
        ))?;
    }
    Ok(())
}
