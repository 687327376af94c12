//! UCT's exploration term.

use super::rules::{RuleContext, RuleSet};
use super::scored::{Bonus, Scored};

/// `c_puct` is the weight of the term.
pub(super) fn build(context: &RuleContext<'_>) -> RuleSet {
    RuleSet::everywhere(Scored::new(Bonus::Uct { c: context.c_puct }, context.selection))
}

/// `c sqrt(ln N_parent / N)`, infinite where `N = 0` (Kocsis and Szepesvári 2006, UCB1 in a tree).
/// Simulations in flight count as visits in both.
#[must_use]
pub fn uct_bonus(c: f64, parent_visits: f64, explored: f64) -> f64 {
    if explored > 0.0 { c * (parent_visits.max(1.0).ln() / explored).sqrt() } else { f64::INFINITY }
}

#[cfg(all(test, not(espalier_loom)))]
mod tests {
    use super::*;

    #[test]
    fn an_untried_child_comes_first_and_the_rest_by_the_formula() {
        assert_eq!(uct_bonus(1.0, 10.0, 0.0), f64::INFINITY);
        // 2 sqrt(ln(e^2) / 8) = 2 sqrt(1 / 4)
        assert!((uct_bonus(2.0, 2.0_f64.exp(), 8.0) - 1.0).abs() < 1e-15);
        assert_eq!(uct_bonus(2.0, 0.0, 3.0), 0.0);
    }
}
