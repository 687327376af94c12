//! Whether the answer that a walk down the tree reads can still change.

use super::config::AnswerRule;
use super::state::Search;
use crate::Environment;
use crate::selection::first_best;
use crate::sync::Ordering;
use crate::tree::Node;

/// What a child's score under the answer rule is now, and between which bounds it can end up.
struct Score {
    low: f64,
    now: f64,
    high: f64,
}

impl<E: Environment> Search<'_, E> {
    /// Walks as [`crate::best_path`] does; true when at each level no rival can overtake, whatever values the
    /// simulations that are left back up. Rivals include open nodes that lead to no answer yet.
    pub(super) fn is_settled(&self) -> bool {
        let left = self.config.simulations.saturating_sub(self.completed());
        let values = self.config.samples as u64 + u64::from(!self.config.update_leaf_value);
        let visits = left.saturating_mul(values) as f64;
        let mut node = self.tree.root();
        loop {
            if self.data(node).terminal.get().is_some() {
                return node != self.tree.root();
            }
            let Some(winner) = self.unbeatable(node, visits) else {
                return false;
            };
            node = winner;
        }
    }

    /// The child to which the walk goes, if no other can take its place within `visits` more values.
    fn unbeatable<'t>(&'t self, node: Node<'t>, visits: f64) -> Option<Node<'t>> {
        let children: Vec<(Node<'t>, Score)> =
            self.steps_below(node).map(|child| (child, self.score_of(child, visits))).collect();
        // Relaxed: a flag that announces nothing but itself.
        let leads = |child: Node<'_>| {
            self.data(child).answered.load(Ordering::Relaxed) && self.owns_steps(child)
        };
        let now =
            |(child, score): &(Node<'t>, Score)| if leads(*child) { score.now } else { f64::NAN };
        let best = first_best(children.iter().map(now))?;
        let low = children[best].1.low;
        let beaten = |(index, (child, score)): (usize, &(Node<'t>, Score))| {
            index == best
                || (child.is_closed() && !leads(*child))
                // Ties go to the first.
                || score.high < low
                || (score.high == low && best < index)
        };
        children.iter().enumerate().all(beaten).then_some(children[best].0)
    }

    fn score_of(&self, child: Node<'_>, more: f64) -> Score {
        let stats = child.stats(&self.tree);
        let more = if child.is_closed() { 0.0 } else { more };
        let visits = stats.visits as f64;
        match self.config.answer_rule {
            AnswerRule::Visits => Score { low: visits, now: visits, high: visits + more },
            AnswerRule::Value => {
                let data = self.data(child);
                match self.state_data(data).value.get().or_else(|| data.value.get()) {
                    Some(value) => Score { low: value, now: value, high: value },
                    None if child.is_closed() => Score { low: -1.0, now: -1.0, high: -1.0 },
                    None => Score { low: -1.0, now: -1.0, high: 1.0 },
                }
            }
            AnswerRule::QValue => {
                let mean = |sum: f64| {
                    let visits = visits + more;
                    if visits == 0.0 { 0.0 } else { sum / visits }
                };
                let (low, high) = (mean(stats.value_sum - more), mean(stats.value_sum + more));
                Score { low, now: stats.q(), high }
            }
        }
    }
}
