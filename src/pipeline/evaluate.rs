//! Measuring a net: every problem decoded in every way, with intervals.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Mutex;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use espalier_search::{
    Cancel, DecodeConfig, Decoding, Environment, Evaluator, Problem, decode, for_each_index,
};
use serde::{Deserialize, Serialize};

use crate::compute::ComputeRecipe;
use crate::jsonl::{self, Log};
use crate::progress::Progress;
use crate::report::proportion;
use crate::seed;

/// What to measure.
#[derive(Debug, Clone)]
pub struct Plan<'a> {
    /// The held-out problems.
    pub problems: &'a [Problem],
    /// The ways to decode.
    pub decodings: &'a [Decoding],
    /// What the decodings share.
    pub config: &'a DecodeConfig,
    /// How often each problem is decoded in each way.
    pub seeds: usize,
    /// Root of the sampling seeds.
    pub seed: u64,
    /// Fingerprint of the net behind the evaluator.
    pub net: &'a str,
}

/// One decoded problem, a line of `evaluation.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Decoded {
    /// The way of decoding.
    pub decoding: String,
    /// Which of the plan's seeds.
    pub seed: usize,
    /// [`Problem::id`].
    pub problem: String,
    /// The answer given, if any.
    pub answer: Option<String>,
    /// Whether it is right.
    pub correct: bool,
    /// Sampled tokens.
    pub tokens: u64,
    /// Simulations (tree search alone).
    pub simulations: u64,
}

/// One way of decoding over all problems and seeds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Accuracy {
    /// Names this form and its version.
    pub schema: String,
    /// The way of decoding.
    pub decoding: String,
    /// Share of right answers.
    pub accuracy: f64,
    /// Lower end of the 95 % interval.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Problems.
    pub n: usize,
    /// Times that each was decoded.
    pub seeds: usize,
    /// Mean number of sampled tokens.
    pub tokens_per_problem: f64,
    /// Mean number of simulations (tree search alone).
    pub simulations_per_problem: f64,
    /// Wall time of all problems and seeds; absent when part of it was done by an earlier process.
    pub seconds: Option<f64>,
}

/// Decodes and measures, and writes every decoded problem to `out` when there is one. Finished problems are kept in a log
/// beside it (`*.log`), so that after a kill only unfinished ones are decoded; a log of other settings is refused.
///
/// # Errors
/// The first problem's that could not be decoded.
pub fn evaluate<E: Environment + Serialize>(
    environment: &E,
    evaluator: &dyn Evaluator,
    plan: &Plan<'_>,
    compute: &ComputeRecipe,
    out: Option<&Path>,
) -> Result<Vec<Accuracy>> {
    // A row says which decoding and seed it is of, so a log also serves more of them.
    let parts = (environment, plan.problems, plan.config, plan.seed, plan.net);
    let log_path = out.map(jsonl::log_beside);
    let (log, before) = match &log_path {
        Some(path) => {
            let (log, rows) = Log::open(path, &jsonl::identity(&parts)?)?;
            (Some(log), rows)
        }
        None => (None, Vec::new()),
    };
    let mut done: HashMap<(String, usize, String), Decoded> = before
        .into_iter()
        .map(|row: Decoded| ((row.decoding.clone(), row.seed, row.problem.clone()), row))
        .collect();
    let (mut results, mut all) = (Vec::new(), Vec::new());
    for decoding in plan.decodings {
        let cells: Vec<(usize, &Problem)> = (0..plan.seeds)
            .flat_map(|seed| plan.problems.iter().map(move |problem| (seed, problem)))
            .collect();
        let name = decoding.to_string();
        let mut rows: Vec<Option<Decoded>> = cells
            .iter()
            .map(|(seed, problem)| done.remove(&(name.clone(), *seed, problem.id.clone())))
            .collect();
        let missing: Vec<usize> = (0..cells.len()).filter(|&cell| rows[cell].is_none()).collect();
        let progress =
            Progress::new(&format!("evaluate {name}"), cells.len(), cells.len() - missing.len());
        let found = Mutex::new(Vec::new());
        let start = Instant::now();
        let cancel = Cancel::new();
        for_each_index(
            missing.len(),
            compute.concurrent_problems,
            &cancel,
            |index| -> Result<()> {
                let cell = missing[index];
                let (seed, problem) = cells[cell];
                let row =
                    decode_one(environment, evaluator, plan, decoding, (seed, problem), &cancel)?;
                if let Some(log) = &log {
                    log.append([&row])?;
                }
                progress.advance(String::new);
                found.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push((cell, row));
                Ok(())
            },
        )?;
        let seconds = (missing.len() == cells.len()).then(|| start.elapsed().as_secs_f64());
        for (cell, row) in found.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner) {
            rows[cell] = Some(row);
        }
        let rows: Vec<Decoded> = rows.into_iter().flatten().collect();
        results.push(summarise(name, &rows, plan, seconds)?);
        all.extend(rows);
    }
    if let (Some(out), Some(log)) = (out, log) {
        jsonl::write(out, &all)?;
        log.remove()?;
    }
    Ok(results)
}

