//! The gate: a round's net is taken on only if it does no worse than the one before on validation problems.

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::evaluation::decodings::Accuracy;

/// What the gate says of a round's net.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// Names the measure.
    pub measure: String,
    /// Validation problems.
    pub problems: usize,
    /// What the round's own net measures.
    pub measured: f64,
    /// What the net measures that was kept before; absent in round 0.
    pub before: Option<f64>,
    /// Whether the round's own net is taken on.
    pub taken: bool,
    /// The round whose net goes on: this one, or the one whose net was kept before.
    pub net: usize,
}

impl Verdict {
    /// Compares a round's net with the one that was kept before. Measures are taken on the same problems with the same seeds; the
    /// newer net goes on where they are equal.
    ///
    /// # Errors
    /// When nothing was measured.
    pub fn new(round: usize, measured: &[Accuracy], before: Option<&Self>) -> Result<Self> {
        let own = measured.first().context("the gate measured nothing")?;
        let kept = before.filter(|before| own.accuracy < before.kept());
        Ok(Self {
            measure: own.decoding.clone(),
            problems: own.n,
            measured: own.accuracy,
            before: before.map(Self::kept),
            taken: kept.is_none(),
            net: kept.map_or(round, |kept| kept.net),
        })
    }

    /// What the net measures that goes on.
    fn kept(&self) -> f64 {
        self.before.filter(|_| !self.taken).unwrap_or(self.measured)
    }
}

#[cfg(test)]
mod tests {
    use espalier_search::Cuts;

    use super::*;

    fn measured(accuracy: f64) -> [Accuracy; 1] {
        [Accuracy {
            schema: String::new(),
            decoding: "greedy".into(),
            accuracy,
            low: 0.0,
            high: 1.0,
            n: 10,
            seeds: 1,
            cut: Cuts::default(),
            steps_truncated: 0,
            tokens_per_problem: 1.0,
            tokens_read_per_problem: None,
            simulations_per_problem: 0.0,
            seconds: None,
        }]
    }

    #[test]
    fn the_best_net_so_far_goes_on() {
        let mut before = None;
        let mut nets = Vec::new();
        for (round, accuracy) in [0.5, 0.6, 0.4, 0.55, 0.6, 0.7].into_iter().enumerate() {
            let verdict = Verdict::new(round, &measured(accuracy), before.as_ref()).unwrap();
            nets.push((verdict.taken, verdict.net));
            before = Some(verdict);
        }
        // 0.4 and 0.55 are both compared with round 1's 0.6, which 0.6 equals.
        assert_eq!(nets, [(true, 0), (true, 1), (false, 1), (false, 1), (true, 4), (true, 5)]);
        assert!(Verdict::new(0, &[], None).is_err());
    }
}
