//! What a run will do, known before it starts: the schedule needs the number of steps.

use std::ops::Range;

use super::{Compute, StepMetrics, TrainConfig, TrainReport};
use crate::batches::{self, Cut, padded};
use crate::{Checkpoint, Device, Error, Example, Result};

/// All steps of a run.
pub(super) struct Plan<'a> {
    pub examples: Vec<&'a Example>,
    pub steps: Vec<Step>,
    cut: Cut,
    dropped_too_long: usize,
    dropped_without_targets: usize,
}

/// An optimiser step.
pub(super) struct Step {
    /// Pass over the examples, counted from 1.
    pub epoch: usize,
    /// Its examples, shorter ones first.
    pub members: Vec<usize>,
}

impl<'a> Plan<'a> {
    pub fn new(
        base: &Checkpoint,
        examples: &'a [Example],
        config: &TrainConfig,
        seed: u64,
        compute: &Compute,
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
        // Shares would only wait for one another on a GPU.
        let shares = if compute.device == Device::Cpu { config.shards } else { 1 };
        let mut plan = Self {
            examples: used,
            steps: Vec::new(),
            cut: Cut { shares, micro_batch_tokens: config.micro_batch_tokens },
            dropped_too_long: too_long.len(),
            dropped_without_targets: empty.len(),
        };
        let limit = config.max_steps.unwrap_or(usize::MAX);
        for epoch in 0.. {
            let wanted = config.max_steps.is_some() || epoch < config.epochs;
            if !wanted || plan.steps.len() >= limit {
                break;
            }
            let batches = batches::plan(&lengths, config.batch_tokens, seed, epoch);
            let room = limit - plan.steps.len();
            let step = |members| Step { epoch: epoch + 1, members };
            plan.steps.extend(batches.into_iter().take(room).map(step));
        }
        Ok(plan)
    }

    /// How many shares a step has at most.
    pub fn shares(&self) -> usize {
        self.cut.shares
    }

    /// The passes of each share of a step, as ranges of its members.
    pub fn passes(&self, step: usize) -> Vec<Vec<Range<usize>>> {
        self.cut.passes(&self.lengths(step))
    }

    /// Tokens of a step: its examples', and all that its passes compute, padding included.
    pub fn tokens(&self, step: usize) -> (usize, usize) {
        let lengths = self.lengths(step);
        let passes = self.cut.passes(&lengths).concat();
        let computed = passes.into_iter().map(|pass| padded(&lengths[pass])).sum();
        (lengths.iter().sum(), computed)
    }

    fn lengths(&self, step: usize) -> Vec<usize> {
        let members = self.steps[step].members.iter();
        members.map(|&index| self.examples[index].tokens.len()).collect()
    }

    pub fn report(&self, first: &StepMetrics, last: &StepMetrics) -> TrainReport {
        let counts = (0..self.steps.len()).map(|step| self.tokens(step));
        let (tokens, computed) = counts.fold((0, 0), |sum, step| (sum.0 + step.0, sum.1 + step.1));
        TrainReport {
            steps: self.steps.len(),
            examples: self.examples.len(),
            dropped_too_long: self.dropped_too_long,
            dropped_without_targets: self.dropped_without_targets,
            tokens,
            padding: (computed - tokens) as f64 / computed.max(1) as f64,
            first: first.clone(),
            last: last.clone(),
        }
    }
}
