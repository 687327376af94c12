//! Code steps timed: a step after nothing, paths, and trees in which every state has several children.

use anyhow::Result;
use espalier_search::{Cancel, for_each_index};

use super::{Case, counts, time};
use crate::execution::{CodeState, Executor, ExecutorConfig, ExecutorKind, start};

/// A step as models write them for word problems, after one that defines `n`.
const STEP: &str =
    "prices = [n * 3, n + 7, 12.5]\ntotal = sum(prices)\nn = n + 1\nprint(round(total, 2))";
const FIRST: &str = "n = 4";
const SYMBOLIC: &str =
    "from sympy import symbols, solve\nx = symbols('x')\nsolve(x**2 - 5*x + 6, x)";
/// Steps of a path, and paths at once.
const DEPTH: usize = 8;
const PATHS: usize = 16;
/// Children of a node, and nodes that have them.
const SAMPLES: usize = 5;
const NODES: usize = 40;

/// Steps a second of both executors, on one worker and on `threads`; of the embedded one alone where Python cannot be shut in.
///
/// # Errors
/// When the embedded executor cannot be started, or a step is not what it should be.
pub fn execution(threads: usize, repetitions: usize) -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    let kinds = [(ExecutorKind::Embedded, "embedded"), (ExecutorKind::Cpython, "cpython")];
    for (kind, name) in kinds {
        for workers in counts(threads) {
            let config = ExecutorConfig { kind, workers, ..ExecutorConfig::default() };
            let executor = match start(&config) {
                Err(error) if kind == ExecutorKind::Cpython => {
                    tracing::warn!("CPython is not timed: {error}");
                    break;
                }
                executor => executor?,
            };
            let timing = Timing { executor: &*executor, name, workers, repetitions };
            cases.push(timing.case("step", |executor| alone(executor, workers, FIRST))?);
            cases.push(timing.case("path of 8", |executor| paths(executor, workers))?);
            cases.push(timing.case("five children a node", |executor| tree(executor, workers))?);
            let (symbolic, _) = executor.run(&CodeState::default(), SYMBOLIC)?;
            if symbolic.observation == "[2, 3]" {
                cases.push(timing.case("sympy", |executor| alone(executor, workers, SYMBOLIC))?);
            }
        }
    }
    Ok(cases)
}

struct Timing<'a> {
    executor: &'a dyn Executor,
    name: &'static str,
    workers: usize,
    repetitions: usize,
}

impl Timing<'_> {
    fn case(&self, case: &str, work: impl Fn(&dyn Executor) -> Result<u64>) -> Result<Case> {
        let case = format!("{}: {case}", self.name);
        let work = || work(self.executor);
        time("execution", case, self.workers, "steps", self.repetitions, work)
    }
}

/// The same first step again and again.
fn alone(executor: &dyn Executor, workers: usize, code: &str) -> Result<u64> {
    for_each_index(NODES, workers, &Cancel::new(), |_| {
        executor.run(&CodeState::default(), code).map(drop)
    })?;
    Ok(NODES as u64)
}

fn paths(executor: &dyn Executor, workers: usize) -> Result<u64> {
    for_each_index(PATHS, workers, &Cancel::new(), |_| -> Result<()> {
        let (_, mut state) = executor.run(&CodeState::default(), FIRST)?;
        for _ in 1..DEPTH {
            (_, state) = executor.run(&state, STEP)?;
        }
        Ok(())
    })?;
    Ok((PATHS * DEPTH) as u64)
}

/// Trees of AlphaMath's shape, of which each level's last child is built on.
fn tree(executor: &dyn Executor, workers: usize) -> Result<u64> {
    for_each_index(NODES / DEPTH, workers, &Cancel::new(), |_| -> Result<()> {
        let (_, mut state) = executor.run(&CodeState::default(), FIRST)?;
        for _ in 1..DEPTH {
            let mut last = CodeState::default();
            for _ in 0..SAMPLES {
                (_, last) = executor.run(&state, STEP)?;
            }
            state = last;
        }
        Ok(())
    })?;
    Ok((NODES / DEPTH * (1 + (DEPTH - 1) * SAMPLES)) as u64)
}
