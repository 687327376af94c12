//! `[compute]`: how the machine is used. Results depend on none of it, except that devices differ in last digits.

use espalier_training::{Compute, Device, InferenceConfig, resolve_threads};
use serde::{Deserialize, Serialize};

/// How the machine is used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ComputeRecipe {
    /// Where the local net proposes, values and is trained: `cpu`, `cuda` or `cuda:N`. Devices differ in last digits.
    pub device: Device,
    /// Cores for inference and training; 0 takes all.
    pub threads: usize,
    /// Problems searched at the same time; the evaluator batches over them.
    pub concurrent_problems: usize,
    /// Sequences that the net writes at once on each core or, where the cores share its passes or a GPU does them, in all.
    pub slots: usize,
    /// Memory in MiB, the device's, for keys and values of what the net read or wrote lately.
    pub kv_cache_megabytes: usize,
}

impl Default for ComputeRecipe {
    fn default() -> Self {
        let InferenceConfig { slots, kv_cache_megabytes, .. } = InferenceConfig::default();
        Self {
            device: Device::Cpu,
            threads: 0,
            concurrent_problems: 128,
            slots,
            kv_cache_megabytes,
        }
    }
}

impl ComputeRecipe {
    /// Where training runs.
    #[must_use]
    pub fn training(&self) -> Compute {
        Compute { device: self.device, threads: self.resolved_threads() }
    }

    /// The number of cores that 0 stands for.
    #[must_use]
    pub fn resolved_threads(&self) -> usize {
        resolve_threads(self.threads)
    }
}
