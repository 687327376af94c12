//! Accuracies and F1 at a threshold.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use serde::{Deserialize, Serialize};

use super::Scored;
use crate::report::{Proportion, proportion};

/// How well first wrong steps are found at a threshold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// Solutions.
    pub n: usize,
    /// Those with a wrong step.
    pub n_error: usize,
    /// Those without.
    pub n_correct: usize,
    /// Share of solutions with a wrong step whose first one is found exactly; absent without such solutions.
    pub accuracy_error: Option<Proportion>,
    /// Share of solutions without a wrong step in which none is called wrong; absent without such solutions.
    pub accuracy_correct: Option<Proportion>,
    /// Harmonic mean of the two, with a bootstrap interval; absent unless both are there.
    pub f1: Option<Proportion>,
}

/// Measures at a threshold. `seed` draws the resamples of F1's interval.
#[must_use]
pub fn metrics(scored: &[Scored], threshold: f64, seed: u64) -> Metrics {
    let hits = |with_error: bool| -> Vec<f64> {
        let kind = scored.iter().filter(|scored| scored.first_error.is_some() == with_error);
        let hit = |scored: &Scored| scored.prediction(threshold) == scored.first_error;
        kind.map(|scored| f64::from(u8::from(hit(scored)))).collect()
    };
    let (errors, corrects) = (hits(true), hits(false));
    let share = |hits: &[f64]| (!hits.is_empty()).then(|| proportion(&[hits.to_vec()]));
    let (accuracy_error, accuracy_correct) = (share(&errors), share(&corrects));
    let f1 = accuracy_error.zip(accuracy_correct).map(|(error, correct)| {
        let (low, high) = f1_interval(&errors, &corrects, seed);
        Proportion { mean: harmonic_mean(error.mean, correct.mean), low, high }
    });
    Metrics {
        n: scored.len(),
        n_error: errors.len(),
        n_correct: corrects.len(),
        accuracy_error,
        accuracy_correct,
        f1,
    }
}

pub(super) fn harmonic_mean(a: f64, b: f64) -> f64 {
    if a + b > 0.0 { 2.0 * a * b / (a + b) } else { 0.0 }
}

/// The middle 95 % of F1 over resamples of either kind of solution.
fn f1_interval(errors: &[f64], corrects: &[f64], seed: u64) -> (f64, f64) {
    const RESAMPLES: usize = 2000;
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut resampled = |hits: &[f64]| {
        let sum: f64 = (0..hits.len()).map(|_| hits[rng.random_range(0..hits.len())]).sum();
        sum / hits.len() as f64
    };
    let mut scores: Vec<f64> =
        (0..RESAMPLES).map(|_| harmonic_mean(resampled(errors), resampled(corrects))).collect();
    scores.sort_by(f64::total_cmp);
    (scores[RESAMPLES / 40], scores[RESAMPLES - 1 - RESAMPLES / 40])
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub fn scored(first_error: Option<usize>, values: &[f64]) -> Scored {
        Scored { id: String::new(), first_error, values: values.to_vec() }
    }

    /// Four solutions with an error and two without.
    pub fn example() -> Vec<Scored> {
        vec![
            scored(Some(1), &[0.9, -0.5, 0.8]),
            scored(Some(0), &[-0.2, -0.9]),
            scored(Some(2), &[0.5, 0.4, 0.1]),
            scored(Some(1), &[0.05, 0.6]),
            scored(None, &[0.7, 0.3]),
            scored(None, &[0.2, -0.1, 0.9]),
        ]
    }

    #[test]
    fn metrics_by_hand() {
        // Below 0: [1], [0], none (wrong), none (wrong); none (right), [1] (wrong).
        let Metrics { n, n_error, n_correct, accuracy_error, accuracy_correct, f1 } =
            metrics(&example(), 0.0, 1);
        assert_eq!((n, n_error, n_correct), (6, 4, 2));
        let (error, correct, f1) =
            (accuracy_error.unwrap(), accuracy_correct.unwrap(), f1.unwrap());
        assert_eq!((error.mean, correct.mean, f1.mean), (0.5, 0.5, 0.5));
        assert!(f1.low < 0.5 && f1.high > 0.5 && error.low < 0.5 && correct.high > 0.5);
        // Below -0.15: 2 of 4, 2 of 2: 2/3.
        assert!((metrics(&example(), -0.15, 1).f1.unwrap().mean - 2.0 / 3.0).abs() < 1e-12);
        // A value at the threshold is not below it.
        assert_eq!(scored(None, &[0.0]).prediction(0.0), None);
        let none = metrics(&example()[..4], 0.0, 1);
        assert!(none.accuracy_correct.is_none() && none.f1.is_none());
    }
}
