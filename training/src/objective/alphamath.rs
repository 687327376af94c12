//! AlphaMath's loss (arXiv 2405.03553, Eq. 9): likelihood of correct solutions, values of all.

use espalier_model::random::{stream, uniform};
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use super::{
    Counts, LabelledPath, Loss, Objective, PathTargets, PolicyTargets, StepTargets, TensorBatch,
    Unlearnt, chosen, rows,
};
use crate::error::Result;
use crate::net::PolicyValueNet;
use crate::settings::Setting;

/// Distinguishes this use of the seed from others.
const DROPOUT: u64 = u64::from_le_bytes(*b"dropout\0");

/// `mean NLL over target tokens + beta * mean over step ends of (V - V~)^2`, the latter weighted where labels have weights. The policy learns
/// the steps of right solutions, the value head the labels of all. Defaults are the paper's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AlphaMath {
    /// Weight of the value loss.
    pub beta: f64,
    /// Dropout on the value head's input, in [0, 1).
    pub value_dropout: f64,
    /// Whether the policy also learns to write observations, as the paper's does.
    pub observation_loss: bool,
}

impl Default for AlphaMath {
    fn default() -> Self {
        Self { beta: 0.1, value_dropout: 0.1, observation_loss: true }
    }
}

impl AlphaMath {
    /// The loss of a net's outputs: logits `[U, V]` at `batch.policy_places`, values `[E]` for `batch.value_targets`. Logits are read only when the batch has policy targets.
    fn combine(
        &self,
        logits: impl FnOnce() -> Result<Tensor>,
        values: &Tensor,
        batch: &TensorBatch,
        whole: Counts,
    ) -> Result<Loss> {
        let policy = if batch.policy_count() > 0 {
            let sum = chosen(&logits()?, batch)?.f_sum(Kind::Float)?;
            Some(sum.f_mul_scalar(-1.0 / whole.policy as f64)?)
        } else {
            None
        };
        let value = if batch.value_count() > 0 {
            let errors = values.f_sub(&batch.value_targets)?.f_square()?;
            let sum = errors.f_mul(&batch.value_weights)?.f_sum(Kind::Float)?;
            Some(sum.f_mul_scalar(1.0 / whole.value)?)
        } else {
            None
        };
        let weighted = value.as_ref().map(|value| value.f_mul_scalar(self.beta)).transpose()?;
        let total = match (&policy, weighted) {
            (Some(policy), Some(value)) => policy.f_add(&value)?,
            (Some(policy), None) => policy.shallow_clone(),
            (None, Some(value)) => value,
            (None, None) => Tensor::f_zeros([], (Kind::Float, values.device()))?,
        };
        let parts = [("policy_loss", policy), ("value_loss", value)];
        let parts = parts.into_iter().filter_map(|(name, part)| Some((name, part?))).collect();
        Ok(Loss { total, parts })
    }

    /// Inverted dropout: survivors are scaled up so that inference needs no change. Row `i` of `input` is dropped by the
    /// stream of random numbers `streams[i]`.
    fn dropout(&self, input: &Tensor, streams: &[[u64; 3]]) -> Result<Tensor> {
        if self.value_dropout <= 0.0 {
            return Ok(input.shallow_clone());
        }
        let drop = self.value_dropout as f32;
        let keep = 1.0 / (1.0 - drop);
        let width = input.size().last().copied().unwrap_or(0) as usize;
        let mut mask = Vec::with_capacity(streams.len() * width);
        // Drawn by the processor, of which it takes some ten microseconds a step: the same whatever the device is, and
        // however a step is cut.
        for &[seed, text, step] in streams {
            let mut rng = stream(seed, [DROPOUT.wrapping_add(text), step]);
            mask.extend((0..width).map(|_| if uniform(&mut rng) < drop { 0.0 } else { keep }));
        }
        let mask = Tensor::f_from_slice(&mask)?.f_view_as(input)?;
        Ok(input.f_mul(&mask.f_to_device(input.device())?)?)
    }
}

