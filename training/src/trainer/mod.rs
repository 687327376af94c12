//! Training: examples in, checkpoint out; a killed run resumes and ends with the same bits.
//!
//! Every step is a function of (parameters, optimiser state, seed, step): the order of the batches comes from (seed,
//! epoch) and the dropout from (seed, step), so the state to be saved is the tensors and one number. It is written to
//! `OUT.partial` every [`TrainConfig::save_every`] steps; the finished checkpoint is renamed into place at `OUT`.

mod config;
mod frozen;
mod loader;
mod plan;
mod report;
mod shards;
mod state;
mod timing;

use std::ffi::OsString;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

use espalier_model::checkpoint::Checkpoint;
use espalier_model::device::Device;
use espalier_model::folder;
use espalier_model::lora::Adapter;

use crate::error::{Error, Result};
use crate::examples::Examples;
use crate::net::PolicyValueNet;
use crate::objective::Objective;
use crate::optimizer::{AdamWConfig, Optimizer, sum_and_norm};
use crate::schedule::Schedule;

pub use config::{Compute, TrainConfig};
use frozen::Frozen;
use loader::Batch;
use plan::Plan;
pub use report::{StepMetrics, TrainReport, Trained};
use shards::{BatchLoss, Outcome, Shards};
pub use state::TRAINING_STATE;
use state::{SavedNet, SavedRun, TrainerState, fingerprint};
pub use timing::{StepTime, time_steps};

/// A training run: what comes out depends on all of it but [`Compute::threads`].
#[derive(Debug, Clone, Copy)]
pub struct Job<'a> {
    /// The net to start from, also the frozen one of objectives that read its log-probabilities.
    pub base: &'a Checkpoint,
    /// What is learned.
    pub examples: &'a dyn Examples,
    /// What is minimised.
    pub objective: &'a dyn Objective,
    /// Optimiser, precision and memory.
    pub config: &'a TrainConfig,
    /// Of the order of the examples and of dropout.
    pub seed: u64,
    /// Where it is computed.
    pub compute: Compute,
}

/// Trains a copy of the job's net on its examples and writes the checkpoint, with the optimiser's state, to `out_dir`. With
/// [`TrainConfig::lora`] the checkpoint has the adapter merged in, and the adapter alone is in its folder `adapter`.
///
/// When `out_dir.partial` holds a state of the same run (same base, examples, objective, settings and seed) training goes on from
/// there; when `out_dir` holds the finished run its report comes back at once. On the CPU the result depends on the settings
/// and the seed alone: [`Compute::threads`] only says whether shards run side by side. `progress` sees every step and stops
/// the run by breaking, which saves its state.
///
/// # Errors
/// When a setting or an example is out of range, nothing can be trained on, the loss is not finite, a file cannot be
/// written, libtorch refuses, or `progress` broke ([`Error::Stopped`]).
pub fn train(
    job: &Job<'_>,
    out_dir: &Path,
    progress: &mut dyn FnMut(&StepMetrics) -> ControlFlow<()>,
) -> Result<Trained> {
    let Job { base, config, seed, .. } = *job;
    job.check()?;
    let fingerprint = fingerprint(job)?;
    let partial = partial_dir(out_dir);
    if let Some(SavedRun { state: TrainerState { report: Some(report), curve, .. }, .. }) =
        SavedRun::find(out_dir, &fingerprint)
    {
        folder::remove(&partial)?;
        return Ok(Trained { report, curve });
    }
    let plan = Plan::new(job)?;
    let frozen = Frozen::new(job, &plan)?;
    let saved = SavedRun::find(&partial, &fingerprint);
    let mut run = Run::start(job, &plan, saved)?;
    let device = run.shards.net().device();
    std::thread::scope(|scope| {
        let batches = loader::start(scope, &plan, &frozen, seed, device, run.step);
        while let Ok(batch) = batches.recv() {
            let metrics = run.step(&plan, batch?)?;
            if metrics.is_of_curve() {
                run.curve.push(metrics.clone());
            }
            let state = || TrainerState::new(fingerprint.clone(), run.step, run.curve.clone());
            let last = run.step == plan.steps();
            if last {
                let report = plan.report(&run.curve[0], &metrics);
                let done = TrainerState { report: Some(report.clone()), ..state() };
                done.save(out_dir, base, run.shards.net(), &run.optimizer)?;
                // Whatever it says: the run is over.
                let _ = progress(&metrics);
                folder::remove(&partial)?;
                return Ok(Trained { report, curve: done.curve });
            }
            let stopped = progress(&metrics).is_break();
            if stopped || run.step.is_multiple_of(config.save_every) {
                state().save(&partial, base, run.shards.net(), &run.optimizer)?;
            }
            if stopped {
                return Err(Error::Stopped { step: run.step });
            }
        }
        // A state saved at the last step is never partial, so a plan with a step always returns above.
        Err(Error::Setting {
            field: "examples",
            message: "there is nothing to train on".to_owned(),
        })
    })
}

