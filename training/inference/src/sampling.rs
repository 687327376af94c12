//! Drawing tokens from logits.

use espalier_model::error::{Error, Result};
use pulp::Arch;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::Rng;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::branching::{Branches, Rank};
use super::elementwise::softmax_terms;

/// Which tokens may be drawn, applied in this order to the distribution at the request's temperature. Log-probabilities
/// stay those of the whole distribution at temperature 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SamplingConfig {
    /// The so many most likely tokens, and those as likely as the last of them; 0 for all.
    pub top_k: usize,
    /// The most likely tokens that together reach this probability, in (0, 1] (Holtzman et al., arXiv 1904.09751).
    pub top_p: f32,
    /// Tokens at least this many times as likely as the most likely one, in [0, 1] (Nguyen et al., arXiv 2407.01082).
    pub min_p: f32,
}

impl Default for SamplingConfig {
    fn default() -> Self {
        Self { top_k: 0, top_p: 1.0, min_p: 0.0 }
    }
}

impl SamplingConfig {
    /// Checks every range.
    ///
    /// # Errors
    /// [`Error::Setting`] with the first field that is outside its range.
    pub fn validate(&self) -> Result<()> {
        let Self { top_p, min_p, .. } = *self;
        let fail = |field, range: &str, value: f32| {
            Err(Error::Setting { field, message: format!("must be in {range}, is {value}") })
        };
        if !(top_p > 0.0 && top_p <= 1.0) {
            return fail("top_p", "(0, 1]", top_p);
        }
        if !(0.0..=1.0).contains(&min_p) {
            return fail("min_p", "[0, 1]", min_p);
        }
        Ok(())
    }

    /// Sets the terms of tokens that may not be drawn to 0. The largest term is 1.
    fn filter(self, terms: &mut [f32], order: &mut Vec<f32>) {
        let Self { top_k, top_p, min_p } = self;
        let mut least = min_p;
        if (1..terms.len()).contains(&top_k) {
            order.clear();
            order.extend_from_slice(terms);
            let (_, kth, _) = order.select_nth_unstable_by(top_k - 1, |a, b| b.total_cmp(a));
            let kth = *kth;
            terms.iter_mut().filter(|term| **term < kth).for_each(|term| *term = 0.0);
        }
        if top_p < 1.0 {
            let all = sum(terms);
            // All terms up to here together are no more than what may be left out: sorting them would be most of the work.
            let tail = ((1.0 - f64::from(top_p)) * all / terms.len() as f64) as f32;
            order.clear();
            order.extend(terms.iter().copied().filter(|&term| term > tail));
            order.sort_unstable_by(|a, b| b.total_cmp(a));
            let mut reached = 0.0;
            let last = order.iter().find(|&&term| {
                reached += f64::from(term);
                reached >= f64::from(top_p) * all
            });
            least = least.max(last.copied().unwrap_or(0.0));
        }
        terms.iter_mut().filter(|term| **term < least).for_each(|term| *term = 0.0);
    }
}

/// Something of each sample of a row: most rows are soon of one alone.
pub(super) type OfSamples<T> = SmallVec<[T; 1]>;

/// What is to be drawn after one row.
pub(super) struct Ask {
    /// 0 takes the most likely token, the first of equals.
    pub temperature: f32,
    pub draws: Draws,
}

/// How tokens are drawn.
pub(super) enum Draws {
    /// Each by itself, by a number from [`uniform`].
    Each(OfSamples<f64>),
    /// Without replacement.
    Branches(Branches),
}

impl Draws {
    /// The numbers of the samples that are drawn each by itself.
    #[cfg(feature = "torch")]
    pub fn each(&self) -> &[f64] {
        match self {
            Self::Each(uniforms) => uniforms,
            Self::Branches(_) => &[],
        }
    }
}

/// The tokens that were drawn after one row.
pub(super) enum Drawn {
    /// One for each sample.
    Each(OfSamples<Draw>),
    /// Those of highest rank, the highest first.
    Branches(OfSamples<(Draw, Rank)>),
}

