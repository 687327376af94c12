//! Inference timed: contexts read, steps written at several batch sizes, and a search of AlphaMath's shape, also in
//! lock-step.

use std::fmt;
use std::time::Instant;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use espalier_search::{
    Cancel, Evaluator, MctsConfig, Problem, Request, for_each_index, search_tree,
};
use espalier_training::{
    Checkpoint, Device, InferenceConfig, InferenceStats, LocalEvaluator, matmul_rate,
    resolve_threads,
};
use serde::Serialize;

use super::lockstep::Lockstep;
use super::text::TextSteps;
use super::{oversubscribed, spread};
use crate::{provenance, seed};

/// Tokens of a context and of a step, as far as the model's positions allow.
const CONTEXT: usize = 200;
const STEP: usize = 64;

/// What is timed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum InferenceCase {
    /// Contexts of 200 tokens read.
    Prefill,
    /// Steps of 64 tokens written, each after a context of its own that was read before.
    Decode,
    /// Trees of AlphaMath's shape, five samples a leaf.
    Search,
    /// The same trees in lock-step, and nothing kept from one request to the next.
    Lockstep,
}

impl fmt::Display for InferenceCase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

/// Which cases, and how large.
#[derive(Debug, Clone, Args)]
pub struct InferenceOptions {
    /// Cases of `inference`.
    #[arg(long, value_enum, value_delimiter = ',', default_values = ["prefill", "decode", "search", "lockstep"])]
    pub cases: Vec<InferenceCase>,
    /// Batch sizes of `decode`.
    #[arg(long, value_delimiter = ',', default_values = ["64", "32", "8", "1"], value_parser = clap::value_parser!(u16).range(1..))]
    pub batches: Vec<u16>,
    /// Trees that are grown at once in `search` and `lockstep`.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..))]
    pub problems: u16,
    /// Simulations of each tree in `search` and `lockstep`.
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u16).range(1..))]
    pub search_simulations: u16,
}

/// MiB for keys and values at least: nothing is dropped.
const KEPT: usize = 6144;

/// One timed case.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// Names this form and its version.
    pub schema: &'static str,
    /// What was timed.
    pub case: InferenceCase,
    /// Where the net is computed.
    pub device: Device,
    /// Sequences at once.
    pub batch: usize,
    /// Cores.
    pub threads: usize,
    /// Threads beyond the machine's cores say nothing about scaling.
    pub oversubscribed: bool,
    /// Tokens read (`prefill`) or sampled, a second, in the median repetition.
    pub tokens_per_second: f64,
    /// Slowest and fastest repetition.
    pub tokens_per_second_min: f64,
    /// Slowest and fastest repetition.
    pub tokens_per_second_max: f64,
    /// Wall time of the median repetition, in seconds.
    pub seconds: f64,
    /// How full the passes of `search` were while more work was waiting; in other cases all work is there at once.
    pub occupancy: Option<f64>,
    /// Tokens that were computed although they had been before.
    pub prefix_tokens_recomputed: u64,
    /// Share of the wall time in which the schedulers were in forward passes.
    pub forward_share: f64,
    /// Multiply-adds a second, as a share of what libtorch's matrix product alone reaches on the same matrices with as
    /// many rows as passes have: `batch` in `decode`, a context's in `prefill`, the slots in `search`.
    pub gemm_share: f64,
    /// Median and 99th percentile of the time that a request waited for its turn, in milliseconds.
    pub queue_ms: [f64; 2],
    /// Where the program comes from.
    pub git_revision: &'static str,
}

struct Timing<'a> {
    net: &'a Checkpoint,
    base: &'a InferenceConfig,
    options: &'a InferenceOptions,
    threads: usize,
    repetitions: usize,
}

