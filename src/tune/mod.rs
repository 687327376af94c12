//! `espalier tune`: the settings of `[compute]` under which this machine searches a policy fastest.
//!
//! One setting after the other is doubled and halved while that helps. What is compared takes turns, for machines are shared and noisy.

mod climb;
mod pace;

use anyhow::Result;
use serde::Serialize;

pub use climb::{Comparison, Trial};
pub use pace::Searched;

use climb::{Setting, climb};

use crate::compute::ComputeRecipe;

/// What was found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Tuned {
    /// Names this form and its version.
    pub schema: &'static str,
    /// What a search does in a second: `tokens` that a net samples, or `states` that are asked about where no net is at hand.
    pub unit: &'static str,
    /// Seconds of a measurement; half as many go before it.
    pub seconds: f64,
    /// `[compute]` as the recipe has it.
    pub before: ComputeRecipe,
    /// `[compute]` as it is fastest.
    pub after: ComputeRecipe,
    /// Units a second under both, once more.
    pub rates: [f64; 2],
    /// The speed of `after` by that of `before`, where the two differ.
    pub gain: Option<Comparison>,
    /// What was tried, in its order.
    pub trials: Vec<Trial>,
}

/// Finds the fastest settings.
///
/// # Errors
/// When the policy cannot be loaded, a search fails, nothing was done in the time of a measurement, or a signal asked for the end.
pub fn tune(searched: &Searched<'_>, before: &ComputeRecipe) -> Result<Tuned> {
    let settings = settings(searched.has_net(), before);
    let (after, trials) =
        climb(before, &settings, |best, candidate| searched.compare(best, candidate))?;
    let (rates, gain) = if after == *before {
        ([searched.rate(before)?; 2], None)
    } else {
        let (rates, gain) = searched.compare_whole(before, &after)?;
        (rates, Some(gain))
    };
    let (schema, unit, seconds) = ("espalier.tune/1", searched.unit(), searched.seconds);
    Ok(Tuned { schema, unit, seconds, before: before.clone(), after, rates, gain, trials })
}

/// What is tuned: of a net that another program runs only how many problems are searched at once.
fn settings(has_net: bool, before: &ComputeRecipe) -> Vec<Setting> {
    let concurrent = Setting {
        key: "concurrent_problems",
        get: |compute| compute.concurrent_problems,
        set: |compute, value| compute.concurrent_problems = value,
        range: 1..=4096,
    };
    if !has_net {
        return vec![concurrent];
    }
    let cores = ComputeRecipe { threads: 0, ..before.clone() }.resolved_threads();
    let threads = Setting {
        key: "threads",
        get: ComputeRecipe::resolved_threads,
        set: |compute, value| compute.threads = value,
        range: 1..=cores,
    };
    let slots = Setting {
        key: "slots",
        get: |compute| compute.slots,
        set: |compute, value| compute.slots = value,
        range: 1..=4096,
    };
    let cache = Setting {
        key: "kv_cache_megabytes",
        get: |compute| compute.kv_cache_megabytes,
        set: |compute, value| compute.kv_cache_megabytes = value,
        // Four times as much as the user is content with, and no more.
        range: 64..=before.kv_cache_megabytes.saturating_mul(4).max(64),
    };
    vec![threads, concurrent, slots, cache]
}
