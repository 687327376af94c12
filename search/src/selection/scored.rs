//! Q plus a bonus, with everything that engines add to it.

use smallvec::SmallVec;

use super::config::SelectionConfig;
use super::{FirstPlayUrgency, Rule, Unpruning, c_puct_at, first_best, uct_bonus};
use crate::tree::{Child, Entered, Siblings};

/// `Q' + bonus`, highest first, lowest index first among equals. `Q'` is the mean value, for an untried child the
/// first-play urgency, both normalised if so set.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scored {
    /// The exploration term.
    pub bonus: Bonus,
    /// Q of an untried child.
    pub first_play_urgency: FirstPlayUrgency,
    /// Whether Q is mapped onto [0, 1], from the least to the greatest among siblings and their parent (as
    /// MuZero does over a whole tree, arXiv 1911.08265 eq. 5, and mctx over siblings).
    pub normalise_q: bool,
    /// Which children are looked at; all when None.
    pub unpruning: Option<Unpruning>,
}

/// The exploration term.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Bonus {
    /// `c(N_parent) P sqrt(N_parent) / (1 + N)`.
    Puct {
        /// Weight, >= 0.
        c_puct: f64,
        /// See [`c_puct_at`].
        base: Option<f64>,
    },
    /// See [`uct_bonus`].
    Uct {
        /// Weight, >= 0.
        c: f64,
    },
}

/// Snapshots of siblings, without an allocation where they are few.
pub(super) type Children = SmallVec<[Child; 16]>;

impl Scored {
    /// A bonus with the additions that the settings ask for.
    pub(super) fn new(bonus: Bonus, selection: &SelectionConfig) -> Self {
        Self {
            bonus,
            first_play_urgency: selection.first_play(),
            normalise_q: selection.normalise_q,
            unpruning: selection.unpruning,
        }
    }

    /// The scores of a node's children; NaN for those that may not be chosen or are not looked at.
    #[must_use]
    pub fn scores(&self, parent_visits: f64, parent_q: f64, children: &[Child]) -> Vec<f64> {
        let tried = children.iter().filter(|child| child.visits > 0.0);
        let untried_q = self.first_play_urgency.q(parent_q, tried.map(Child::open_prior).sum());
        let mut q: Vec<f64> = children.iter().map(|child| child.q().unwrap_or(untried_q)).collect();
        if self.normalise_q {
            normalise(&mut q, Some(parent_q));
        }
        let bonus = |child: &Child| match self.bonus {
            Bonus::Puct { c_puct, base } => {
                let c = c_puct_at(c_puct, base, parent_visits);
                c * child.prior * parent_visits.sqrt() / (1.0 + child.explored)
            }
            // A closed child's prior is NaN, and so is then its score.
            Bonus::Uct { c } => uct_bonus(c, parent_visits, child.explored) + 0.0 * child.prior,
        };
        for (score, child) in q.iter_mut().zip(children) {
            *score += bonus(child);
        }
        if let Some(unpruning) = self.unpruning {
            for (score, considered) in
                q.iter_mut().zip(unpruning.considered(parent_visits, children))
            {
                if !considered {
                    *score = f64::NAN;
                }
            }
        }
        q
    }
}

impl Rule for Scored {
    fn choose(&self, parent: &Entered<'_>, siblings: Siblings<'_>) -> Option<usize> {
        let children: Children = siblings.children().collect();
        first_best(self.scores(parent.visits(), parent.q(), &children))
    }
}

/// Maps values onto [0, 1] from the least to the greatest of them, and of `parent` where it is to count; all 0 when those
/// are one.
pub(super) fn normalise(q: &mut [f64], parent: Option<f64>) {
    let all = || q.iter().copied().chain(parent);
    let low = all().fold(f64::INFINITY, f64::min);
    let high = all().fold(f64::NEG_INFINITY, f64::max);
    let width = (high - low).max(1e-8);
    for q in q {
        *q = (*q - low) / width;
    }
}

#[cfg(all(test, not(espalier_loom)))]
mod tests {
    use super::*;

    const PUCT: Scored = Scored {
        bonus: Bonus::Puct { c_puct: 1.5, base: None },
        first_play_urgency: FirstPlayUrgency::Constant(0.0),
        normalise_q: false,
        unpruning: None,
    };

    fn child(visits: f64, value_sum: f64, prior: f64) -> Child {
        Child { visits, explored: visits, value_sum, prior }
    }

    #[test]
    fn the_parts_add_up() {
        let children = [child(3.0, 1.5, 0.4), child(0.0, 0.0, 0.2), child(9.0, 9.0, f64::NAN)];
        // 0.5 + 1.5 * 0.4 * 4 / 4, and 1.5 * 0.2 * 4.
        let plain = PUCT.scores(16.0, 0.25, &children);
        assert!((plain[0] - 1.1).abs() < 1e-14 && (plain[1] - 1.2).abs() < 1e-14);
        assert!(plain[2].is_nan());
        // The untried child: 0.25 - 0.5 sqrt(0.4) + 1.2.
        let urgency = FirstPlayUrgency::BelowParent(0.5);
        let reduced = Scored { first_play_urgency: urgency, ..PUCT };
        let reduced = reduced.scores(16.0, 0.25, &children);
        assert!((reduced[1] - (1.45 - 0.5 * 0.4_f64.sqrt())).abs() < 1e-14);
        // Q from 0 (untried) over 0.25 (parent) and 0.5 to 1 (closed): 0.5 stays 0.5.
        let normalised = Scored { normalise_q: true, ..PUCT }.scores(16.0, 0.25, &children);
        assert!((normalised[0] - 1.1).abs() < 1e-14 && (normalised[1] - 1.2).abs() < 1e-14);
    }

    #[test]
    fn unpruning_hides_and_uct_ignores_priors() {
        let children = [child(3.0, 1.5, 0.1), child(3.0, 1.5, 0.6), child(1.0, 0.5, f64::NAN)];
        let narrow = Unpruning { coefficient: 1.0, exponent: 0.0 };
        let scores = Scored { unpruning: Some(narrow), ..PUCT }.scores(16.0, 0.0, &children);
        assert!(scores[0].is_nan() && !scores[1].is_nan());
        let uct = Scored { bonus: Bonus::Uct { c: 1.0 }, ..PUCT };
        let scores = uct.scores(7.0, 0.0, &children);
        assert_eq!(scores[0], scores[1]);
        assert!((scores[0] - (0.5 + (7.0_f64.ln() / 3.0).sqrt())).abs() < 1e-14);
        assert!(scores[2].is_nan());
    }
}
