//! AlphaMath's loss (arXiv 2405.03553, Eq. 9; ALPHAMATH §4): likelihood of correct solutions, values of all.

use rand_chacha::ChaCha8Rng;
use tch::{Kind, Reduction, Tensor};

use super::{Counts, IGNORED, Loss, Objective, TensorBatch};
use crate::PolicyValueNet;
use crate::random::uniform;

/// `mean NLL over target tokens + beta * mean over step ends of (V - V~)^2`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AlphaMath {
    /// Weight of the value loss.
    pub beta: f64,
    /// Probability with which an element of the value head's input is dropped.
    pub value_dropout: f64,
}

impl AlphaMath {
    /// The loss of a net's outputs: logits `[R, V]` for `batch.policy_targets`, values `[N]` for
    /// `batch.value_targets`. Logits are read only when the batch has policy targets.
    fn combine(
        &self,
        logits: impl FnOnce() -> Tensor,
        values: &Tensor,
        batch: &TensorBatch,
        whole: Counts,
    ) -> Loss {
        let policy = (batch.policy_count > 0).then(|| {
            let targets = &batch.policy_targets;
            let sum =
                logits().cross_entropy_loss(targets, None::<Tensor>, Reduction::Sum, IGNORED, 0.0);
            sum / whole.policy as f64
        });
        let value = (batch.value_count > 0).then(|| {
            (values - &batch.value_targets).square().sum(Kind::Float) / whole.value as f64
        });
        let number = |loss: &Tensor| loss.double_value(&[]);
        let (policy_number, value_number) =
            (policy.as_ref().map(number), value.as_ref().map(number));
        let weighted = value.map(|value| value * self.beta);
        let total = match (policy, weighted) {
            (Some(policy), Some(value)) => policy + value,
            (Some(only), None) | (None, Some(only)) => only,
            (None, None) => Tensor::from(0.0f32),
        };
        Loss { total, policy: policy_number, value: value_number }
    }

    /// Inverted dropout: survivors are scaled up so that inference needs no change.
    fn dropout(&self, input: &Tensor, rng: &mut ChaCha8Rng) -> Tensor {
        if self.value_dropout <= 0.0 {
            return input.shallow_clone();
        }
        let drop = self.value_dropout as f32;
        let keep = 1.0 / (1.0 - drop);
        let mask: Vec<f32> =
            (0..input.numel()).map(|_| if uniform(rng) < drop { 0.0 } else { keep }).collect();
        input * Tensor::from_slice(&mask).view_as(input)
    }
}

impl Objective for AlphaMath {
    fn loss(
        &self,
        net: &PolicyValueNet,
        batch: &TensorBatch,
        whole: Counts,
        rng: &mut ChaCha8Rng,
    ) -> Loss {
        let width = net.config().hidden_size as i64;
        let hidden = net.forward(&batch.tokens).view([-1, width]);
        let step_ends = self.dropout(&hidden.index_select(0, &batch.value_rows), rng);
        self.combine(|| net.logits(&hidden), &net.values(&step_ends), batch, whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(policy: &[i64], values: &[f32]) -> TensorBatch {
        TensorBatch {
            tokens: Tensor::from_slice(&[0i64]),
            policy_targets: Tensor::from_slice(policy),
            policy_count: policy.iter().filter(|&&target| target != IGNORED).count(),
            value_rows: Tensor::from_slice(&vec![0i64; values.len()]),
            value_targets: Tensor::from_slice(values),
            value_count: values.len(),
        }
    }

    const LOSS: AlphaMath = AlphaMath { beta: 0.1, value_dropout: 0.0 };

    /// The loss of a batch that is no share of another.
    fn combine(logits: impl FnOnce() -> Tensor, values: &Tensor, batch: &TensorBatch) -> Loss {
        let whole = Counts { policy: batch.policy_count, value: batch.value_count };
        LOSS.combine(logits, values, batch, whole)
    }

    #[test]
    fn the_loss_is_the_paper_s() {
        // Row 0: logits (0, ln 3), target 1: -ln(3/4). Row 1 is masked. Row 2: logits (0, 0), target 0: ln 2.
        let logits = [0.0, 3f32.ln(), 9.0, -9.0, 0.0, 0.0];
        let batch = batch(&[1, IGNORED, 0], &[1.0, -1.0]);
        // Values 0.5 and 0: squared errors 0.25 and 1, mean 0.625.
        let values = Tensor::from_slice(&[0.5f32, 0.0]);
        let loss = combine(|| Tensor::from_slice(&logits).view([3, 2]), &values, &batch);
        let policy = ((4f64 / 3.0).ln() + 2f64.ln()) / 2.0;
        assert!((loss.policy.unwrap() - policy).abs() < 1e-6, "{loss:?}");
        assert!((loss.value.unwrap() - 0.625).abs() < 1e-6, "{loss:?}");
        assert!((loss.total.double_value(&[]) - (policy + 0.0625)).abs() < 1e-6, "{loss:?}");
    }

    #[test]
    fn a_batch_without_correct_solutions_gives_the_value_loss_alone() {
        let batch = batch(&[IGNORED, IGNORED], &[1.0]);
        let values = Tensor::from_slice(&[0.0f32]);
        let loss = combine(|| panic!("no logits are needed"), &values, &batch);
        assert_eq!(loss.policy, None);
        assert!((loss.total.double_value(&[]) - 0.1).abs() < 1e-7);
    }

    #[test]
    fn a_batch_without_value_targets_gives_the_policy_loss_alone() {
        let batch = batch(&[1], &[]);
        let none = Tensor::from_slice::<f32>(&[]);
        let loss = combine(|| Tensor::from_slice(&[0f32, 0.0]).view([1, 2]), &none, &batch);
        assert_eq!(loss.value, None);
        assert!((loss.total.double_value(&[]) - 2f64.ln()).abs() < 1e-6);
    }

    #[test]
    fn dropout_keeps_the_mean_and_repeats_with_its_generator() {
        let dropping = AlphaMath { beta: 0.1, value_dropout: 0.25 };
        let ones = Tensor::ones([100, 100], (Kind::Float, tch::Device::Cpu));
        let draw = || dropping.dropout(&ones, &mut crate::random::stream(7, [1, 2]));
        let dropped = draw();
        assert_eq!(dropped, draw());
        let mean = dropped.mean(Kind::Float).double_value(&[]);
        assert!((mean - 1.0).abs() < 0.03, "{mean}");
        let zeros = dropped.eq(0.0).sum(Kind::Int64).int64_value(&[]);
        assert!((2200..2800).contains(&zeros), "{zeros}");
    }
}
