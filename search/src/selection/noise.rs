//! Dirichlet noise on the root's priors.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Gamma};
use serde::{Deserialize, Serialize};

use crate::ConfigError;

/// `P' = (1 - fraction) P + fraction S d`, `d` from a symmetric Dirichlet distribution and `S` the sum of the
/// priors, which is 1 only where they are normalised (AlphaZero, arXiv 1712.01815). Selection alone reads `P'`;
/// records keep `P`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RootNoise {
    /// Concentration, > 0: the smaller, the fewer children share the noise.
    pub alpha: f64,
    /// Share of the noise, in [0, 1].
    pub fraction: f64,
}

impl Default for RootNoise {
    fn default() -> Self {
        Self { alpha: 0.3, fraction: 0.25 }
    }
}

impl RootNoise {
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        let Self { alpha, fraction } = *self;
        ConfigError::require(
            alpha.is_finite() && alpha > 0.0,
            "selection.root_noise.alpha",
            &alpha,
            "must be a finite number > 0",
        )?;
        ConfigError::require(
            (0.0..=1.0).contains(&fraction),
            "selection.root_noise.fraction",
            &fraction,
            "must be in [0, 1]",
        )
    }
}

/// Mixes noise into priors in [0, 1]; the same seed gives the same.
pub fn mix_noise(noise: &RootNoise, priors: &mut [f32], seed: u64) {
    let Ok(gamma) = Gamma::new(noise.alpha, 1.0) else {
        return;
    };
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let drawn: Vec<f64> = priors.iter().map(|_| gamma.sample(&mut rng)).collect();
    let total: f64 = drawn.iter().sum();
    // A tiny alpha may round every draw to 0.
    if total > 0.0 {
        let sum: f64 = priors.iter().copied().map(f64::from).sum();
        for (prior, drawn) in priors.iter_mut().zip(drawn) {
            let mixed =
                (1.0 - noise.fraction) * f64::from(*prior) + noise.fraction * sum * drawn / total;
            *prior = mixed.min(1.0) as f32;
        }
    }
}

#[cfg(all(test, not(espalier_loom)))]
mod tests {
    use super::*;

    #[test]
    fn noise_moves_priors_and_keeps_their_sum() {
        let clean = [0.1_f32, 0.2, 0.05, 0.15];
        let noisy = |fraction, seed| {
            let mut priors = clean;
            mix_noise(&RootNoise { alpha: 0.3, fraction }, &mut priors, seed);
            priors
        };
        assert_eq!(noisy(0.0, 1), clean);
        assert_eq!(noisy(0.25, 1), noisy(0.25, 1));
        assert_ne!(noisy(0.25, 1), noisy(0.25, 2));
        assert_ne!(noisy(0.25, 1), clean);
        assert!((noisy(1.0, 3).iter().sum::<f32>() - 0.5).abs() < 1e-6);
    }

    #[test]
    fn a_small_alpha_concentrates() {
        let largest = |alpha| -> f32 {
            let highest = |seed| {
                let mut priors = [0.25_f32; 4];
                mix_noise(&RootNoise { alpha, fraction: 1.0 }, &mut priors, seed);
                priors.into_iter().fold(0.0, f32::max)
            };
            (0..200).map(highest).sum::<f32>() / 200.0
        };
        assert!(largest(0.05) > 0.85 && largest(50.0) < 0.35);
    }
}
