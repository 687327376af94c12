//! Steps of training timed, without files.

use super::plan::Plan;
use super::{Compute, Run, TrainConfig, check, loader};
use crate::{Checkpoint, Example, Result};

/// How long an optimiser step took, and what for.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct StepTime {
    /// Tokens of the step's examples.
    pub tokens: usize,
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
pub fn time_steps(
    base: &Checkpoint,
    examples: &[Example],
    config: &TrainConfig,
    seed: u64,
    compute: Compute,
) -> Result<Vec<StepTime>> {
    check(base, examples, config, &compute)?;
    let plan = Plan::new(base, examples, config, seed, &compute)?;
    let mut run = Run::start(base, config, seed, &compute, &plan, None)?;
    let device = run.shards.net().device();
    std::thread::scope(|scope| {
        let batches = loader::start(scope, &plan, seed, device, 0);
        batches
            .iter()
            .map(|batch| {
                run.step(&plan, batch?)?;
                Ok(run.time)
            })
            .collect()
    })
}
