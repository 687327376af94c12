//! Training: examples in, checkpoint out; a killed run resumes and ends with the same bits.
//!
//! Every step is a function of (parameters, optimiser state, seed, step): the order of the batches comes from (seed,
//! epoch) and the dropout from (seed, step), so the state to be saved is the tensors and one number. It is written to
//! `OUT.partial` every [`TrainConfig::save_every`] steps; the finished checkpoint is renamed into place at `OUT`.

mod config;
mod report;
mod shards;
mod state;

use std::ffi::OsString;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use crate::objective::AlphaMath;
use crate::optimizer::{AdamW, AdamWConfig, gradient_norm};
use crate::schedule::Schedule;
use crate::{Adapter, Checkpoint, Error, Example, PolicyValueNet, Result, batches, checkpoint};

pub use config::TrainConfig;
pub use report::{StepMetrics, TrainReport};
use shards::{BatchLoss, Shards};
use state::{SavedNet, SavedRun, TrainerState, fingerprint};

/// Trains a copy of `base` on the examples and writes the checkpoint, with the optimiser's state, to `out_dir`. With
/// [`TrainConfig::lora`] the checkpoint has the adapter merged in, and the adapter alone is in its folder `adapter`.
///
/// When `out_dir.partial` holds a state of the same run (same base, examples, settings and seed) training goes on from
/// there; when `out_dir` holds the finished run its report comes back at once. The result depends on the settings and
/// the seed alone; `threads` (1: the calling thread) only says how many shards run side by side. `progress` sees every step and stops
/// the run by breaking.
///
/// # Errors
/// When a setting or an example is out of range, nothing can be trained on, the loss is not finite, a file cannot be
/// written, or `progress` broke ([`Error::Stopped`]).
pub fn train(
    base: &Checkpoint,
    examples: &[Example],
    config: &TrainConfig,
    seed: u64,
    threads: usize,
    out_dir: &Path,
    progress: &mut dyn FnMut(&StepMetrics) -> ControlFlow<()>,
) -> Result<TrainReport> {
    config.validate()?;
    for (index, example) in examples.iter().enumerate() {
        example.validate(index, base.config.vocab_size)?;
    }
    let fingerprint = fingerprint(base, examples, config, seed)?;
    let partial = partial_dir(out_dir);
    if let Some(SavedRun { state: TrainerState { report: Some(report), .. }, .. }) =
        SavedRun::find(out_dir, &fingerprint)
    {
        checkpoint::remove(&partial)?;
        return Ok(report);
    }
    let plan = Plan::new(base, examples, config, seed)?;
    let saved = SavedRun::find(&partial, &fingerprint);
    let mut run = Run::start(base, config, seed, threads, &plan, saved)?;
    while run.step < plan.batches.len() {
        let metrics = run.step(&plan)?;
        let first = run.first.get_or_insert_with(|| metrics.clone()).clone();
        let state = TrainerState::new(fingerprint.clone(), run.step, first);
        let last = run.step == plan.batches.len();
        if last {
            let report = Some(plan.report(&state.first, &metrics));
            let done = TrainerState { report, ..state };
            done.save(out_dir, base, run.shards.net(), &run.optimizer)?;
        } else if run.step.is_multiple_of(config.save_every) {
            state.save(&partial, base, run.shards.net(), &run.optimizer)?;
        }
        let stop = progress(&metrics).is_break();
        if last {
            checkpoint::remove(&partial)?;
            return Ok(plan.report(run.first.as_ref().unwrap_or(&metrics), &metrics));
        }
        if stop {
            return Err(Error::Stopped { step: run.step });
        }
    }
    // A state saved at the last step is never partial, so a plan with a step always returns above.
    Err(Error::Setting { field: "examples", message: "there is nothing to train on".to_owned() })
}

/// Where the state of an unfinished run is.
fn partial_dir(out_dir: &Path) -> PathBuf {
    let mut name = out_dir.file_name().map_or_else(OsString::new, ToOwned::to_owned);
    name.push(".partial");
    out_dir.with_file_name(name)
}

/// All batches of a run, known before it starts, because the schedule needs their number.
struct Plan<'a> {
    examples: Vec<&'a Example>,
    /// Epoch (from 1) and members of each step's batch.
    batches: Vec<(usize, Vec<usize>)>,
    dropped_too_long: usize,
    dropped_without_targets: usize,
    tokens: usize,
    padding: usize,
}