impl Drawn {
    /// What was drawn without replacement.
    pub fn branches(&self) -> &[(Draw, Rank)] {
        match self {
            Self::Branches(branches) => branches,
            Self::Each(_) => &[],
        }
    }
}

/// One of 2^53 numbers in [0, 1).
pub(super) fn uniform(rng: &mut ChaCha8Rng) -> f64 {
    (rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64
}

/// The distribution over the next token, ready for any number of draws.
#[derive(Default)]
pub(super) struct Distribution {
    /// `e^((logit - max) / temperature - offset)` of each token; 0 where it may not be drawn. An exponent below about -87 counts as that.
    terms: Vec<f32>,
    /// Their sum.
    sum: f64,
    /// 0 when they were read.
    offset: f64,
    /// Log of their sum when they were read.
    log_whole: f64,
    /// 0 takes the most likely token, and leaves `terms` as they are at 1.
    temperature: f64,
    /// Log of the sum of `e^(logit - max)`.
    log_normaliser: f64,
    maximum: f32,
    /// Room for sorting.
    order: Vec<f32>,
}

/// A sum of terms below which single ones may have lost their differences.
const LITTLE: f64 = 1e-20;

/// In lanes, which a sum in order could not be.
fn sum(terms: &[f32]) -> f64 {
    let (chunks, rest) = terms.as_chunks::<16>();
    let mut lanes = [0.0; 16];
    for chunk in chunks {
        lanes.iter_mut().zip(chunk).for_each(|(lane, term)| *lane += f64::from(*term));
    }
    lanes.iter().sum::<f64>() + rest.iter().copied().map(f64::from).sum::<f64>()
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
    pub fn read(
        &mut self,
        arch: Arch,
        logits: &[f32],
        temperature: f32,
        sampling: SamplingConfig,
    ) -> Option<()> {
        let (maximum, normaliser) = softmax_terms(arch, logits, 1.0, &mut self.terms);
        if !(maximum.is_finite() && normaliser.is_finite()) {
            return None;
        }
        self.maximum = maximum;
        self.log_normaliser = f64::from(normaliser).ln();
        let greedy = temperature == 0.0;
        if !greedy && temperature != 1.0 {
            // Finite, so that the most likely token's exponent is 0 at any temperature.
            softmax_terms(arch, logits, (1.0 / temperature).min(f32::MAX), &mut self.terms);
        }
        if !greedy {
            sampling.filter(&mut self.terms, &mut self.order);
        }
        self.sum = sum(&self.terms);
        self.offset = 0.0;
        self.log_whole = self.sum.ln();
        self.temperature = f64::from(temperature);
        Some(())
    }

    /// Draws what is asked for. `logits` are those that were read; what is drawn without replacement is not there any more.
    pub fn answer(&mut self, logits: &[f32], draws: &Draws) -> Drawn {
        match draws {
            Draws::Each(uniforms) => {
                Drawn::Each(uniforms.iter().map(|&uniform| self.draw(logits, uniform)).collect())
            }
            Draws::Branches(branches) => Drawn::Branches(branches.draw(self, logits)),
        }
    }

    /// Log of the share that was not taken yet.
    pub fn left(&self) -> f64 {
        self.sum.ln() + self.offset - self.log_whole
    }

    /// Draws a token and takes it out; with it comes the log of the share that it had when the logits were read. Something must be left
    /// ([`Self::left`]).
    pub fn take(&mut self, logits: &[f32], uniform: f64) -> (Draw, f64) {
        let mut rest = uniform * self.sum;
        let mut last = 0;
        let found = self.terms.iter().enumerate().find(|(token, term)| {
            rest -= f64::from(**term);
            if **term > 0.0 {
                last = *token;
            }
            rest < 0.0
        });
        // Rounding can leave a crumb of `rest` after the last token that is left.
        let token = found.map_or(last, |(token, _)| token);
        let share = self.exponent(logits[token]) - self.log_whole;
        self.terms[token] = 0.0;
        self.sum = sum(&self.terms);
        if self.sum < LITTLE {
            self.magnify(logits);
        }
        let token = token as u32;
        (Draw { token, log_prob: self.log_prob(logits, token) }, share)
    }

    /// Makes the largest of the terms that are left 1. Relative to one that was taken they may all be as small as a number can be, and
    /// alike for that reason alone.
    fn magnify(&mut self, logits: &[f32]) {
        let left = self.terms.iter().zip(logits).filter(|(term, _)| **term > 0.0);
        let largest = left.map(|(_, &logit)| self.exponent(logit)).reduce(f64::max);
        let Some(largest) = largest else { return };
        self.offset = largest;
        for (index, &logit) in logits.iter().enumerate() {
            if self.terms[index] > 0.0 {
                let exponent = self.exponent(logit) - largest;
                self.terms[index] = (exponent.exp() as f32).max(f32::MIN_POSITIVE);
            }
        }
        self.sum = sum(&self.terms);
    }

    /// Log of a token's term when it was read.
    fn exponent(&self, logit: f32) -> f64 {
        f64::from(logit - self.maximum) / self.temperature
    }

    /// Draws the token whose share `uniform` falls into. `logits` are those that were read.
    pub fn draw(&self, logits: &[f32], uniform: f64) -> Draw {
        let token = if self.temperature == 0.0 {
            logits.iter().position(|&logit| logit == self.maximum)
        } else {
            let mut rest = uniform * self.sum;
            self.terms.iter().position(|&term| {
                rest -= f64::from(term);
                rest < 0.0
            })
        };
        // Rounding can leave a crumb of `rest` after the last token; the most likely one takes it.
        let token = token.or_else(|| logits.iter().position(|&logit| logit == self.maximum));
        let token = token.unwrap_or(0) as u32;
        Draw { token, log_prob: self.log_prob(logits, token) }
    }

    /// Log-probability of a token at temperature 1. `logits` are those that were read.
    pub fn log_prob(&self, logits: &[f32], token: u32) -> f64 {
        let log_prob = f64::from(logits[token as usize] - self.maximum) - self.log_normaliser;
        log_prob.min(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use espalier_model::random::stream;

    const ALL: SamplingConfig = SamplingConfig { top_k: 0, top_p: 1.0, min_p: 0.0 };

    fn frequencies(logits: &[f32], temperature: f32, sampling: SamplingConfig) -> Vec<f64> {
        let mut distribution = Distribution::default();
        distribution.read(Arch::new(), logits, temperature, sampling).unwrap();
        let mut rng = stream(3, [0, 0]);
        let mut counts = vec![0.0; logits.len()];
        for _ in 0..20_000 {
            counts[distribution.draw(logits, uniform(&mut rng)).token as usize] += 1.0 / 20_000.0;
        }
        counts
    }

    #[test]
    fn draws_follow_the_softmax() {
        let logits = [0.0, 2f32.ln(), 5f32.ln()];
        for (found, expected) in frequencies(&logits, 1.0, ALL).iter().zip([0.125, 0.25, 0.625]) {
            assert!((found - expected).abs() < 0.015, "{found} {expected}");
        }
        // Temperature 1/2 squares the odds: 1 : 4 : 25.
        for (found, expected) in frequencies(&logits, 0.5, ALL).iter().zip([1.0, 4.0, 25.0]) {
            assert!((found - expected / 30.0).abs() < 0.015, "{found} {expected}");
        }
    }

    #[test]
    fn log_probabilities_are_those_of_temperature_one() {
        let logits = [0.0, 2f32.ln(), 5f32.ln()];
        for temperature in [0.0, 0.3, 1.0, 2.0] {
            let mut distribution = Distribution::default();
            distribution.read(Arch::new(), &logits, temperature, ALL).unwrap();
            let draw = distribution.draw(&logits, 0.4);
            let expected = [0.125f64, 0.25, 0.625][draw.token as usize].ln();
            assert!((draw.log_prob - expected).abs() < 1e-6);
        }
    }

    #[test]
    fn unlikely_tokens_can_be_left_out() {
        // Probabilities 1/16, 2/16, 5/16, 8/16.
        let logits = [0.0, 2f32.ln(), 5f32.ln(), 8f32.ln()];
        let cases = [
            (SamplingConfig { top_k: 2, ..ALL }, [0.0, 0.0, 5.0, 8.0]),
            (SamplingConfig { top_k: 9, ..ALL }, [1.0, 2.0, 5.0, 8.0]),
            (SamplingConfig { top_p: 0.8, ..ALL }, [0.0, 0.0, 5.0, 8.0]),
            (SamplingConfig { top_p: 0.82, ..ALL }, [0.0, 2.0, 5.0, 8.0]),
            (SamplingConfig { min_p: 0.2, ..ALL }, [0.0, 2.0, 5.0, 8.0]),
            // Of the three that are left, the first two reach 0.8.
            (SamplingConfig { top_k: 3, top_p: 0.8, min_p: 0.0 }, [0.0, 0.0, 5.0, 8.0]),
            (SamplingConfig { top_p: 1e-9, ..ALL }, [0.0, 0.0, 0.0, 8.0]),
        ];
        for (sampling, odds) in cases {
            let sum: f64 = odds.iter().sum();
            let found = frequencies(&logits, 1.0, sampling);
            for (found, expected) in found.iter().zip(odds) {
                let close = (found - expected / sum).abs() < 0.02;
                assert!(close && (expected > 0.0 || *found == 0.0), "{sampling:?}: {found}");
            }
        }
        // At temperature 1/2 the odds are 1 : 4 : 25 : 64, and 0.2 of 64 is 12.8.
        let sampling = SamplingConfig { min_p: 0.2, ..ALL };
        assert_eq!(frequencies(&logits, 0.5, sampling)[..2], [0.0, 0.0]);
        assert!(SamplingConfig { top_p: 0.0, ..ALL }.validate().is_err());
        assert!(SamplingConfig { min_p: f32::NAN, ..ALL }.validate().is_err());
    }

    /// Sorting everything is the plain way to find the nucleus.
    #[test]
    fn the_nucleus_of_a_large_vocabulary_is_that_of_its_sorted_terms() {
        for (seed, top_p) in [(1, 0.5), (2, 0.9), (3, 0.95), (4, 0.999)] {
            let mut rng = stream(seed, [0, 0]);
            let logits: Vec<f32> =
                (0..5000).map(|_| (rng.next_u64() >> 40) as f32 / (1 << 20) as f32).collect();
            let mut distribution = Distribution::default();
            let sampling = SamplingConfig { top_p, ..ALL };
            distribution.read(Arch::new(), &logits, 0.7, sampling).unwrap();
            let exact = |logit: f32| ((f64::from(logit) - 16.0) / 0.7).exp();
            let mut sorted = logits.clone();
            sorted.sort_unstable_by(|a, b| b.total_cmp(a));
            let all: f64 = sorted.iter().copied().map(exact).sum();
            let mut reached = 0.0;
            let nucleus = sorted.iter().position(|&logit| {
                reached += exact(logit);
                reached >= f64::from(top_p) * all
            });
            let kept = distribution.terms.iter().filter(|&&term| term > 0.0).count();
            assert_eq!(kept, nucleus.unwrap() + 1, "{top_p}");
        }
    }

    #[test]
    fn temperature_zero_takes_the_first_of_the_most_likely() {
        let logits = [1.0, 3.0, 3.0];
        let mut distribution = Distribution::default();
        distribution.read(Arch::new(), &logits, 0.0, ALL).unwrap();
        assert_eq!(distribution.draw(&logits, 0.9).token, 1);
    }

    #[test]
    fn logits_that_are_not_finite_are_refused() {
        let mut distribution = Distribution::default();
        assert_eq!(distribution.read(Arch::new(), &[0.0, f32::NAN], 1.0, ALL), None);
        assert_eq!(distribution.read(Arch::new(), &[0.0, f32::INFINITY], 1.0, ALL), None);
    }
}