fn decode_one<E: Environment>(
    environment: &E,
    evaluator: &dyn Evaluator,
    plan: &Plan<'_>,
    decoding: &Decoding,
    (seed, problem): (usize, &Problem),
    cancel: &Cancel,
) -> Result<Decoded> {
    let name = decoding.to_string();
    let stream = seed::derive(plan.seed, &["decode", &name, &seed.to_string(), &problem.id]);
    let outcome = decode(*decoding, environment, evaluator, problem, plan.config, stream, cancel)
        .with_context(|| format!("problem {}, {name}", problem.id))?;
    Ok(Decoded {
        decoding: name,
        seed,
        problem: problem.id.clone(),
        correct: outcome
            .answer
            .as_ref()
            .is_some_and(|answer| environment.is_correct(environment.reward(problem, answer))),
        answer: outcome.answer,
        tokens: outcome.tokens,
        simulations: outcome.simulations,
    })
}

fn summarise(
    decoding: String,
    rows: &[Decoded],
    plan: &Plan<'_>,
    seconds: Option<f64>,
) -> Result<Accuracy> {
    if plan.problems.is_empty() || rows.len() != plan.problems.len() * plan.seeds {
        bail!("{decoding}: {} rows for {} problems", rows.len(), plan.problems.len());
    }
    let runs: Vec<Vec<f64>> = rows
        .chunks(plan.problems.len())
        .map(|run| run.iter().map(|row| f64::from(u8::from(row.correct))).collect())
        .collect();
    let accuracy = proportion(&runs);
    let mean = |total: u64| total as f64 / rows.len() as f64;
    Ok(Accuracy {
        schema: "espalier.accuracy/1".into(),
        decoding,
        accuracy: accuracy.mean,
        low: accuracy.low,
        high: accuracy.high,
        n: plan.problems.len(),
        seeds: plan.seeds,
        tokens_per_problem: mean(rows.iter().map(|row| row.tokens).sum()),
        simulations_per_problem: mean(rows.iter().map(|row| row.simulations).sum()),
        seconds,
    })
}

#[cfg(test)]
mod tests {
    use espalier_search::{Evaluation, EvaluatorError, Request};

    use super::*;
    use crate::environment::countdown::{Countdown, parse_problem};
    use crate::pipeline::tests::until_cancelled;

    /// Fails at one problem; stuck at any other until it is cancelled.
    struct Broken;

    impl Evaluator for Broken {
        fn evaluate(
            &self,
            requests: &[Request],
            cancel: &Cancel,
        ) -> Vec<Result<Evaluation, EvaluatorError>> {
            if requests[0].context.starts_with("26") {
                let broken = Err(EvaluatorError::Failed("out of order".to_owned()));
                return vec![broken; requests.len()];
            }
            until_cancelled(requests, cancel)
        }
    }

    #[test]
    fn the_first_failure_ends_decodings_under_way_and_is_the_one_that_is_told() {
        let problems =
            ["24: 2 3 4", "9: 2 3 4", "26: 3 5 7"].map(|text| parse_problem(text).unwrap());
        let plan = Plan {
            problems: &problems,
            decodings: &[Decoding::Greedy],
            config: &DecodeConfig::default(),
            seeds: 1,
            seed: 1,
            net: "broken",
        };
        let compute = ComputeRecipe { concurrent_problems: 3, ..ComputeRecipe::default() };
        let error = evaluate(&Countdown::default(), &Broken, &plan, &compute, None).unwrap_err();
        assert!(format!("{error:#}").contains("out of order"), "{error:#}");
    }
}
