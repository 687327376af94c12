//! PUCT as AlphaMath has it.

use wide::f64x2;

use super::rules::{NodeRule, RuleContext, RuleSet};
use super::scored::{Bonus, Scored};
use super::{FirstPlayUrgency, Rule};
use crate::tree::{Entered, Pair, Siblings};

/// `Q + c_puct P sqrt(N_parent) / (1 + N)` (arXiv 2405.03553, §3.2), lowest index first among equals;
/// `Q = W / N`, 0 where `N = 0`. Priors are used as given.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Puct {
    /// Weight of the exploration term, >= 0.
    pub c_puct: f64,
    /// Lets the weight grow with visits; see [`c_puct_at`].
    pub base: Option<f64>,
}

/// The exploration weight at a parent of `visits` visits: `c_puct + ln((1 + N + base) / base)` (AlphaZero, arXiv
/// 1712.01815, as its pseudocode has it), or `c_puct` alone without a base.
#[inline(always)]
#[must_use]
pub fn c_puct_at(c_puct: f64, base: Option<f64>, visits: f64) -> f64 {
    base.map_or(c_puct, |base| c_puct + ((1.0 + visits + base) / base).ln())
}

/// PUCT alone where the settings add nothing to it.
pub(super) fn build(context: &RuleContext<'_>) -> RuleSet {
    let RuleContext { selection, c_puct, .. } = *context;
    let base = selection.c_puct_base;
    let plain = selection.first_play() == FirstPlayUrgency::Constant(0.0)
        && !selection.normalise_q
        && selection.unpruning.is_none();
    if plain {
        let puct = Puct { c_puct, base };
        return RuleSet { root: NodeRule::Puct(puct), interior: NodeRule::Puct(puct) };
    }
    RuleSet::everywhere(Scored::new(Bonus::Puct { c_puct, base }, selection))
}

impl Puct {
    /// The scores of two children. `weight` is `c_puct sqrt(N_parent)`.
    #[inline(always)]
    #[must_use]
    pub fn score(child: &Pair, weight: f64) -> f64x2 {
        /// Stands for 0 visits, of which nothing can be a mean: too small to change any other count, and
        /// a power of two, so that it cancels without a trace.
        const HARDLY_ANY: f64x2 = f64x2::splat(f64::from_bits(0x3c30_0000_0000_0000));
        let n = child.visits.fast_max(HARDLY_ANY);
        let explored = child.explored + 1.0;
        let bonus = child.prior * weight;
        // W / n + bonus / explored with one division: divisions are most of what a child costs.
        (child.value_sum * explored + bonus * n) / (n * explored)
    }
}

impl Rule for Puct {
    #[inline(always)]
    fn choose(&self, parent: &Entered<'_>, siblings: Siblings<'_>) -> Option<usize> {
        let visits = parent.visits();
        let weight = c_puct_at(self.c_puct, self.base, visits) * visits.sqrt();
        siblings.best(|child| Self::score(child, weight))
    }
}

#[cfg(all(test, not(espalier_loom)))]
mod tests {
    use super::*;

    /// The score of a child with c_puct 1.5 and P 0.4 under a parent of 16 visits.
    fn score(visits: f64, explored: f64, value_sum: f64) -> f64 {
        let [visits, explored, value_sum, prior] =
            [visits, explored, value_sum, 0.4].map(f64x2::splat);
        Puct::score(&Pair { visits, explored, value_sum, prior }, 1.5 * 4.0).to_array()[0]
    }

    #[test]
    fn an_untried_child_scores_its_prior() {
        // 0 + 1.5 * 0.4 * sqrt(16) / (1 + 0)
        assert!((score(0.0, 0.0, 0.0) - 2.4).abs() < 1e-14);
    }

    #[test]
    fn the_weight_may_grow_with_visits() {
        assert_eq!(c_puct_at(1.25, None, 1e6), 1.25);
        // ln((1 + 19651 + 19652) / 19652) = ln 2
        let grown = c_puct_at(1.25, Some(19652.0), 19651.0);
        assert!((grown - 1.25 - 2.0_f64.ln()).abs() < 1e-15);
    }

    #[test]
    fn a_tried_child_adds_its_mean() {
        // 1.5 / 3 + 1.5 * 0.4 * 4 / (1 + 3)
        assert!((score(3.0, 3.0, 1.5) - 1.1).abs() < 1e-14);
    }

    #[test]
    fn what_the_exploration_term_counts_may_differ() {
        // WU-UCT with one on its way: 1.5 / 3 + 1.5 * 0.4 * 4 / (1 + 3 + 1), and never tried: 2.4 / 2.
        assert!((score(3.0, 4.0, 1.5) - 0.98).abs() < 1e-14);
        assert!((score(0.0, 1.0, 0.0) - 1.2).abs() < 1e-14);
    }
}
