//! Tables of the rotary position embedding (Su et al., arXiv 2104.09864), in Hugging Face's half-split layout.

use crate::ModelConfig;

/// Cosine and sine of every angle, each `[length, head_dim / 2]`: pair `i` of position `t` turns by
/// `t * theta^(-2 i / head_dim)`. A pair is elements `i` and `i + head_dim / 2`.
pub(crate) fn tables(config: &ModelConfig, length: usize) -> (Vec<f32>, Vec<f32>) {
    let half = config.head_dim() / 2;
    let angle = |index: usize| {
        let (position, pair) = (index / half, index % half);
        let frequency = config.rope_theta.powf(-(pair as f64) / half as f64);
        position as f64 * frequency
    };
    let cosines = (0..length * half).map(|index| angle(index).cos() as f32).collect();
    let sines = (0..length * half).map(|index| angle(index).sin() as f32).collect();
    (cosines, sines)
}