impl Objective for AlphaMath {
    fn validate(&self) -> Result<()> {
        Setting("beta", self.beta).not_negative()?;
        Setting("value_dropout", self.value_dropout).below_one()
    }

    fn targets(&self, paths: &[LabelledPath<'_>]) -> Result<Vec<PathTargets>, Unlearnt> {
        let targets = paths.iter().map(|path| {
            let policy = match path.correct {
                true => PolicyTargets::with_observations(self.observation_loss),
                false => PolicyTargets::None,
            };
            let steps = path.steps.iter();
            let steps = steps.map(|step| StepTargets {
                policy,
                weight: 1.0,
                value: step.q,
                value_weight: step.q_weight,
            });
            PathTargets { steps: steps.collect(), ..PathTargets::default() }
        });
        Ok(targets.collect())
    }

    fn learns_values(&self) -> bool {
        true
    }

    fn leaves_observations_out(&self) -> bool {
        !self.observation_loss
    }

    fn loss(
        &self,
        net: &PolicyValueNet,
        hidden: &Tensor,
        batch: &TensorBatch,
        whole: Counts,
    ) -> Result<Loss> {
        let step_ends = self.dropout(&rows(hidden, &batch.value_places)?, &batch.streams)?;
        let values = net.values(&step_ends)?.f_index_select(0, &batch.value_index)?;
        self.combine(|| net.logits(&rows(hidden, &batch.policy_places)?), &values, batch, whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::Example;
    use crate::objective::testing::path;
    use crate::objective::{Member, PolicySpan};

    /// A path with these targets, whose logits and values the tests choose.
    fn batch(policy: &[i64], values: &[f32]) -> TensorBatch {
        let mut tokens = vec![0u32];
        tokens.extend(policy.iter().map(|&token| token as u32));
        let span = PolicySpan { tokens: 1..1 + policy.len() as u32, weight: 1.0 };
        let example = Example {
            tokens,
            policy: if policy.is_empty() { vec![] } else { vec![span] },
            value_targets: values.iter().map(|&value| (0, value)).collect(),
            ..Example::default()
        };
        TensorBatch::padded(&[Member::alone(&example)], tch::Device::Cpu).unwrap()
    }

    fn plain() -> AlphaMath {
        AlphaMath { value_dropout: 0.0, ..AlphaMath::default() }
    }

    /// The loss of a batch that is no share of another.
    fn combine(logits: impl FnOnce() -> Tensor, values: &Tensor, batch: &TensorBatch) -> Loss {
        let (policy, value) = (batch.policy_count(), batch.value_count() as f64);
        let whole = Counts { policy, value, ..Counts::default() };
        plain().combine(|| Ok(logits()), values, batch, whole).unwrap()
    }

    fn part(loss: &Loss, name: &str) -> Option<f64> {
        let mut parts = loss.parts.iter();
        parts.find(|part| part.0 == name).map(|part| part.1.double_value(&[]))
    }

    #[test]
    fn the_policy_learns_right_solutions_and_the_value_head_all() {
        let targets = |objective: &AlphaMath| -> Vec<(PolicyTargets, Option<f32>)> {
            let targets = objective.targets(&[path(true), path(false)]).unwrap();
            targets.iter().map(|path| (path.steps[0].policy, path.steps[0].value)).collect()
        };
        let wrong = (PolicyTargets::None, Some(-1.0));
        assert_eq!(targets(&plain()), [(PolicyTargets::Steps, Some(1.0)), wrong]);
        let actions = AlphaMath { observation_loss: false, ..plain() };
        assert_eq!(targets(&actions), [(PolicyTargets::Actions, Some(1.0)), wrong]);
    }

    #[test]
    fn the_loss_is_the_paper_s() {
        // Row 0: logits (0, ln 3), target 1: -ln(3/4). Row 1: logits (0, 0), target 0: ln 2.
        let logits = [0.0, 3f32.ln(), 0.0, 0.0];
        let batch = batch(&[1, 0], &[1.0, -1.0]);
        // Values 0.5 and 0: squared errors 0.25 and 1, mean 0.625.
        let values = Tensor::from_slice(&[0.5f32, 0.0]);
        let loss = combine(|| Tensor::from_slice(&logits).view([2, 2]), &values, &batch);
        let policy = ((4f64 / 3.0).ln() + 2f64.ln()) / 2.0;
        assert!((part(&loss, "policy_loss").unwrap() - policy).abs() < 1e-6, "{loss:?}");
        assert!((part(&loss, "value_loss").unwrap() - 0.625).abs() < 1e-6, "{loss:?}");
        assert!((loss.total.double_value(&[]) - (policy + 0.0625)).abs() < 1e-6, "{loss:?}");
    }

    #[test]
    fn a_value_counts_as_much_as_it_weighs() {
        let weighed = |value_weights: Vec<f32>| {
            let value_targets = vec![(0, 1.0), (0, -1.0)];
            let example =
                Example { tokens: vec![0], value_targets, value_weights, ..Example::default() };
            let batch = TensorBatch::padded(&[Member::alone(&example)], tch::Device::Cpu).unwrap();
            let whole = Counts::of([example].iter());
            let values = Tensor::from_slice(&[0.5f32, 0.0]);
            let loss = plain().combine(|| panic!("no policy"), &values, &batch, whole).unwrap();
            part(&loss, "value_loss").unwrap()
        };
        // Squared errors 0.25 and 1.
        assert!((weighed(vec![]) - 0.625).abs() < 1e-6);
        assert!((weighed(vec![3.0, 0.5]) - (0.75 + 0.5) / 3.5).abs() < 1e-6);
    }

    #[test]
    fn a_batch_without_correct_solutions_gives_the_value_loss_alone() {
        let batch = batch(&[], &[1.0]);
        let values = Tensor::from_slice(&[0.0f32]);
        let loss = combine(|| panic!("no logits are needed"), &values, &batch);
        assert!(part(&loss, "policy_loss").is_none());
        assert!((loss.total.double_value(&[]) - 0.1).abs() < 1e-7);
    }

    #[test]
    fn a_batch_without_value_targets_gives_the_policy_loss_alone() {
        let batch = batch(&[1], &[]);
        let none = Tensor::from_slice::<f32>(&[]);
        let loss = combine(|| Tensor::from_slice(&[0f32, 0.0]).view([1, 2]), &none, &batch);
        assert!(part(&loss, "value_loss").is_none());
        assert!((loss.total.double_value(&[]) - 2f64.ln()).abs() < 1e-6);
    }

    #[test]
    fn dropout_keeps_the_mean_and_repeats_with_its_generator() {
        let dropping = AlphaMath { value_dropout: 0.25, ..AlphaMath::default() };
        let ones = Tensor::ones([100, 100], (Kind::Float, tch::Device::Cpu));
        let streams: Vec<[u64; 3]> = (0..100).map(|row| [7, row, 2]).collect();
        let dropped = dropping.dropout(&ones, &streams).unwrap();
        // However the rows are cut.
        let parts = [0..30, 30..100].map(|rows: std::ops::Range<usize>| {
            let part = ones.narrow(0, rows.start as i64, rows.len() as i64);
            dropping.dropout(&part, &streams[rows]).unwrap()
        });
        assert_eq!(dropped, Tensor::cat(&parts, 0));
        let mean = dropped.mean(Kind::Float).double_value(&[]);
        assert!((mean - 1.0).abs() < 0.03, "{mean}");
        let zeros = dropped.eq(0.0).sum(Kind::Int64).int64_value(&[]);
        assert!((2200..2800).contains(&zeros), "{zeros}");
    }
}
