//! Drawing without replacement: stochastic beam search over the tokens of a step (Kool et al., arXiv 1903.06059).
//!
//! Every step has its log-probability and a Gumbel number of its own added to it. The k steps for which that is largest are k draws without
//! replacement, the largest first. They are found from the top down: what begins with the same tokens has the largest of its steps' numbers,
//! so that a beam of the k largest loses none. More steps under the same seed begin with the same ones.

use espalier_model::random::{stream, token_hash};

use super::sampling::{Distribution, Draw, OfSamples, uniform};

/// Distinguishes this use of a request's seed from others.
const PURPOSE: u64 = u64::from_le_bytes(*b"branches");

/// Where the beginning of a step stands among others.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Rank {
    /// Log-probability of its tokens, at the request's temperature and among those that may be drawn.
    share: f64,
    /// The largest of the perturbed log-probabilities of the steps that begin so.
    perturbed: f64,
}

impl Rank {
    /// Of all steps together. Only differences matter.
    pub const ALL: Self = Self { share: 0.0, perturbed: 0.0 };

    /// Sorts samples in the order of drawing them.
    pub fn order(self) -> f64 {
        -self.perturbed
    }
}

/// The tokens that are wanted after the beginning of a step.
pub(super) struct Branches {
    /// How many at most.
    count: usize,
    above: Rank,
    seed: u64,
    /// A hash of the beginning's tokens: their numbers depend on nothing else.
    path: u64,
}

impl Branches {
    /// What goes on from `path`, which stands at `above`, under a request's seed.
    pub fn new(count: usize, above: Rank, seed: u64, path: &[u32]) -> Self {
        Self { count, above, seed, path: token_hash(path) }
    }

    /// The tokens with the highest ranks, the highest first. They are taken out of the distribution, of `logits`.
    pub fn draw(&self, distribution: &mut Distribution, logits: &[f32]) -> OfSamples<(Draw, Rank)> {
        let mut rng = stream(self.seed, [PURPOSE, self.path]);
        let mut drawn = OfSamples::new();
        // What begins with the first token has the largest number of all.
        let mut perturbed = self.above.perturbed;
        while drawn.len() < self.count && distribution.left() > f64::NEG_INFINITY {
            if !drawn.is_empty() {
                let rest = self.above.share + distribution.left();
                perturbed = gumbel_below(perturbed, rest, uniform(&mut rng));
            }
            let (draw, share) = distribution.take(logits, uniform(&mut rng));
            drawn.push((draw, Rank { share: self.above.share + share, perturbed }));
        }
        drawn
    }
}

/// A Gumbel number with this location, of those below `limit`, by inversion of its distribution.
fn gumbel_below(limit: f64, location: f64, uniform: f64) -> f64 {
    // exp(location - number) is exp(location - limit) and an exponential number more.
    let (a, b) = (location - limit, (-(1.0 - uniform).ln()).ln());
    let larger = a.max(b);
    location - (larger + ((a - larger).exp() + (b - larger).exp()).ln())
}

#[cfg(test)]
mod tests {
    use pulp::Arch;

    use super::*;
    use crate::sampling::SamplingConfig;

    const LOGITS: [f32; 4] = [0.0, 1.0, 2.0, -1.0];

    fn draw(count: usize, seed: u64, sampling: SamplingConfig) -> Vec<(Draw, Rank)> {
        let mut distribution = Distribution::default();
        distribution.read(Arch::new(), &LOGITS, 1.0, sampling).unwrap();
        Branches::new(count, Rank::ALL, seed, &[]).draw(&mut distribution, &LOGITS).into_vec()
    }

    #[test]
    fn pairs_come_as_often_as_two_draws_without_replacement() {
        let sum: f64 = LOGITS.iter().map(|&logit| f64::from(logit).exp()).sum();
        let share = |token: usize| f64::from(LOGITS[token]).exp() / sum;
        let mut counts = [[0.0; 4]; 4];
        for seed in 0..20_000 {
            let drawn = draw(2, seed, SamplingConfig::default());
            counts[drawn[0].0.token as usize][drawn[1].0.token as usize] += 1.0 / 20_000.0;
        }
        for (first, counts) in counts.iter().enumerate() {
            for (second, found) in counts.iter().enumerate() {
                let expected = match first == second {
                    true => 0.0,
                    false => share(first) * share(second) / (1.0 - share(first)),
                };
                assert!((found - expected).abs() < 0.012, "{first} {second}: {found} {expected}");
            }
        }
    }

    #[test]
    fn ranks_fall_and_more_draws_begin_with_the_same_ones() {
        for seed in 0..200 {
            let (two, all) = (
                draw(2, seed, SamplingConfig::default()),
                draw(9, seed, SamplingConfig::default()),
            );
            assert_eq!((two.len(), all.len()), (2, 4));
            assert_eq!(all[..2], two);
            assert!(all.is_sorted_by(|a, b| a.1.perturbed > b.1.perturbed), "{all:?}");
            let shares: f64 = all.iter().map(|(_, rank)| rank.share.exp()).sum();
            assert!((shares - 1.0).abs() < 1e-6);
            let whole = LOGITS.iter().map(|&logit| f64::from(logit).exp()).sum::<f64>().ln();
            for (Draw { token, log_prob }, _) in all {
                assert!((log_prob - (f64::from(LOGITS[token as usize]) - whole)).abs() < 1e-6);
            }
        }
    }

    #[test]
    fn the_likeliest_come_first_at_temperatures_that_leave_the_others_nothing_but_their_order() {
        for temperature in [1e-2, 1e-3, 1e-6, 1e-40] {
            for seed in 0..20 {
                let mut distribution = Distribution::default();
                let all = SamplingConfig::default();
                distribution.read(Arch::new(), &LOGITS, temperature, all).unwrap();
                let branches = Branches::new(9, Rank::ALL, seed, &[]);
                let drawn = branches.draw(&mut distribution, &LOGITS);
                let tokens: Vec<u32> = drawn.iter().map(|(draw, _)| draw.token).collect();
                assert_eq!(tokens, [2, 1, 0, 3], "{temperature}");
                assert!(drawn.is_sorted_by(|a, b| a.1.perturbed >= b.1.perturbed), "{drawn:?}");
            }
        }
    }

    #[test]
    fn tokens_that_may_not_be_drawn_are_not() {
        let drawn = draw(4, 1, SamplingConfig { top_k: 2, ..SamplingConfig::default() });
        let mut tokens: Vec<u32> = drawn.iter().map(|(draw, _)| draw.token).collect();
        tokens.sort_unstable();
        assert_eq!(tokens, [1, 2]);
    }

    #[test]
    fn numbers_below_a_limit_are_distributed_as_those_that_happen_to_be() {
        // Location ln 2, below 0.5: P(number < x) = exp(-2 e^-x) / exp(-2 e^-0.5).
        let (location, limit) = (2f64.ln(), 0.5f64);
        for uniform in [1e-9, 0.1, 0.5, 0.9, 1.0 - 1e-9] {
            let x = gumbel_below(limit, location, uniform);
            let below = |x: f64| (-2.0 * (-x).exp()).exp();
            assert!(x <= limit);
            assert!((below(x) / below(limit) - (1.0 - uniform)).abs() < 1e-6, "{uniform}: {x}");
        }
        assert_eq!(gumbel_below(0.5, 1.0, 0.0), 0.5);
        assert!((gumbel_below(-2000.0, 0.0, 0.5) + 2000.0).abs() < 1e-9);
    }
}
