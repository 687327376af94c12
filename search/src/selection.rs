//! PUCT, the rule that picks the child to descend into.

use serde::{Deserialize, Serialize};

use crate::tree::Stats;

/// AlphaMath's PUCT (arXiv 2405.03553, §3.2) with virtual loss.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Puct {
    /// Weight of the exploration term, >= 0.
    pub c_puct: f64,
    /// Losses (value -1) that each simulation in flight counts for, >= 0. Matters with several
    /// workers only.
    pub virtual_loss: f64,
}

impl Puct {
    /// `Q + c_puct P sqrt(N_parent) / (1 + N)`, where `Q = W / N`, and 0 when `N = 0`. `prior` is
    /// P(s, a) as given: nothing is normalised here. `sqrt_parent` comes from [`Puct::sqrt_visits`]
    /// of the parent.
    #[inline]
    #[must_use]
    pub fn score(&self, child: Stats, prior: f64, sqrt_parent: f64) -> f64 {
        let losses = self.virtual_loss * count(child.in_flight);
        let visits = count(child.visits) + losses;
        let q = if visits > 0.0 { (child.value_sum - losses) / visits } else { 0.0 };
        q + self.c_puct * prior * sqrt_parent / (1.0 + visits)
    }

    /// Square root of a parent's visits; those in flight count as in [`Puct::score`].
    #[inline]
    #[must_use]
    pub fn sqrt_visits(&self, parent: Stats) -> f64 {
        (count(parent.visits) + self.virtual_loss * count(parent.in_flight)).sqrt()
    }
}

/// A count as a number. Counts stay far below 2^63, and from a signed integer the conversion is one
/// instruction on x86-64, not four and a branch.
#[inline]
fn count(count: u64) -> f64 {
    count.cast_signed() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUCT: Puct = Puct { c_puct: 1.5, virtual_loss: 1.0 };

    fn stats(visits: u64, value_sum: f64, in_flight: u64) -> Stats {
        Stats { visits, in_flight, value_sum }
    }

    #[test]
    fn an_untried_child_scores_its_prior() {
        // 0 + 1.5 * 0.4 * sqrt(9) / (1 + 0)
        let score = PUCT.score(stats(0, 0.0, 0), 0.4, PUCT.sqrt_visits(stats(9, 0.0, 0)));
        assert!((score - 1.8).abs() < 1e-15, "{score}");
    }

    #[test]
    fn a_tried_child_adds_its_mean() {
        // 1.5 / 3 + 1.5 * 0.4 * 4 / (1 + 3)
        let score = PUCT.score(stats(3, 1.5, 0), 0.4, PUCT.sqrt_visits(stats(16, 0.0, 0)));
        assert!((score - 1.1).abs() < 1e-15, "{score}");
    }

    #[test]
    fn each_simulation_in_flight_counts_as_a_loss() {
        // W = 1.5 - 1, N = 3 + 1, parent 15 + 1: 0.5 / 4 + 1.5 * 0.4 * 4 / 5
        let score = PUCT.score(stats(3, 1.5, 1), 0.4, PUCT.sqrt_visits(stats(15, 0.0, 1)));
        assert!((score - 0.605).abs() < 1e-15, "{score}");
        let without = Puct { virtual_loss: 0.0, ..PUCT };
        assert_eq!(
            without.score(stats(3, 1.5, 1), 0.4, 4.0),
            without.score(stats(3, 1.5, 0), 0.4, 4.0)
        );
    }
}
