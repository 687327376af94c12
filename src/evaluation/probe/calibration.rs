//! How well values tell what they are asked: the chance that a state leads to a right answer.

use serde::{Deserialize, Serialize};

use crate::report::{Auc, Scored};

/// Bins of equal width of a reliability diagram.
const BINS: usize = 10;

/// Values of states against whether the states can still be solved. A value V in [-1, 1] is read as the probability (1 + V) / 2.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reliability {
    /// States.
    pub n: usize,
    /// Those of them that can be solved.
    pub solvable: usize,
    /// Mean squared distance of the probability from what is so (Brier 1950), in [0, 1].
    pub brier: f64,
    /// Expected calibration error (Naeini et al. 2015): the mean over states of their bin's distance between the mean probability
    /// and the share that can be solved, in [0, 1].
    pub calibration_error: f64,
    /// How well the value tells both kinds apart; absent where there is one kind alone.
    pub auc: Option<Auc>,
    /// The bins that hold states.
    pub bins: Vec<Bin>,
}

/// The states whose probabilities lie close together.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Bin {
    /// Least probability, which counts in.
    pub from: f64,
    /// Greatest, which counts out unless it is 1.
    pub to: f64,
    /// States.
    pub n: usize,
    /// Their mean probability.
    pub predicted: f64,
    /// The share of them that can be solved.
    pub solvable: f64,
}

impl Reliability {
    /// Of values with what is so; `None` of no state.
    #[must_use]
    pub fn new(states: impl IntoIterator<Item = (f64, bool)>) -> Option<Self> {
        let (mut counts, mut sums, mut right) = ([0_usize; BINS], [0.0; BINS], [0_usize; BINS]);
        let (mut scored, mut squares) = (Scored::default(), 0.0);
        for (value, solvable) in states {
            let probability = f64::midpoint(1.0, value).clamp(0.0, 1.0);
            let bin = ((probability * BINS as f64) as usize).min(BINS - 1);
            counts[bin] += 1;
            sums[bin] += probability;
            right[bin] += usize::from(solvable);
            squares += (probability - f64::from(u8::from(solvable))).powi(2);
            scored.push(value, solvable);
        }
        let (n, solvable) = (counts.iter().sum(), right.iter().sum());
        let bin = |at: usize| Bin {
            from: at as f64 / BINS as f64,
            to: (at + 1) as f64 / BINS as f64,
            n: counts[at],
            predicted: sums[at] / counts[at] as f64,
            solvable: right[at] as f64 / counts[at] as f64,
        };
        let bins: Vec<Bin> = (0..BINS).filter(|&at| counts[at] > 0).map(bin).collect();
        let distance = |bin: &Bin| bin.n as f64 * (bin.predicted - bin.solvable).abs();
        (n > 0).then(|| Self {
            n,
            solvable,
            brier: squares / n as f64,
            calibration_error: bins.iter().map(distance).sum::<f64>() / n as f64,
            auc: scored.auc(),
            bins,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-12
    }

    #[test]
    fn by_hand() {
        // Probabilities 0.9, 0.9, 0.3, 0.1 and 1.
        let states = [(0.8, true), (0.8, false), (-0.4, true), (-0.8, false), (1.0, true)];
        let found = Reliability::new(states).unwrap();
        assert_eq!((found.n, found.solvable), (5, 3));
        // (0.01 + 0.81 + 0.49 + 0.01 + 0) / 5.
        assert!(close(found.brier, 0.264), "{found:?}");
        // 0.9 and 1 share the last bin: 3 states of mean 2.8 / 3, two of them solvable; then 0.3 with one of one, 0.1 with none of one.
        let expected = (3.0 * (2.8 / 3.0 - 2.0 / 3.0) + 0.7 + 0.1) / 5.0;
        assert!(close(found.calibration_error, expected), "{found:?}");
        let bins: Vec<(usize, f64)> = found.bins.iter().map(|bin| (bin.n, bin.solvable)).collect();
        assert_eq!(bins, [(1, 0.0), (1, 1.0), (3, 2.0 / 3.0)]);
        assert!(close(found.bins[2].from, 0.9) && close(found.bins[2].to, 1.0));
        // Pairs of a solvable and another: (0.8 = 0.8, half), (0.8 > -0.8), (-0.4 < 0.8), (-0.4 > -0.8), both below 1: 4.5 of 6.
        assert!(close(found.auc.unwrap().auc, 0.75), "{found:?}");
    }

    #[test]
    fn the_ends_and_one_kind_alone() {
        let right = Reliability::new([(1.0, true), (-1.0, false)]).unwrap();
        assert_eq!((right.brier, right.calibration_error), (0.0, 0.0));
        let wrong = Reliability::new([(1.0, false)]).unwrap();
        assert_eq!((wrong.brier, wrong.calibration_error, wrong.auc), (1.0, 1.0, None));
        assert_eq!(Reliability::new([]), None);
    }
}
