//! Drawing tokens from logits.

use pulp::Arch;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::Rng;

use super::elementwise::softmax_terms;

/// The distribution over the next token, ready for any number of draws.
#[derive(Default)]
pub(super) struct Distribution {
    /// `e^((logit - max) / temperature)` of each token.
    terms: Vec<f32>,
    /// Their sum.
    sum: f64,
    /// Log of the sum of `e^(logit - max)`.
    log_normaliser: f64,
    maximum: f32,
    greedy: bool,
}

/// One drawn token.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Draw {
    pub token: u32,
    /// Log-probability at temperature 1, whatever temperature it was drawn at.
    pub log_prob: f64,
}

impl Distribution {
    /// Prepares for drawing; `None` when the logits are not finite.
    pub fn read(&mut self, arch: Arch, logits: &[f32], temperature: f32) -> Option<()> {
        let (maximum, sum) = softmax_terms(arch, logits, 1.0, &mut self.terms);
        if !(maximum.is_finite() && sum.is_finite()) {
            return None;
        }
        self.maximum = maximum;
        self.log_normaliser = f64::from(sum).ln();
        self.greedy = temperature == 0.0;
        if !self.greedy && temperature != 1.0 {
            softmax_terms(arch, logits, 1.0 / temperature, &mut self.terms);
        }
        self.sum = self.terms.iter().map(|&term| f64::from(term)).sum();
        Some(())
    }

    /// Draws a token; at temperature 0 the most likely one, the first of equals. `logits` are those that were read.
    pub fn draw(&self, logits: &[f32], rng: &mut ChaCha8Rng) -> Draw {
        let token = if self.greedy {
            logits.iter().position(|&logit| logit == self.maximum)
        } else {
            // 53 random bits.
            let uniform = (rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
            let mut rest = uniform * self.sum;
            self.terms.iter().position(|&term| {
                rest -= f64::from(term);
                rest < 0.0
            })
        };
        // Rounding can leave a crumb of `rest` after the last token; the most likely one takes it.
        let token = token.or_else(|| logits.iter().position(|&logit| logit == self.maximum));
        let token = token.unwrap_or(0);
        let log_prob = f64::from(logits[token] - self.maximum) - self.log_normaliser;
        Draw { token: token as u32, log_prob: log_prob.min(0.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::stream;

    fn frequencies(logits: &[f32], temperature: f32) -> Vec<f64> {
        let mut distribution = Distribution::default();
        distribution.read(Arch::new(), logits, temperature).unwrap();
        let mut rng = stream(3, [0, 0]);
        let mut counts = vec![0.0; logits.len()];
        for _ in 0..20_000 {
            counts[distribution.draw(logits, &mut rng).token as usize] += 1.0 / 20_000.0;
        }
        counts
    }

    #[test]
    fn draws_follow_the_softmax() {
        let logits = [0.0, 2f32.ln(), 5f32.ln()];
        for (found, expected) in frequencies(&logits, 1.0).iter().zip([0.125, 0.25, 0.625]) {
            assert!((found - expected).abs() < 0.015, "{found} {expected}");
        }
        // Temperature 1/2 squares the odds: 1 : 4 : 25.
        for (found, expected) in frequencies(&logits, 0.5).iter().zip([1.0, 4.0, 25.0]) {
            assert!((found - expected / 30.0).abs() < 0.015, "{found} {expected}");
        }
    }

    #[test]
    fn log_probabilities_are_those_of_temperature_one() {
        let logits = [0.0, 2f32.ln(), 5f32.ln()];
        for temperature in [0.0, 0.3, 1.0, 2.0] {
            let mut distribution = Distribution::default();
            distribution.read(Arch::new(), &logits, temperature).unwrap();
            let draw = distribution.draw(&logits, &mut stream(1, [0, 0]));
            let expected = [0.125f64, 0.25, 0.625][draw.token as usize].ln();
            assert!((draw.log_prob - expected).abs() < 1e-6);
        }
    }

    #[test]
    fn temperature_zero_takes_the_first_of_the_most_likely() {
        let logits = [1.0, 3.0, 3.0];
        let mut distribution = Distribution::default();
        distribution.read(Arch::new(), &logits, 0.0).unwrap();
        assert_eq!(distribution.draw(&logits, &mut stream(1, [0, 0])).token, 1);
    }

    #[test]
    fn logits_that_are_not_finite_are_refused() {
        let mut distribution = Distribution::default();
        assert_eq!(distribution.read(Arch::new(), &[0.0, f32::NAN], 1.0), None);
        assert_eq!(distribution.read(Arch::new(), &[0.0, f32::INFINITY], 1.0), None);
    }
}
