//! Settings of inference.

use espalier_model::device::Device;
use espalier_model::dtype::Dtype;
use espalier_model::error::{Error, Result};
use serde::{Deserialize, Serialize};

use super::SamplingConfig;

/// How weights are held: in blocks of 32 integers with a scale, as in GGUF files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum WeightFormat {
    /// Rounded to 8.5 bits a number.
    #[serde(rename = "q8_0")]
    Q8_0,
    /// Rounded to 4.5 bits a number; the embedding and the head, which suffer most from it, to `q8_0`, as in llama.cpp's files.
    #[serde(rename = "q4_0")]
    Q4_0,
    /// Not rounded: where all of a layer's numbers are blocks of integers of 4 or 8 bits with scales, as those of a quantised file
    /// are, they are held as such, and other layers as without a format.
    #[serde(rename = "stored")]
    Stored,
}

impl WeightFormat {
    /// That of the embedding and the head.
    #[must_use]
    pub fn of_tables(self) -> Self {
        match self {
            Self::Q8_0 | Self::Q4_0 => Self::Q8_0,
            Self::Stored => Self::Stored,
        }
    }

    /// Bytes that a row of a matrix takes, filled up to whole blocks; none where the numbers say.
    #[must_use]
    pub fn bytes(self, numbers: usize) -> Option<usize> {
        let blocks = numbers.div_ceil(32);
        match self {
            Self::Q8_0 => Some(34 * blocks),
            Self::Q4_0 => Some(18 * blocks),
            Self::Stored => None,
        }
    }
}

/// Settings of a [`LocalEvaluator`](crate::evaluator::LocalEvaluator).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct InferenceConfig {
    /// Longest step in tokens, the stop included; a step that has not ended by then is cut off.
    pub max_step_tokens: usize,
    /// What ends a step when the policy writes it. Tokens that end a text (`eos_token_id`) and special tokens do too.
    pub stops: Vec<String>,
    /// Which tokens may be drawn.
    pub sampling: SamplingConfig,
    /// Memory in MiB, the device's, for the keys and values of what was read or written lately. Answers do not depend on
    /// it.
    pub kv_cache_megabytes: usize,
    /// Type of the keys and values; none takes `float32` on the CPU and the checkpoint's on a device. In 16 bits they take half the
    /// memory and answers change in their third digit.
    pub kv_cache_dtype: Option<Dtype>,
    /// How the weights of the blocks' matrices, the head and the embedding are held, on the CPU; none is in 32 or 16 bits, as the
    /// checkpoint holds them. Activations are rounded to 8 bits before a product with blocks.
    pub weights: Option<WeightFormat>,
    /// Sequences that are written at once on each core or, where all cores share a pass or a device computes it, in it.
    pub slots: usize,
    /// Requests that may wait; a caller beyond that waits itself.
    pub queue: usize,
    /// Cores; 0 for all.
    pub threads: usize,
    /// Where the net is computed.
    pub device: Device,
}

impl Default for InferenceConfig {
    fn default() -> Self {
        Self {
            max_step_tokens: 24,
            stops: vec!["\n".to_owned()],
            sampling: SamplingConfig::default(),
            kv_cache_megabytes: 512,
            kv_cache_dtype: None,
            weights: None,
            slots: 48,
            queue: 1024,
            threads: 0,
            device: Device::Cpu,
        }
    }
}

impl InferenceConfig {
    /// Checks what a device cannot do, before a net is read.
    pub(super) fn check_device(&self, host: bool) -> Result<()> {
        match self.weights {
            Some(_) if !host => Err(Error::Setting {
                field: "weights",
                message: "quantised weights are computed on the CPU alone; leave it out, or set device to \"cpu\"".to_owned(),
            }),
            _ => Ok(()),
        }
    }

    /// Checks every range against a model that reads `limit` positions.
    pub(super) fn validate(&self, limit: usize) -> Result<()> {
        let fail = |field, message: String| Err(Error::Setting { field, message });
        if !(1..limit).contains(&self.max_step_tokens) {
            let message = format!(
                "must be at least 1 and below the model's {limit} positions, is {}",
                self.max_step_tokens
            );
            return fail("max_step_tokens", message);
        }
        if let Some(empty) = self.stops.iter().position(String::is_empty) {
            return fail("stops", format!("number {} is empty", empty + 1));
        }
        for (field, value) in [("slots", self.slots), ("queue", self.queue)] {
            if value == 0 {
                return fail(field, "must be at least 1".to_owned());
            }
        }
        self.sampling.validate()
    }
}

/// The number of cores that a setting asks for; 0 stands for all.
#[must_use]
pub fn resolve_threads(threads: usize) -> usize {
    match threads {
        0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        threads => threads,
    }
}
