//! Area under the ROC curve.

use serde::{Deserialize, Serialize};

/// An area under the ROC curve with its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Auc {
    /// The probability that a positive scores above a negative, ties counting half.
    pub auc: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Scored states.
    pub n: usize,
    /// Those of them that are positive.
    pub positives: usize,
}

/// The scores of both classes, 8 bytes each.
#[derive(Debug, Clone, Default)]
pub struct Scored {
    positives: Vec<f64>,
    negatives: Vec<f64>,
}

impl Scored {
    /// Adds a score.
    pub fn push(&mut self, score: f64, positive: bool) {
        if positive { self.positives.push(score) } else { self.negatives.push(score) }
    }

    /// The rank-sum statistic with mid-ranks; the interval is Hanley and McNeil's (1982). `None` when either class is absent.
    #[must_use]
    pub fn auc(mut self) -> Option<Auc> {
        let (positives, negatives) = (self.positives.len(), self.negatives.len());
        if positives == 0 || negatives == 0 {
            return None;
        }
        self.positives.sort_unstable_by(f64::total_cmp);
        self.negatives.sort_unstable_by(f64::total_cmp);
        let mut rank_sum = 0.0;
        let (mut positive, mut negative) = (0, 0);
        while positive < positives || negative < negatives {
            let start = positive + negative;
            let next = [self.positives.get(positive), self.negatives.get(negative)];
            let Some(score) = next.into_iter().flatten().copied().min_by(f64::total_cmp) else {
                break;
            };
            let tied = |scores: &[f64]| scores.iter().take_while(|other| **other == score).count();
            let of_positives = tied(&self.positives[positive..]);
            positive += of_positives;
            negative += tied(&self.negatives[negative..]);
            let mid_rank = start as f64 + ((positive + negative - start) as f64 + 1.0) / 2.0;
            rank_sum += mid_rank * of_positives as f64;
        }
        let (p, q) = (positives as f64, negatives as f64);
        let auc = (rank_sum - p * (p + 1.0) / 2.0) / (p * q);
        let (q1, q2) = (auc / (2.0 - auc), 2.0 * auc * auc / (1.0 + auc));
        let variance =
            (auc * (1.0 - auc) + (p - 1.0) * (q1 - auc * auc) + (q - 1.0) * (q2 - auc * auc))
                / (p * q);
        let half = 1.959_964 * variance.max(0.0).sqrt();
        let (low, high) = ((auc - half).max(0.0), (auc + half).min(1.0));
        Some(Auc { auc, low, high, n: positives + negatives, positives })
    }
}

#[cfg(test)]
mod tests {
    use super::{Auc, Scored};

    fn auc(pairs: &[(f64, bool)]) -> Option<Auc> {
        let mut scored = Scored::default();
        pairs.iter().for_each(|&(score, positive)| scored.push(score, positive));
        scored.auc()
    }

    fn area(pairs: &[(f64, bool)]) -> Option<f64> {
        auc(pairs).map(|auc| auc.auc)
    }

    #[test]
    fn by_hand() {
        assert_eq!(area(&[(0.1, false), (0.9, true)]), Some(1.0));
        assert_eq!(area(&[(0.1, true), (0.9, false)]), Some(0.0));
        assert_eq!(area(&[(0.5, true), (0.5, false)]), Some(0.5));
        // Pairs: (3 > 2), (3 > 1), (2 = 2, half), (2 > 1): 3.5 of 4.
        let scored = [(3.0, true), (2.0, true), (2.0, false), (1.0, false)];
        assert_eq!(area(&scored), Some(0.875));
    }

    #[test]
    fn more_states_narrow_the_interval() {
        let few = [(3.0, true), (1.0, true), (2.0, false), (0.0, false)];
        let many: Vec<_> = few.iter().cycle().take(400).copied().collect();
        let (few, many) = (auc(&few).unwrap(), auc(&many).unwrap());
        assert_eq!(few.auc, many.auc);
        assert!(many.high - many.low < 0.2 && many.low < many.auc && many.auc < many.high);
    }

    #[test]
    fn one_class_has_none() {
        assert_eq!(area(&[(0.5, true)]), None);
        assert_eq!(area(&[]), None);
    }
}