/// Times a net and hands over each row as soon as it is there.
///
/// # Errors
/// When a request fails, and those of `take`.
pub fn inference(
    net: &Checkpoint,
    base: &InferenceConfig,
    options: &InferenceOptions,
    repetitions: usize,
    mut take: impl FnMut(Row) -> Result<()>,
) -> Result<()> {
    let timing = Timing { net, base, options, threads: resolve_threads(base.threads), repetitions };
    for case in &options.cases {
        match case {
            InferenceCase::Prefill => take(timing.prefill(8)?)?,
            InferenceCase::Decode => {
                let batches = options.batches.iter().map(|&batch| usize::from(batch));
                batches.map(|batch| timing.decode(batch)).try_for_each(|row| take(row?))?;
            }
            InferenceCase::Search => take(timing.search(false)?)?,
            InferenceCase::Lockstep => take(timing.search(true)?)?,
        }
    }
    Ok(())
}

impl Timing<'_> {
    fn evaluator(
        &self,
        slots: usize,
        stops: &[&str],
        kv_cache_megabytes: usize,
    ) -> Result<LocalEvaluator> {
        let config = InferenceConfig {
            max_step_tokens: STEP.min(self.positions() / 4),
            stops: stops.iter().map(|&stop| stop.to_owned()).collect(),
            kv_cache_megabytes,
            slots,
            threads: self.threads,
            ..self.base.clone()
        };
        Ok(LocalEvaluator::new(self.net, config)?)
    }

    fn positions(&self) -> usize {
        self.net.config.max_length()
    }

    /// Numbers in words' stead, so that every tokenizer can read them: about [`CONTEXT`] tokens that begin differently.
    fn context(&self, index: u64) -> Result<String> {
        let length = CONTEXT.min(self.positions() / 2);
        let mut text = String::new();
        for word in 0.. {
            let number = seed::derive(index, &["bench", &word.to_string()]) % 1000;
            let longer = format!("{text}{number} ");
            if self.net.tokenizer.encode(&longer)?.len() > length {
                break;
            }
            text = longer;
        }
        Ok(text)
    }

    fn requests(&self, count: usize, samples: usize, seed: u64) -> Result<Vec<Request>> {
        let request = |index: u64| {
            let context = self.context(index)?.into();
            Ok(Request::steps(context, samples, 1.0, seed + index))
        };
        (0..count as u64).map(request).collect()
    }

    fn prefill(&self, batch: usize) -> Result<Row> {
        let requests = self.requests(batch, 0, 0)?;
        let evaluator = self.evaluator(batch, &[], KEPT)?;
        self.time(InferenceCase::Prefill, batch, CONTEXT, |_| {
            evaluator.forget();
            let (seconds, stats) = timed(&evaluator, || all(&evaluator, &requests))?;
            Ok((stats.prefix_tokens_computed, seconds, stats))
        })
    }

    fn decode(&self, batch: usize) -> Result<Row> {
        let evaluator = self.evaluator(batch, &[], KEPT)?;
        all(&evaluator, &self.requests(batch, 0, 0)?)?;
        self.time(InferenceCase::Decode, batch, batch, |repetition| {
            let requests = self.requests(batch, 1, 1000 * (repetition as u64 + 1))?;
            let (seconds, stats) = timed(&evaluator, || all(&evaluator, &requests))?;
            Ok((stats.tokens_sampled, seconds, stats))
        })
    }

    /// Five samples a leaf and AlphaMath's forty simulations a tree, if not told otherwise, over texts in which every line is a step; each tree at its own pace,
    /// or all in lock-step and without a memory of what was read.
    fn search(&self, lockstep: bool) -> Result<Row> {
        let (case, kept) = match lockstep {
            false => (InferenceCase::Search, KEPT.max(self.base.kv_cache_megabytes)),
            true => (InferenceCase::Lockstep, 0),
        };
        let count = usize::from(self.options.problems);
        let simulations = u64::from(self.options.search_simulations);
        let config = MctsConfig { samples: 5, simulations, ..MctsConfig::default() };
        let environment = TextSteps { depth: 8 };
        let slots = self.base.slots;
        let problem = |index: usize| {
            Ok(Problem {
                id: index.to_string(),
                question: format!("{}\n", self.context(index as u64)?),
                answer: String::new(),
                metadata: serde_json::Map::new(),
            })
        };
        let problems = (0..count).map(problem).collect::<Result<Vec<_>>>()?;
        let evaluator = self.evaluator(slots, &["\n"], kept)?;
        self.time(case, count, slots, |repetition| {
            evaluator.forget();
            let rounds = Lockstep::new(&evaluator, count);
            let asked: &dyn Evaluator = if lockstep { &rounds } else { &evaluator };
            let cancel = Cancel::new();
            let grow = |index: usize| -> Result<()> {
                let stream = (repetition * count + index) as u64;
                let problem = &problems[index];
                let tree =
                    search_tree(&environment, asked, problem, &config, stream, false, &cancel);
                rounds.leave();
                tree?;
                Ok(())
            };
            let (seconds, stats) =
                timed(&evaluator, || for_each_index(count, count, &cancel, grow))?;
            Ok((stats.tokens_sampled, seconds, stats))
        })
    }

    /// Times repetitions of `work`, which returns tokens, seconds and what the evaluator did. Passes have about `rows` rows.
    fn time(
        &self,
        case: InferenceCase,
        batch: usize,
        rows: usize,
        work: impl Fn(usize) -> Result<(u64, f64, InferenceStats)>,
    ) -> Result<Row> {
        let mut timed = Vec::new();
        for repetition in 0..=self.repetitions {
            let done = work(repetition)?;
            if repetition > 0 {
                timed.push(done);
            }
        }
        timed.sort_by(|a, b| (a.0 as f64 / a.1).total_cmp(&(b.0 as f64 / b.1)));
        let rates = timed.iter().map(|(tokens, seconds, _)| *tokens as f64 / seconds).collect();
        let [slowest, median, fastest] = spread(rates);
        let (_, seconds, stats) = timed.into_iter().nth(self.repetitions / 2).context("no time")?;
        let alone = matmul_rate(&self.net.config, self.base.device, rows, self.threads, 3)?;
        Ok(Row {
            schema: "espalier.bench.inference/1",
            case,
            device: self.base.device,
            batch,
            threads: self.threads,
            oversubscribed: oversubscribed(self.threads),
            tokens_per_second: median,
            tokens_per_second_min: slowest,
            tokens_per_second_max: fastest,
            seconds,
            occupancy: stats.occupancy.filter(|_| case == InferenceCase::Search),
            prefix_tokens_recomputed: stats.prefix_tokens_recomputed,
            forward_share: stats.forward_seconds / stats.schedulers as f64 / seconds,
            gemm_share: stats.multiply_adds as f64 / seconds / alone,
            queue_ms: [stats.queue_p50_ms, stats.queue_p99_ms],
            git_revision: provenance::get().git_revision,
        })
    }
}

fn all(evaluator: &LocalEvaluator, requests: &[Request]) -> Result<()> {
    evaluator
        .evaluate(requests, &Cancel::new())
        .into_iter()
        .try_for_each(|answer| Ok(answer.map(drop)?))
}

/// The seconds that some work takes, and what an evaluator did in them; how full its passes were and how long requests
/// waited is of all its time.
fn timed(
    evaluator: &LocalEvaluator,
    work: impl FnOnce() -> Result<()>,
) -> Result<(f64, InferenceStats)> {
    let before = evaluator.stats();
    let start = Instant::now();
    work()?;
    let seconds = start.elapsed().as_secs_f64();
    let after = evaluator.stats();
    let stats = InferenceStats {
        prefix_tokens_computed: after.prefix_tokens_computed - before.prefix_tokens_computed,
        prefix_tokens_recomputed: after.prefix_tokens_recomputed - before.prefix_tokens_recomputed,
        tokens_sampled: after.tokens_sampled - before.tokens_sampled,
        forward_seconds: after.forward_seconds - before.forward_seconds,
        busy_seconds: after.busy_seconds - before.busy_seconds,
        multiply_adds: after.multiply_adds - before.multiply_adds,
        ..after
    };
    Ok((seconds, stats))
}
