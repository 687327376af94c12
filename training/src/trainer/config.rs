//! The recipe's `[training]` section.

use espalier_model::config::LoraConfig;
use espalier_model::device::Device;
use espalier_model::dtype::Dtype;
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::net::check_precision;
use crate::optimizer::OptimizerKind;
use crate::settings::Setting;

/// Where a run is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compute {
    /// The processor.
    pub device: Device,
    /// Cores; more than [`TrainConfig::shards`] are of use to the optimiser alone.
    pub threads: usize,
}

/// Settings of one training run: optimiser, precision and memory. Defaults are AlphaMath's (arXiv 2405.03553), which are for a
/// 7B model: a small net from scratch wants a learning rate near 1e-3.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrainConfig {
    /// Passes over the examples.
    pub epochs: usize,
    /// Optimiser steps; overrides `epochs`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_steps: Option<usize>,
    /// Tokens of a step at most, counted as if all its rows were as long as its longest.
    pub batch_tokens: usize,
    /// Whether the paths of a problem are one row in which each beginning that they share lies once, with attention to a token's own path.
    /// Losses and gradients are those of the paths one by one; a step has the paths of fewer problems, and more of each.
    pub packed: bool,
    /// Tokens of one forward and backward pass at most, padding included. A step is accumulated over as many passes as that
    /// takes and stays the same step: fewer tokens a pass need less memory. Absent: no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub micro_batch_tokens: Option<usize>,
    /// Element type of the operands of matrix products: `float32`, or `bfloat16` where the device multiplies it faster.
    /// Weights, gradients, optimiser and losses are fp32 in both.
    pub precision: Dtype,
    /// Whether the inner states of blocks are computed again in the backward pass instead of being kept: a third more time
    /// and a fraction of the memory.
    pub activation_checkpointing: bool,
    /// The rule of the update.
    pub optimizer: OptimizerKind,
    /// Peak learning rate.
    pub learning_rate: f64,
    /// Share of the steps in which the learning rate rises, in [0, 1).
    pub warmup_fraction: f64,
    /// Last learning rate as a share of the peak, in [0, 1].
    pub min_learning_rate_ratio: f64,
    /// Decoupled weight decay of matrices.
    pub weight_decay: f64,
    /// AdamW's decay rates of the first and second moment.
    pub adam_betas: [f64; 2],
    /// AdamW's epsilon.
    pub adam_epsilon: f64,
    /// Gradients are scaled down to this global norm.
    pub clip_norm: f64,
    /// Parts of a batch whose gradients are computed side by side on the CPU. The last digits of the result depend on it.
    pub shards: usize,
    /// Steps between two saved states from which a killed run resumes.
    pub save_every: usize,
    /// Trains a low-rank adapter and the value head instead of all weights.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lora: Option<LoraConfig>,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            epochs: 10,
            max_steps: None,
            batch_tokens: 8192,
            packed: false,
            micro_batch_tokens: None,
            precision: Dtype::Float32,
            activation_checkpointing: false,
            optimizer: OptimizerKind::AdamW,
            learning_rate: 4e-5,
            warmup_fraction: 0.03,
            min_learning_rate_ratio: 0.0,
            weight_decay: 0.0,
            adam_betas: [0.9, 0.999],
            adam_epsilon: 1e-8,
            clip_norm: 1.0,
            shards: 2,
            save_every: 200,
            lora: None,
        }
    }
}

impl TrainConfig {
    /// Checks that a device computes in [`Self::precision`], and no slower than in fp32.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::error::Error::Setting) when it does not.
    pub fn check_device(&self, device: Device) -> Result<()> {
        check_precision(self.precision, device)
    }

    /// Checks every range.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::error::Error::Setting) with the first field that is outside its range.
    pub fn validate(&self) -> Result<()> {
        for (field, value) in [
            ("epochs", self.epochs),
            ("max_steps", self.max_steps.unwrap_or(1)),
            ("batch_tokens", self.batch_tokens),
            ("micro_batch_tokens", self.micro_batch_tokens.unwrap_or(1)),
            ("shards", self.shards),
            ("save_every", self.save_every),
        ] {
            Setting(field, value).at_least_one()?;
        }
        Setting("learning_rate", self.learning_rate).positive()?;
        Setting("adam_epsilon", self.adam_epsilon).positive()?;
        Setting("clip_norm", self.clip_norm).positive()?;
        Setting("warmup_fraction", self.warmup_fraction).below_one()?;
        for decay in self.adam_betas {
            Setting("adam_betas", decay).below_one()?;
        }
        Setting("min_learning_rate_ratio", self.min_learning_rate_ratio).share()?;
        Setting("weight_decay", self.weight_decay).not_negative()?;
        Ok(self.lora.as_ref().map_or(Ok(()), LoraConfig::validate)?)
    }
}
