//! From the numbers of a solution's steps to one of the whole.

use serde::{Deserialize, Serialize};

/// How the numbers of the steps become one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[derive(clap::ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum Aggregation {
    /// That of the last step.
    #[default]
    Last,
    /// The least.
    Min,
    /// The product of the probabilities.
    Product,
    /// Their mean.
    Mean,
    /// Their mean under weights `exp(-v / T)` with T = 0.1 (PURE, arXiv 2504.15275, eq. 4): close to the least.
    Softmin,
}

/// PURE's temperature.
const TEMPERATURE: f64 = 0.1;

impl Aggregation {
    /// Of values in [-1, 1], one a step; 0, no opinion, where there are none.
    #[must_use]
    pub fn of(self, values: &[f64]) -> f64 {
        let count = values.len() as f64;
        let Some(&last) = values.last() else { return 0.0 };
        match self {
            Self::Last => last,
            Self::Min => values.iter().copied().fold(f64::INFINITY, f64::min),
            Self::Mean => values.iter().sum::<f64>() / count,
            Self::Product => {
                let product: f64 = values.iter().map(|value| (value + 1.0) / 2.0).product();
                2.0 * product - 1.0
            }
            Self::Softmin => {
                let least = Self::Min.of(values);
                let weights = values.iter().map(|value| (-(value - least) / TEMPERATURE).exp());
                let sum: f64 = weights.clone().sum();
                weights.zip(values).map(|(weight, value)| weight * value).sum::<f64>() / sum
            }
        }
    }

    /// Whether the numbers of earlier steps count.
    #[must_use]
    pub fn needs_all(self) -> bool {
        self != Self::Last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_make_a_whole() {
        let values = [0.6, -0.2, 0.8];
        let near = |aggregation: Aggregation, expected: f64| {
            let found = aggregation.of(&values);
            assert!((found - expected).abs() < 1e-12, "{aggregation:?}: {found} {expected}");
        };
        near(Aggregation::Last, 0.8);
        near(Aggregation::Min, -0.2);
        near(Aggregation::Mean, 0.4);
        near(Aggregation::Product, 2.0 * (0.8 * 0.4 * 0.9) - 1.0);
        let weights = values.map(|v: f64| (-v / 0.1).exp());
        let dot: f64 = weights.iter().zip(values).map(|(w, v)| w * v).sum();
        near(Aggregation::Softmin, dot / weights.iter().sum::<f64>());
        for all in [
            Aggregation::Last,
            Aggregation::Min,
            Aggregation::Mean,
            Aggregation::Product,
            Aggregation::Softmin,
        ] {
            assert_eq!(all.of(&[]), 0.0);
            assert_eq!(all.of(&[0.25]), 0.25);
        }
    }
}
