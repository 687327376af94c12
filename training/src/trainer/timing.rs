//! Steps of training timed, without files.

use super::frozen::Frozen;
use super::plan::Plan;
use super::{Job, Run, loader};
use crate::error::Result;

/// How long an optimiser step took, and what for.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct StepTime {
    /// Tokens of the step's examples.
    pub tokens: usize,
    /// Tokens of the step's rows: beginnings that examples share count once.
    pub row_tokens: usize,
    /// Tokens that were computed: padding included.
    pub computed_tokens: usize,
    /// Wall time of the step. What the loader thread did meanwhile is not in it.
    pub seconds: f64,
    /// Of it, in adding up the shares' gradients, their norm and the update.
    pub optimizer_seconds: f64,
    /// Share of forward passes and losses in the time of forward and backward passes.
    pub forward_of_passes: f64,
}

/// Times every optimiser step of a run as [`train`](super::train) would do it; nothing is written.
///
/// # Errors
/// As [`train`](super::train).
pub fn time_steps(job: &Job<'_>) -> Result<Vec<StepTime>> {
    job.check()?;
    let plan = Plan::new(job)?;
    let frozen = Frozen::new(job, &plan)?;
    let mut run = Run::start(job, &plan, None)?;
    let device = run.shards.net().device();
    std::thread::scope(|scope| {
        let batches = loader::start(scope, &plan, &frozen, job.seed, device, 0);
        batches
            .iter()
            .map(|batch| {
                run.step(&plan, batch?)?;
                Ok(run.time)
            })
            .collect()
    })
}
