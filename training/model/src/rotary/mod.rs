//! The rotary position embedding (Su et al., arXiv 2104.09864), in Hugging Face's half-split layout.

mod scaling;

use crate::config::ModelConfig;
use crate::error::Result;

/// How far each pair of a head turns from one position to the next.
#[derive(Debug, Clone, PartialEq)]
pub struct Rope {
    /// Radians a position, `[head_dim / 2]`; pair `i` is elements `i` and `i + head_dim / 2`.
    frequencies: Vec<f64>,
    /// What cosine and sine are multiplied by; 1 unless YaRN scales attention.
    attention_factor: f64,
}

impl Rope {
    /// The embedding of a configuration, scaled as its `rope_scaling` or `rope_parameters` says.
    ///
    /// # Errors
    /// [`Error::Model`](crate::Error::Model) when the scaling is of an unknown kind or its numbers are out of range.
    pub fn new(config: &ModelConfig) -> Result<Self> {
        scaling::rope(config)
    }

    /// The plain embedding: pair `i` turns by `theta^(-2 i / head_dim)` a position.
    fn plain(theta: f64, head_dim: usize) -> Self {
        let half = head_dim / 2;
        let frequency = |pair: usize| theta.powf(-(pair as f64) / half as f64);
        Self { frequencies: (0..half).map(frequency).collect(), attention_factor: 1.0 }
    }

    /// Cosine and sine of every angle, each `[length, head_dim / 2]`, times the attention factor.
    #[must_use]
    pub fn tables(&self, length: usize) -> (Vec<f32>, Vec<f32>) {
        let half = self.frequencies.len();
        let factor = self.attention_factor;
        let angle = |index: usize| (index / half) as f64 * self.frequencies[index % half];
        let cosines =
            (0..length * half).map(|index| (angle(index).cos() * factor) as f32).collect();
        let sines = (0..length * half).map(|index| (angle(index).sin() * factor) as f32).collect();
        (cosines, sines)
    }
}

/// [`Rope::tables`] of a configuration that was checked.
///
/// # Panics
/// When the configuration's scaling is not supported; [`ModelConfig::validate`] finds that first.
#[must_use]
pub fn tables(config: &ModelConfig, length: usize) -> (Vec<f32>, Vec<f32>) {
    Rope::new(config).expect("the configuration was checked").tables(length)
}
