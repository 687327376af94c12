//! What ends a search before its simulations are done: small rules that look at the same status.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::ConfigError;
use crate::snapshot::StopReason;

/// Limits of one search; absent ones never stop it. They are looked at before each simulation, the time also while the
/// evaluator works. What other workers' simulations, or this one's when the time is up, still wait for is then cancelled:
/// these simulations are as if they had not begun, and tokens that were sampled for them do not count.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StopConfig {
    /// Wall time. The one limit under which a seed does not settle the result.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
    /// Sampled tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u64>,
    /// Memory of nodes, steps and states, in MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_mib: Option<f64>,
    /// A right answer was found; of no effect without ground truth.
    pub solved: bool,
    /// No further value can change the answer that the walk by `answer_rule` reads off the tree.
    pub settled: bool,
}

impl StopConfig {
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        let positive = |limit: f64| limit.is_finite() && limit > 0.0;
        for (field, limit) in [("stop.seconds", self.seconds), ("stop.memory_mib", self.memory_mib)]
        {
            let limit = limit.unwrap_or(1.0);
            ConfigError::require(positive(limit), field, &limit, "must be a finite number > 0")?;
        }
        let tokens = self.tokens.unwrap_or(1);
        ConfigError::require(tokens >= 1, "stop.tokens", &tokens, "must be >= 1")
    }

    /// When the time of a search that begins now is up.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let limit = Duration::from_secs_f64(self.seconds?.min(1e9));
        Instant::now().checked_add(limit)
    }

    /// The rules that these settings ask for, but for the time.
    pub(super) fn rules(&self) -> Vec<Box<dyn StopRule>> {
        let mut rules: Vec<Box<dyn StopRule>> = Vec::new();
        if self.solved {
            rules.push(Box::new(Solved));
        }
        if let Some(limit) = self.tokens {
            rules.push(Box::new(Tokens(limit)));
        }
        if let Some(limit) = self.memory_mib {
            rules.push(Box::new(Memory { bytes: (limit * f64::from(1 << 20)) as u64 }));
        }
        if self.settled {
            rules.push(Box::new(Settled));
        }
        rules
    }
}

/// What a search has done so far.
pub(super) trait Status {
    /// Tokens sampled.
    fn tokens(&self) -> u64;
    /// Bytes of nodes, steps and states.
    fn bytes(&self) -> u64;
    /// Whether a right answer was found.
    fn solved(&self) -> bool;
    /// Whether no further value can change the answer.
    fn settled(&self) -> bool;
}

/// Looks whether it is time to stop.
pub(super) trait StopRule: Send + Sync {
    fn reason(&self, status: &dyn Status) -> Option<StopReason>;
}

struct Solved;

impl StopRule for Solved {
    fn reason(&self, status: &dyn Status) -> Option<StopReason> {
        status.solved().then_some(StopReason::Solved)
    }
}

struct Tokens(u64);

impl StopRule for Tokens {
    fn reason(&self, status: &dyn Status) -> Option<StopReason> {
        (status.tokens() >= self.0).then_some(StopReason::Tokens)
    }
}

struct Memory {
    bytes: u64,
}

impl StopRule for Memory {
    fn reason(&self, status: &dyn Status) -> Option<StopReason> {
        (status.bytes() >= self.bytes).then_some(StopReason::Memory)
    }
}

struct Settled;

impl StopRule for Settled {
    fn reason(&self, status: &dyn Status) -> Option<StopReason> {
        status.settled().then_some(StopReason::Settled)
    }
}

#[cfg(all(test, not(espalier_loom)))]
mod tests {
    use super::*;

    struct Fixed;

    impl Status for Fixed {
        fn tokens(&self) -> u64 {
            100
        }
        fn bytes(&self) -> u64 {
            1 << 20
        }
        fn solved(&self) -> bool {
            true
        }
        fn settled(&self) -> bool {
            true
        }
    }

    #[test]
    fn a_limit_that_is_reached_stops_and_another_does_not() {
        let reasons = |config: StopConfig| -> Vec<StopReason> {
            config.rules().iter().filter_map(|rule| rule.reason(&Fixed)).collect()
        };
        let none = StopConfig::default();
        assert!(reasons(none.clone()).is_empty() && none.deadline().is_none());
        let endless = StopConfig { seconds: Some(f64::MAX), ..none.clone() };
        assert!(endless.deadline().is_some_and(|end| end > Instant::now()));
        let limits = |factor: f64| StopConfig {
            tokens: Some((100.0 * factor) as u64),
            memory_mib: Some(factor),
            ..none.clone()
        };
        assert!(reasons(limits(1.5)).is_empty());
        assert_eq!(reasons(limits(1.0)), [StopReason::Tokens, StopReason::Memory]);
        let found = StopConfig { solved: true, settled: true, ..none };
        assert_eq!(reasons(found), [StopReason::Solved, StopReason::Settled]);
    }
}
