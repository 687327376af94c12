//! Steps drawn from a list with probabilities, by the policies that are no language models.

use espalier_search::{Action, Proposal, Request};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// A step and its probability in (0, 1].
pub(super) type Weighted = (Action, f64);

/// Draws as many steps as the request wants, with probability p^(1/T) over the sum of these; at temperature T = 0 the first of the most
/// probable. Each is drawn by itself or, without replacement, among those that are left. A step's log-probability is that at temperature 1,
/// and it counts as one token.
pub(super) fn draw(steps: &[Weighted], request: &Request) -> Vec<Proposal> {
    let proposal = |(action, probability): &Weighted| Proposal {
        action: action.clone(),
        log_prob: probability.ln(),
        tokens: 1,
        truncated: false,
        sampled: None,
    };
    if request.temperature <= 0.0 {
        let first_best = |best: usize, index: usize| {
            if steps[index].1 > steps[best].1 { index } else { best }
        };
        let best = (0..steps.len()).reduce(first_best).map(|best| proposal(&steps[best]));
        return best.map_or_else(Vec::new, |best| vec![best; request.samples]);
    }
    let exponent = 1.0 / f64::from(request.temperature);
    let mut left: Vec<f64> = steps.iter().map(|(_, probability)| *probability).collect();
    // Relative to the largest that is left: it is not lost at a low temperature.
    let weights = |left: &[f64]| -> Vec<f64> {
        let most = left.iter().copied().fold(0.0, f64::max);
        left.iter().map(|&probability| weight(probability / most, exponent)).collect()
    };
    let mut rng = ChaCha8Rng::seed_from_u64(request.seed);
    let mut uniform = || (rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
    if request.without_replacement {
        let drawn = (0..request.samples).map_while(|_| {
            let index = WeightedSums::of(&weights(&left)).at(uniform())?;
            left[index] = 0.0;
            Some(proposal(&steps[index]))
        });
        return drawn.collect();
    }
    let sums = WeightedSums::of(&weights(&left));
    (0..request.samples).map_while(|_| Some(proposal(&steps[sums.at(uniform())?]))).collect()
}

/// What a share of the largest probability becomes at a temperature of 1 / `exponent`; nothing of nothing.
fn weight(share: f64, exponent: f64) -> f64 {
    if share > 0.0 { share.powf(exponent) } else { 0.0 }
}

/// The sums of weights up to each.
struct WeightedSums(Vec<f64>);

impl WeightedSums {
    fn of(weights: &[f64]) -> Self {
        let mut sum = 0.0;
        let add = |weight: &f64| {
            sum += weight;
            sum
        };
        Self(weights.iter().map(add).collect())
    }

    /// The index into whose share of the sum a number in [0, 1) falls; `None` when all weights are 0.
    fn at(&self, uniform: f64) -> Option<usize> {
        let sum = self.0.last().copied().filter(|sum| *sum > 0.0)?;
        let point = (uniform * sum).min(sum.next_down());
        Some(self.0.partition_point(|sum| *sum <= point))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps() -> Vec<Weighted> {
        [("a", 0.5), ("b", 0.2), ("c", 0.3)].map(|(step, p)| (step.into(), p)).to_vec()
    }

    fn shares(temperature: f32) -> [f64; 3] {
        let request = Request::steps("".into(), 20_000, temperature, 7);
        let drawn = draw(&steps(), &request);
        assert_eq!(drawn, draw(&steps(), &request));
        ["a", "b", "c"].map(|step| {
            drawn.iter().filter(|proposal| proposal.action == step).count() as f64 / 20_000.0
        })
    }

    #[test]
    fn steps_come_as_often_as_their_probabilities_say() {
        for (temperature, expected) in [
            (1.0, [0.5, 0.2, 0.3]),
            // Squares: 0.25, 0.04, 0.09 of 0.38.
            (0.5, [0.658, 0.105, 0.237]),
            (0.0, [1.0, 0.0, 0.0]),
        ] {
            for (share, expected) in shares(temperature).into_iter().zip(expected) {
                assert!((share - expected).abs() < 0.015, "{temperature}: {share} {expected}");
            }
        }
    }

    #[test]
    fn without_replacement_a_step_comes_once_and_the_first_as_often_as_ever() {
        let request = Request { without_replacement: true, ..Request::steps("".into(), 5, 1.0, 0) };
        let (mut first, mut second) = ([0.0_f64; 3], [0.0_f64; 3]);
        for seed in 0..20_000 {
            let drawn = draw(&steps(), &Request { seed, ..request.clone() });
            let order: Vec<usize> = drawn
                .iter()
                .map(|step| ["a", "b", "c"].iter().position(|name| step.action == name).unwrap())
                .collect();
            let mut sorted = order.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, [0, 1, 2]);
            first[order[0]] += 1.0 / 20_000.0;
            second[order[1]] += 1.0 / 20_000.0;
            let two = draw(&steps(), &Request { seed, samples: 2, ..request.clone() });
            assert_eq!(two, drawn[..2]);
        }
        // The second: the sum over the first of p(first) p / (1 - p(first)).
        let expected = [0.2 * 0.5 / 0.8 + 0.3 * 0.5 / 0.7, 0.5 * 0.2 / 0.5 + 0.3 * 0.2 / 0.7];
        for (found, expected) in first.iter().zip([0.5, 0.2]).chain(second.iter().zip(expected)) {
            assert!((found - expected).abs() < 0.015, "{found} {expected}");
        }
    }

    #[test]
    fn without_replacement_all_come_at_any_temperature_the_most_probable_first() {
        for temperature in [1e-3, 1e-6, 1e-40] {
            let request = Request {
                without_replacement: true,
                ..Request::steps("".into(), 5, temperature, 0)
            };
            let drawn = draw(&steps(), &request);
            let order: Vec<&str> = drawn.iter().map(|step| step.action.as_str()).collect();
            assert_eq!(order, ["a", "c", "b"], "{temperature}");
        }
        let none = [("a".into(), 1.0), ("b".into(), 0.0)];
        let request = Request { without_replacement: true, ..Request::steps("".into(), 2, 1.0, 0) };
        assert_eq!(draw(&none, &request).len(), 1);
    }

    #[test]
    fn a_step_carries_its_own_probability_and_nothing_comes_of_nothing() {
        let request = Request::steps("".into(), 2, 0.0, 7);
        let drawn = draw(&steps(), &request);
        assert_eq!((drawn.len(), drawn[1].action.as_str(), drawn[1].tokens), (2, "a", 1));
        assert!((drawn[0].prior() - 0.5).abs() < 1e-12);
        assert!(draw(&[], &request).is_empty());
        assert!(draw(&[], &Request { temperature: 1.0, ..request }).is_empty());
    }
}
