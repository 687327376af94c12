//! The rotary position embedding (Su et al., arXiv 2104.09864), in Hugging Face's half-split layout.

mod scaling;

use crate::config::ModelConfig;
use crate::error::Result;

/// How far each pair of a head turns from one position to the next.
#[derive(Debug, Clone, PartialEq)]
pub struct Rope {
    /// Radians a position, `[width / 2]`; pair `i` is elements `i` and `i + width / 2` of a head, whose elements from `width`
    /// on stay as they are.
    frequencies: Vec<f64>,
    /// What cosine and sine are multiplied by; 1 unless YaRN or LongRoPE scales attention.
    attention_factor: f64,
    /// Longest sequence for which the frequencies hold, if not for all.
    limit: Option<usize>,
}

impl Rope {
    /// The embedding of all layers, scaled as `rope_scaling` or `rope_parameters` says.
    ///
    /// # Errors
    /// [`Error::Model`](crate::Error::Model) when the scaling is of an unknown kind or its numbers are out of range, and where
    /// only a part of each head is rotated.
    pub fn new(config: &ModelConfig) -> Result<Self> {
        scaling::whole(config)
    }

    /// As [`Self::new`], where `partial_rotary_factor` may say that only the first part of each head is rotated.
    pub(crate) fn partial(config: &ModelConfig) -> Result<Self> {
        scaling::partial(config)
    }

    /// The embedding of the layers of one kind, by `rope_parameters` of newer files; older ones have `old`, a base and whether
    /// `rope_scaling` is for these layers. `theta` stands where a file is silent.
    pub(crate) fn of_kind(
        config: &ModelConfig,
        kind: &str,
        old: (&'static str, bool),
        theta: f64,
    ) -> Result<Self> {
        scaling::of_kind(config, kind, old, theta)
    }

    /// The plain embedding: pair `i` turns by `theta^(-2 i / width)` a position.
    fn plain(theta: f64, width: usize) -> Self {
        let half = width / 2;
        let frequency = |pair: usize| theta.powf(-(pair as f64) / half as f64);
        let frequencies = (0..half).map(frequency).collect();
        Self { frequencies, attention_factor: 1.0, limit: None }
    }

    /// Pairs of a head that turn.
    #[must_use]
    pub fn pairs(&self) -> usize {
        self.frequencies.len()
    }

    /// Longest sequence for which the embedding holds, if not for all.
    #[must_use]
    pub fn limit(&self) -> Option<usize> {
        self.limit
    }

    /// Cosine and sine of every angle, each `[length, pairs]`, times the attention factor.
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
