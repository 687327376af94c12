//! Search as regularised policy optimisation (Grill et al. 2020, arXiv 2007.12509).
//!
//! PUCT's visit shares approximate the policy that maximises `sum pi(a) q(a)` less `lambda` times the divergence
//! `KL(P, pi)` from the priors, with `lambda` falling as visits grow (proposition 1). This rule computes that policy
//! itself and lets the visits follow it, so that one step's value moves all shares at once and not only its own.

use super::rules::{RuleContext, RuleSet};
use super::scored::Children;
use super::{Rule, first_best};
use crate::tree::{Child, Entered, Siblings};

/// Halvings of the interval that holds `alpha`: more than the digits of a double.
const HALVINGS: usize = 64;

/// `c_puct` is the weight of the priors.
pub(super) fn build(context: &RuleContext<'_>) -> RuleSet {
    RuleSet::everywhere(RegularisedPolicy { c: context.c_puct })
}

/// Descends into the child whose share of visits is furthest behind the regularised policy, the first of equals.
///
/// `pi(a) = lambda P(a) / (alpha - q(a))` with `lambda = c sqrt(sum N) / (|A| + sum N)` (eq. 4 and 8), `P` the priors
/// normalised over the open children, and `alpha` such that the shares add up to 1. An untried child has the value
/// net's own opinion of its parent for its `q`. The paper samples from the policy; taking the share furthest behind, as
/// planning with Gumbel does, makes the same visits without noise.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RegularisedPolicy {
    /// Weight of the priors, >= 0.
    pub c: f64,
}

impl RegularisedPolicy {
    /// The regularised policy over open children, 0 where closed. `value` stands for an untried child's `q`.
    #[must_use]
    pub fn shares(&self, value: f64, children: &[Child]) -> Vec<f64> {
        let open = || children.iter().filter(|child| !child.is_closed());
        // A prior that rounded to 0 is as good as none; where all are, they are equal.
        let total: f64 = open().map(|child| child.prior).sum();
        let count = open().count() as f64;
        let prior = |child: &Child| if total > 0.0 { child.prior / total } else { 1.0 / count };
        let q = |child: &Child| child.q().unwrap_or(value);
        let visits: f64 = open().map(|child| child.explored).sum();
        let lambda = self.c * visits.sqrt() / (count + visits);
        if lambda <= 0.0 {
            // Before the first visit nothing speaks against the priors; without their weight the values alone count.
            let best = open().map(q).fold(f64::NEG_INFINITY, f64::max);
            let greedy = |child: &Child| f64::from(u8::from(q(child) == best));
            let share = |child: &Child| if self.c > 0.0 { prior(child) } else { greedy(child) };
            return children.iter().map(|c| if c.is_closed() { 0.0 } else { share(c) }).collect();
        }
        // The shares' sum falls from at least 1 at the lower end to at most 1 at the upper. What has no prior has no share.
        let likely = || open().filter(|child| prior(child) > 0.0);
        let mut low = likely().map(|c| q(c) + lambda * prior(c)).fold(f64::NEG_INFINITY, f64::max);
        let mut high = likely().map(q).fold(f64::NEG_INFINITY, f64::max) + lambda;
        let share = |alpha: f64, child: &Child| {
            let weight = lambda * prior(child);
            if weight > 0.0 { weight / (alpha - q(child)) } else { 0.0 }
        };
        for _ in 0..HALVINGS {
            let middle = f64::midpoint(low, high);
            let sum: f64 = likely().map(|child| share(middle, child)).sum();
            if sum > 1.0 { low = middle } else { high = middle }
        }
        children.iter().map(|c| if c.is_closed() { 0.0 } else { share(high, c) }).collect()
    }

    /// Each child's share less the share of visits that it has had; NaN where closed.
    #[must_use]
    pub fn scores(&self, value: f64, children: &[Child]) -> Vec<f64> {
        let open = children.iter().filter(|child| !child.is_closed());
        let visits: f64 = open.map(|child| child.explored).sum();
        let mut scores = self.shares(value, children);
        for (score, child) in scores.iter_mut().zip(children) {
            *score += 0.0 * child.prior - child.explored / (1.0 + visits);
        }
        scores
    }
}

impl Rule for RegularisedPolicy {
    fn choose(&self, parent: &Entered<'_>, siblings: Siblings<'_>) -> Option<usize> {
        let children: Children = siblings.children().collect();
        let value = siblings.value().map_or_else(|| parent.q(), f64::from);
        first_best(self.scores(value, &children))
    }
}

#[cfg(all(test, not(espalier_loom)))]
mod tests {
    use super::*;

    fn child(visits: f64, q: f64, prior: f64) -> Child {
        Child { visits, explored: visits, value_sum: q * visits, prior }
    }

    #[test]
    fn two_children_by_hand() {
        // Four visits to two children: lambda = 1.5 * 2 / 6 = 0.5. With equal priors and q = 0.5 and 0 the sum is 1 where
        // 0.25 / (alpha - 0.5) + 0.25 / alpha = 1, which is alpha^2 - alpha + 1/8 = 0: alpha = (1 + sqrt(1/2)) / 2.
        let rule = RegularisedPolicy { c: 1.5 };
        let children = [child(3.0, 0.5, 0.3), child(1.0, 0.0, 0.3), child(9.0, 1.0, f64::NAN)];
        let alpha = f64::midpoint(1.0, 0.5_f64.sqrt());
        let shares = rule.shares(0.9, &children);
        assert!((shares[0] - 0.25 / (alpha - 0.5)).abs() < 1e-12);
        assert!((shares[1] - 0.25 / alpha).abs() < 1e-12 && shares[2] == 0.0);
        let scores = rule.scores(0.9, &children);
        assert!((scores[0] - (shares[0] - 0.6)).abs() < 1e-15 && scores[2].is_nan());
        assert_eq!(first_best(scores), Some(0));
    }

    #[test]
    fn the_shares_are_a_policy_between_the_priors_and_the_best_value() {
        let rule = RegularisedPolicy { c: 1.25 };
        let few = [child(1.0, 0.2, 0.2), child(0.0, 0.0, 0.5), child(2.0, 0.9, 0.0)];
        let shares = rule.shares(-0.3, &few);
        assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-12 && shares[2] == 0.0);
        // An untried child counts as worth what the net says of the parent, here less than the tried one.
        assert!(shares[0] > 0.2 / 0.7 && shares[1] < 0.5 / 0.7);
        // As visits grow the best value takes all, and without any visit the priors stand.
        let many = few.map(|c| child(1e12 * c.visits, c.q().unwrap_or(0.0), c.prior));
        assert!(rule.shares(-0.3, &many)[0] > 0.999);
        let none = few.map(|c| child(0.0, 0.0, c.prior));
        let shares = rule.shares(0.0, &none);
        assert!((shares[1] - 0.5 / 0.7).abs() < 1e-15 && shares[2] == 0.0);
        // Without their weight only the best value counts.
        assert_eq!(RegularisedPolicy { c: 0.0 }.shares(0.95, &few), [0.0, 1.0, 0.0]);
        let flat = few.map(|c| child(c.visits, 0.1, 0.0));
        assert!(rule.shares(0.1, &flat).iter().all(|share| (share - 1.0 / 3.0).abs() < 1e-12));
    }
}
