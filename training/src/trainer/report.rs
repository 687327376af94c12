//! Reports of training: figures of each step, and a summary at the end.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// One optimiser step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepMetrics {
    /// Optimiser step, counted from 1.
    pub step: usize,
    /// Steps of the whole run.
    pub total_steps: usize,
    /// Pass over the examples, counted from 1.
    pub epoch: usize,
    /// What was minimised.
    pub loss: f64,
    /// The objective's named parts of it, and what else the objective tells; one that the batch has nothing of is left out.
    #[serde(flatten)]
    pub parts: BTreeMap<String, f64>,
    /// Learning rate of the step.
    pub learning_rate: f64,
    /// Global norm of the gradients before clipping.
    pub gradient_norm: f64,
    /// Tokens of the batch's examples.
    pub tokens: usize,
}

/// Steps between two points of a learning curve.
const CURVE_EVERY: usize = 50;

impl StepMetrics {
    /// Whether the step is a point of the learning curve: the first, the last and some between.
    pub(super) fn is_of_curve(&self) -> bool {
        self.step % CURVE_EVERY == 1 || self.step == self.total_steps
    }
}

/// What a finished training run leaves beside the checkpoint.
#[derive(Debug, Clone, PartialEq)]
pub struct Trained {
    /// What was done.
    pub report: TrainReport,
    /// The learning curve, thinned; of all processes that a run took.
    pub curve: Vec<StepMetrics>,
}

/// A finished training run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainReport {
    /// Optimiser steps.
    pub steps: usize,
    /// Examples that were trained on.
    pub examples: usize,
    /// Examples that were left out because they are longer than the model reads.
    pub dropped_too_long: usize,
    /// Examples that were left out because they have neither policy nor value targets.
    pub dropped_without_targets: usize,
    /// Tokens of the examples over all epochs.
    pub tokens: usize,
    /// How many of the examples' tokens one token of a row stands for: 1 where no beginnings are shared.
    pub packing: f64,
    /// Share of the computed tokens that was padding, in [0, 1).
    pub padding: f64,
    /// The first step.
    pub first: StepMetrics,
    /// The last step.
    pub last: StepMetrics,
}