impl Job<'_> {
    /// Checks what a run relies on.
    fn check(&self) -> Result<()> {
        self.config.validate()?;
        self.config.check_device(self.compute.device)?;
        self.objective.validate()?;
        let mut signals = None;
        for index in 0..self.examples.len() {
            let example = self.examples.get(index)?;
            example.validate(index, self.base.config.vocab_size)?;
            let found = example.signals.len();
            let signals = *signals.get_or_insert(found);
            if found != signals {
                let message = format!("{found} signals, and the first example has {signals}");
                return Err(Error::Example { index, message });
            }
        }
        Ok(())
    }

    /// A net of the base's weights, where and as the run computes.
    fn net(&self, net: PolicyValueNet) -> Result<PolicyValueNet> {
        net.on(self.compute.device)?.with_precision(self.config.precision)
    }
}

/// Where the state of an unfinished run is.
fn partial_dir(out_dir: &Path) -> PathBuf {
    let mut name = out_dir.file_name().map_or_else(OsString::new, ToOwned::to_owned);
    name.push(".partial");
    out_dir.with_file_name(name)
}

/// What changes from step to step.
struct Run<'a> {
    shards: Shards,
    optimizer: Optimizer,
    objective: &'a dyn Objective,
    schedule: Schedule,
    clip_norm: f64,
    /// Threads of the optimiser.
    threads: usize,
    /// Steps done.
    step: usize,
    /// The learning curve so far.
    curve: Vec<StepMetrics>,
    /// How long the last step took.
    time: StepTime,
}

impl<'a> Run<'a> {
    fn start(job: &Job<'a>, plan: &Plan<'_>, saved: Option<SavedRun>) -> Result<Self> {
        let Job { base, config, compute, .. } = *job;
        let net = match saved.as_ref().map(|saved| &saved.net) {
            Some(SavedNet::Whole(checkpoint)) => PolicyValueNet::new(checkpoint),
            Some(SavedNet::Adapter(adapter)) => PolicyValueNet::with_adapter(base, adapter)?,
            None => match &config.lora {
                Some(lora) => {
                    let adapter = Adapter::initialise(&base.parameters, lora, job.seed)?;
                    PolicyValueNet::with_adapter(base, &adapter)?
                }
                None => PolicyValueNet::new(base),
            },
        };
        let net = job.net(net)?;
        let net = net.with_activation_checkpointing(config.activation_checkpointing);
        let adam = AdamWConfig {
            betas: config.adam_betas,
            epsilon: config.adam_epsilon,
            weight_decay: config.weight_decay,
        };
        let mut optimizer = Optimizer::new(config.optimizer, adam, &net);
        let (mut step, mut curve) = (0, Vec::new());
        if let Some(saved) = saved {
            step = saved.state.step;
            curve = saved.state.curve;
            optimizer.restore(saved.moments, step)?;
            tracing::info!(step, "training resumes");
        }
        let total = plan.steps();
        let schedule = Schedule {
            peak: config.learning_rate,
            floor: config.learning_rate * config.min_learning_rate_ratio,
            warmup: (config.warmup_fraction * total as f64).round() as usize,
            total,
        };
        Ok(Self {
            shards: Shards::new(net, plan.shares(), compute.threads),
            optimizer,
            objective: job.objective,
            schedule,
            clip_norm: config.clip_norm,
            threads: if compute.device == Device::Cpu { compute.threads } else { 1 },
            step,
            curve,
            time: StepTime::default(),
        })
    }

    /// Does one step and counts it.
    fn step(&mut self, plan: &Plan<'_>, batch: Batch) -> Result<StepMetrics> {
        let (start, tokens) = (Instant::now(), batch.tokens);
        let Outcome { loss: BatchLoss { total: loss, parts }, gradients, forward, passes } =
            self.shards.gradients(self.objective, batch)?;
        if !loss.is_finite() {
            return Err(Error::Diverged { step: self.step + 1, loss });
        }
        let gradients_done = Instant::now();
        let mut gradients = gradients.into_iter();
        let mut sum = gradients.next().unwrap_or_default();
        let gradient_norm = sum_and_norm(&mut sum, gradients.as_slice(), self.threads)?;
        if !gradient_norm.is_finite() {
            return Err(Error::Diverged { step: self.step + 1, loss: gradient_norm });
        }
        let learning_rate = self.schedule.at(self.step);
        let scale = (self.clip_norm / (gradient_norm + 1e-6)).min(1.0);
        self.optimizer.step(self.shards.net(), &sum, learning_rate, scale, self.threads)?;
        self.time = StepTime {
            tokens: tokens.examples,
            row_tokens: tokens.rows,
            computed_tokens: tokens.computed,
            seconds: start.elapsed().as_secs_f64(),
            optimizer_seconds: gradients_done.elapsed().as_secs_f64(),
            forward_of_passes: forward / passes,
        };
        self.step += 1;
        Ok(StepMetrics {
            step: self.step,
            total_steps: plan.steps(),
            epoch: plan.epoch_of(self.step - 1),
            loss,
            parts,
            learning_rate,
            gradient_norm,
            tokens: tokens.examples,
        })
    }
}
