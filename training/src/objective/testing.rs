//! Losses and their gradients of chosen log-probabilities, for the tests of objectives.

use tch::{Device, Tensor};

use super::{Counts, LabelledPath, Loss, Member, Objective, PathStep, TensorBatch};
use crate::error::Result;
use crate::example::{Example, StepPlace};

/// A path of one step, by the log-probabilities of its tokens.
#[derive(Debug, Clone, Default)]
pub struct Written<'a> {
    pub correct: bool,
    /// Under the trained net.
    pub now: &'a [f32],
    /// Under the policy that wrote it; empty where the objective reads none.
    pub old: &'a [f32],
    /// Under the frozen net; empty where the objective reads none.
    pub reference: &'a [f32],
}

/// A path of one step, right with reward 1 or wrong with reward -1.
pub fn path(correct: bool) -> LabelledPath<'static> {
    let reward = if correct { 1.0 } else { -1.0 };
    let steps = vec![PathStep { q: Some(reward as f32), ..PathStep::default() }];
    LabelledPath { prompt: "", steps, reward, correct }
}

/// A loss, and its gradient by every log-probability.
pub struct Found {
    pub loss: Loss,
    pub gradient: Vec<f64>,
}

impl Found {
    pub fn total(&self) -> f64 {
        self.loss.total.double_value(&[])
    }

    pub fn part(&self, name: &str) -> f64 {
        let mut parts = self.loss.parts.iter();
        parts.find(|part| part.0 == name).unwrap().1.double_value(&[])
    }
}

/// The loss of the paths of one problem, as a function of the log-probabilities of what is learnt from them.
pub fn differentiate(
    objective: &dyn Objective,
    written: &[Written<'_>],
    loss: impl FnOnce(&Tensor, &TensorBatch, Counts) -> Result<Loss>,
) -> Found {
    let paths: Vec<LabelledPath<'_>> = written.iter().map(|one| path(one.correct)).collect();
    let targets = objective.targets(&paths).unwrap();
    let examples: Vec<Example> = written
        .iter()
        .zip(paths.iter().zip(&targets))
        .map(|(written, (path, targets))| {
            let end = 1 + written.now.len();
            let place = StepPlace { start: 1, action_end: end - 1, end };
            Example::from_tokens(vec![0; end], &[place], path, targets)
        })
        .collect();
    let learnt = written.iter().zip(&examples).filter(|(_, example)| example.policy_count() > 0);
    let (members, now): (Vec<Member<'_>>, Vec<&[f32]>) = learnt
        .map(|(written, example)| {
            let (old_log_probs, reference_log_probs) = (written.old, written.reference);
            let member = Member { old_log_probs, reference_log_probs, ..Member::alone(example) };
            (member, written.now)
        })
        .unzip();
    let batch = TensorBatch::padded(&members, Device::Cpu).unwrap();
    let now = Tensor::from_slice(&now.concat()).set_requires_grad(true);
    let loss = loss(&now, &batch, Counts::of(examples.iter())).unwrap();
    loss.total.backward();
    let gradient = Vec::<f64>::try_from(&now.grad().to_kind(tch::Kind::Double)).unwrap();
    Found { loss, gradient }
}

#[track_caller]
pub fn assert_near(found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len(), "{found:?} {expected:?}");
    let near = found.iter().zip(expected).all(|(one, other)| (one - other).abs() < 1e-6);
    assert!(near, "found {found:?}\nexpected {expected:?}");
}