impl<'a> Plan<'a> {
    fn new(
        base: &Checkpoint,
        examples: &'a [Example],
        config: &TrainConfig,
        seed: u64,
    ) -> Result<Self> {
        let limit = base.config.max_position_embeddings;
        let (fitting, too_long): (Vec<_>, Vec<_>) =
            examples.iter().partition(|example| example.tokens.len() <= limit);
        if !too_long.is_empty() {
            tracing::warn!(
                dropped = too_long.len(),
                limit,
                "examples longer than the model reads are left out"
            );
        }
        let (used, empty): (Vec<_>, Vec<_>) = fitting.into_iter().partition(|example| {
            example.policy_mask.contains(&true) || !example.value_targets.is_empty()
        });
        if used.is_empty() {
            let message = format!(
                "none of {} can be trained on: {} too long, {} without targets",
                examples.len(),
                too_long.len(),
                empty.len()
            );
            return Err(Error::Setting { field: "examples", message });
        }
        let lengths: Vec<usize> = used.iter().map(|example| example.tokens.len()).collect();
        let mut plan = Self {
            examples: used,
            batches: Vec::new(),
            dropped_too_long: too_long.len(),
            dropped_without_targets: empty.len(),
            tokens: 0,
            padding: 0,
        };
        let limit = config.max_steps.unwrap_or(usize::MAX);
        for epoch in 0.. {
            let wanted = config.max_steps.is_some() || epoch < config.epochs;
            if !wanted || plan.batches.len() >= limit {
                break;
            }
            let batches = batches::plan(&lengths, config.batch_tokens, seed, epoch).batches;
            let room = limit - plan.batches.len();
            for batch in batches.into_iter().take(room) {
                let longest = batch.iter().map(|&index| lengths[index]).max().unwrap_or(0);
                let tokens: usize = batch.iter().map(|&index| lengths[index]).sum();
                plan.tokens += tokens;
                plan.padding += batch.len() * longest - tokens;
                plan.batches.push((epoch + 1, batch));
            }
        }
        Ok(plan)
    }

    fn report(&self, first: &StepMetrics, last: &StepMetrics) -> TrainReport {
        TrainReport {
            steps: self.batches.len(),
            examples: self.examples.len(),
            dropped_too_long: self.dropped_too_long,
            dropped_without_targets: self.dropped_without_targets,
            tokens: self.tokens,
            padding_fraction: self.padding as f64 / (self.tokens + self.padding).max(1) as f64,
            first: first.clone(),
            last: last.clone(),
        }
    }
}

/// What changes from step to step.
struct Run {
    shards: Shards,
    optimizer: AdamW,
    objective: AlphaMath,
    schedule: Schedule,
    clip_norm: f64,
    seed: u64,
    /// Steps done.
    step: usize,
    first: Option<StepMetrics>,
}

impl Run {
    fn start(
        base: &Checkpoint,
        config: &TrainConfig,
        seed: u64,
        threads: usize,
        plan: &Plan<'_>,
        saved: Option<SavedRun>,
    ) -> Result<Self> {
        let net = match saved.as_ref().map(|saved| &saved.net) {
            Some(SavedNet::Whole(checkpoint)) => PolicyValueNet::new(checkpoint),
            Some(SavedNet::Adapter(adapter)) => PolicyValueNet::with_adapter(base, adapter)?,
            None => match &config.lora {
                Some(lora) => {
                    let adapter = Adapter::initialise(base, lora, seed)?;
                    PolicyValueNet::with_adapter(base, &adapter)?
                }
                None => PolicyValueNet::new(base),
            },
        };
        let adam = AdamWConfig {
            betas: config.adam_betas,
            epsilon: config.adam_epsilon,
            weight_decay: config.weight_decay,
        };
        let mut optimizer = AdamW::new(adam, &net);
        let (mut step, mut first) = (0, None);
        if let Some(saved) = saved {
            step = saved.state.step;
            first = Some(saved.state.first);
            optimizer.restore(saved.moments, step)?;
            tracing::info!(step, "training resumes");
        }
        let total = plan.batches.len();
        let schedule = Schedule {
            peak: config.learning_rate,
            floor: config.learning_rate * config.min_learning_rate_ratio,
            warmup: (config.warmup_fraction * total as f64).round() as usize,
            total,
        };
        let objective = AlphaMath { beta: config.beta, value_dropout: config.value_dropout };
        let clip_norm = config.clip_norm;
        Ok(Self {
            shards: Shards::new(net, config.shards, threads),
            optimizer,
            objective,
            schedule,
            clip_norm,
            seed,
            step,
            first,
        })
    }

    /// Does one step and counts it.
    fn step(&mut self, plan: &Plan<'_>) -> Result<StepMetrics> {
        let (epoch, members) = &plan.batches[self.step];
        let examples: Vec<&Example> = members.iter().map(|&index| plan.examples[index]).collect();
        let (BatchLoss { total: loss, policy, value }, gradients) =
            self.shards.gradients(&self.objective, &examples, self.seed, self.step);
        if !loss.is_finite() {
            return Err(Error::Diverged { step: self.step + 1, loss });
        }
        let gradient_norm = gradient_norm(&gradients);
        if !gradient_norm.is_finite() {
            return Err(Error::Diverged { step: self.step + 1, loss: gradient_norm });
        }
        let learning_rate = self.schedule.at(self.step);
        let scale = (self.clip_norm / (gradient_norm + 1e-6)).min(1.0);
        self.optimizer.step(self.shards.net(), &gradients, learning_rate, scale);
        self.step += 1;
        Ok(StepMetrics {
            step: self.step,
            total_steps: plan.batches.len(),
            epoch: *epoch,
            loss,
            policy_loss: policy,
            value_loss: value,
            learning_rate,
            gradient_norm,
            tokens: examples.iter().map(|example| example.tokens.len()).sum(),
        })
    }
}
