//! How a child is chosen: small pure functions of the statistics of siblings, put together by a
//! search's settings.
//!
//! [`Puct`] alone is AlphaMath's rule and the fast path; [`Scored`] adds what other engines do to it, and
//! [`gumbel`] searches by another principle altogether. [`SelectionConfig::build`] makes the [`RuleSet`] of a search from
//! its settings.
//!
//! # Adding a rule
//! A file in this folder with a type that implements [`Rule`] and a function that builds it from a [`RuleContext`]; its
//! `mod` line here; and its row in the table of `rules.rs`, which gives it the name that `selection.rule` takes.

mod config;
mod first_play;
pub mod gumbel;
mod noise;
mod puct;
mod regularised_policy;
mod rules;
mod scored;
mod uct;
mod unpruning;

pub use config::SelectionConfig;
pub use first_play::FirstPlayUrgency;
pub use noise::{RootNoise, mix_noise};
pub use puct::{Puct, c_puct_at};
pub use rules::{NodeRule, RuleContext, RuleName, RuleSet};
pub use scored::{Bonus, Scored};
pub use uct::uct_bonus;
pub use unpruning::Unpruning;

use crate::tree::{Entered, Siblings};

/// Chooses the child to descend into. A rule may keep state of its own search, as one of the root does: many workers call
/// it at once.
pub trait Rule: Send + Sync {
    /// The index of a child that may be chosen, or `None` when there is none. `parent` is what their
    /// parent had before this descent, [`Siblings::value`] the value net's own opinion of it.
    fn choose(&self, parent: &Entered<'_>, siblings: Siblings<'_>) -> Option<usize>;

    /// Whether a finished search by this rule can go on as if it had never stopped. One that plans for its number of
    /// simulations cannot.
    fn can_continue(&self) -> bool {
        true
    }
}

/// The index of the highest score, the first of equals; NaN never wins.
pub(crate) fn first_best(scores: impl IntoIterator<Item = f64>) -> Option<usize> {
    let mut best: Option<(usize, f64)> = None;
    for (index, score) in scores.into_iter().enumerate() {
        if !score.is_nan() && best.is_none_or(|(_, highest)| score > highest) {
            best = Some((index, score));
        }
    }
    best.map(|(index, _)| index)
}

#[cfg(all(test, not(espalier_loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_highest_score_wins_and_the_first_of_equals() {
        assert_eq!(first_best([f64::NAN, 0.5, 1.0, 1.0]), Some(2));
        assert_eq!(first_best([f64::NAN, f64::INFINITY]), Some(1));
        assert_eq!(first_best([f64::NAN]), None);
    }
}
