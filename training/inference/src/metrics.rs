//! What a scheduler did, for tuning and for proof.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Buckets of waiting times: eight to a doubling, from a microsecond on.
const BUCKETS: usize = 256;
const A_DOUBLING: f64 = 8.0;

/// Counters that all threads add to. Relaxed throughout: they are sums, and nothing is published with them.
pub(super) struct Counters {
    pub passes: AtomicU64,
    /// Rows of contexts, and of steps being written.
    pub context_rows: AtomicU64,
    pub step_rows: AtomicU64,
    /// Context tokens that were there already.
    pub reused: AtomicU64,
    /// Step tokens whose states were there already.
    pub restored: AtomicU64,
    /// Tokens drawn.
    pub sampled: AtomicU64,
    pub requests: AtomicU64,
    /// Requests that were given up before they were answered.
    pub cancelled: AtomicU64,
    /// Passes before which more work was waiting, and how full they were, in thousandths.
    pub full_passes: AtomicU64,
    pub occupancy: AtomicU64,
    /// Multiply-adds of matrix products.
    pub multiply_adds: AtomicU64,
    /// Nanoseconds in forward passes, and in all of the scheduler's work.
    pub forward_nanos: AtomicU64,
    pub busy_nanos: AtomicU64,
    /// Nanoseconds in which callers turned contexts into tokens.
    pub tokenize_nanos: AtomicU64,
    waits: Vec<AtomicU64>,
}

impl Default for Counters {
    fn default() -> Self {
        let zero = AtomicU64::default;
        Self {
            passes: zero(),
            context_rows: zero(),
            step_rows: zero(),
            reused: zero(),
            restored: zero(),
            sampled: zero(),
            requests: zero(),
            cancelled: zero(),
            full_passes: zero(),
            occupancy: zero(),
            multiply_adds: zero(),
            forward_nanos: zero(),
            busy_nanos: zero(),
            tokenize_nanos: zero(),
            waits: std::iter::repeat_with(zero).take(BUCKETS).collect(),
        }
    }
}

/// Tells what an evaluator did so far; nothing once it is gone.
pub type Meter = Box<dyn Fn() -> Option<InferenceStats> + Send>;

/// What an evaluator has done since it was made.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct InferenceStats {
    /// Threads that run passes; each may have others to help it.
    pub schedulers: usize,
    /// Requests that were begun.
    pub requests: u64,
    /// Requests that a scheduler gave up, begun or not, because their caller had cancelled them.
    pub requests_cancelled: u64,
    /// Forward passes.
    pub passes: u64,
    /// Context tokens that were read.
    pub prefix_tokens_computed: u64,
    /// Context tokens that had been read, or written as steps, before.
    pub prefix_tokens_reused: u64,
    /// Tokens that were computed although they had been before: they had been dropped for want of memory, or two
    /// requests wrote the same at the same time.
    pub prefix_tokens_recomputed: u64,
    /// Tokens that were sampled.
    pub tokens_sampled: u64,
    /// Rows of steps in the passes: samples that agree so far share one.
    pub step_rows: u64,
    /// Steps' tokens whose states had been computed for an earlier request.
    pub step_tokens_reused: u64,
    /// How full passes were while more work was waiting, in [0, 1]; `None` when none ever waited.
    pub occupancy: Option<f64>,
    /// Half of the requests waited less for their turn, in milliseconds.
    pub queue_p50_ms: f64,
    /// 99 of 100 waited less.
    pub queue_p99_ms: f64,
    /// Seconds of forward passes, summed over schedulers.
    pub forward_seconds: f64,
    /// Seconds in which schedulers were not idle, summed.
    pub busy_seconds: f64,
    /// Seconds in which contexts were turned into tokens, summed over the threads that asked.
    #[serde(default)]
    pub tokenize_seconds: f64,
    /// Multiply-adds in matrix products.
    pub multiply_adds: u64,
}

pub(super) fn add(counter: &AtomicU64, amount: u64) {
    counter.fetch_add(amount, Ordering::Relaxed);
}

impl Counters {
    pub fn waited(&self, time: Duration) {
        let micros = (time.as_secs_f64() * 1e6).max(1.0);
        let bucket = (micros.log2() * A_DOUBLING) as usize;
        add(&self.waits[bucket.min(BUCKETS - 1)], 1);
    }

    /// The waiting time, in milliseconds, that a share of requests stays below.
    fn quantile(&self, share: f64) -> f64 {
        let counts: Vec<u64> = self.waits.iter().map(|c| c.load(Ordering::Relaxed)).collect();
        let all: u64 = counts.iter().sum();
        let mut rest = (share * all as f64).ceil() as u64;
        for (bucket, count) in counts.into_iter().enumerate() {
            if count >= rest && rest > 0 {
                return ((bucket + 1) as f64 / A_DOUBLING).exp2() * 1e-3;
            }
            rest -= count;
        }
        0.0
    }

    pub fn stats(&self, schedulers: usize, recomputed: u64) -> InferenceStats {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let full = get(&self.full_passes);
        InferenceStats {
            schedulers,
            requests: get(&self.requests),
            requests_cancelled: get(&self.cancelled),
            passes: get(&self.passes),
            prefix_tokens_computed: get(&self.context_rows),
            prefix_tokens_reused: get(&self.reused),
            prefix_tokens_recomputed: recomputed,
            tokens_sampled: get(&self.sampled),
            step_rows: get(&self.step_rows),
            step_tokens_reused: get(&self.restored),
            occupancy: (full > 0).then(|| get(&self.occupancy) as f64 / 1e3 / full as f64),
            queue_p50_ms: self.quantile(0.5),
            queue_p99_ms: self.quantile(0.99),
            forward_seconds: get(&self.forward_nanos) as f64 * 1e-9,
            busy_seconds: get(&self.busy_nanos) as f64 * 1e-9,
            tokenize_seconds: get(&self.tokenize_nanos) as f64 * 1e-9,
            multiply_adds: get(&self.multiply_adds),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_waiting_times_within_a_bucket() {
        let counters = Counters::default();
        assert_eq!(counters.quantile(0.5), 0.0);
        for millis in 1..=100 {
            counters.waited(Duration::from_millis(millis));
        }
        for (share, expected) in [(0.5, 50.0), (0.99, 99.0)] {
            let found = counters.quantile(share);
            assert!(found >= expected && found < expected * 1.1, "{share}: {found}");
        }
        counters.waited(Duration::from_secs(1 << 40));
        counters.waited(Duration::ZERO);
    }
}
