//! Steps drawn from a list with probabilities, by the policies that are no language models.

use espalier_search::{Action, Proposal, Request};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// A step and its probability in (0, 1].
pub(super) type Weighted = (Action, f64);

/// Draws as many steps as the request wants, each by itself: with probability p^(1/T) over the sum of these; at temperature T = 0
/// the first of the most probable. A step's log-probability is that at temperature 1, and it counts as one token.
pub(super) fn draw(steps: &[Weighted], request: &Request) -> Vec<Proposal> {
    let proposal = |(action, probability): &Weighted| Proposal {
        action: action.clone(),
        log_prob: probability.ln(),
        tokens: 1,
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
    let most = steps.iter().map(|(_, probability)| *probability).fold(0.0, f64::max);
    let mut sum = 0.0;
    // Sums of the weights up to each step, relative to the largest: none is lost at a low temperature.
    let sums: Vec<f64> = steps
        .iter()
        .map(|(_, probability)| {
            sum += (probability / most).powf(exponent);
            sum
        })
        .collect();
    let mut rng = ChaCha8Rng::seed_from_u64(request.seed);
    let mut one = || {
        let point = (rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64 * sum;
        sums.partition_point(|sum| *sum <= point).min(steps.len().saturating_sub(1))
    };
    let wanted = if steps.is_empty() { 0 } else { request.samples };
    (0..wanted).map(|_| proposal(&steps[one()])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps() -> Vec<Weighted> {
        [("a", 0.5), ("b", 0.2), ("c", 0.3)].map(|(step, p)| (step.into(), p)).to_vec()
    }

    fn shares(temperature: f32) -> [f64; 3] {
        let request = Request {
            context: "".into(),
            samples: 20_000,
            temperature,
            seed: 7,
            keep_tokens: false,
        };
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
    fn a_step_carries_its_own_probability_and_nothing_comes_of_nothing() {
        let request = Request {
            context: "".into(),
            samples: 2,
            temperature: 0.0,
            seed: 7,
            keep_tokens: false,
        };
        let drawn = draw(&steps(), &request);
        assert_eq!((drawn.len(), drawn[1].action.as_str(), drawn[1].tokens), (2, "a", 1));
        assert!((drawn[0].prior() - 0.5).abs() < 1e-12);
        assert!(draw(&[], &request).is_empty());
        assert!(draw(&[], &Request { temperature: 1.0, ..request }).is_empty());
    }
}
