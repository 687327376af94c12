//! What an objective is given, labelled solutions, and what it makes of each.

use std::ops::Range;

use serde::{Deserialize, Serialize};

/// A finished solution of a problem with its labels. The paths of one problem are one group.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LabelledPath<'a> {
    /// What the first step continues.
    pub prompt: &'a str,
    /// From the first to the last.
    pub steps: Vec<PathStep<'a>>,
    /// The environment's reward, in [-1, 1].
    pub reward: f64,
    /// Whether the answer is right.
    pub correct: bool,
}

/// One step of a [`LabelledPath`].
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct PathStep<'a> {
    /// What the policy wrote, without the delimiter.
    pub action: &'a str,
    /// What the environment appended, ending with the delimiter.
    pub observation: &'a str,
    /// Label of the step, in [-1, 1]; `None` without one.
    pub q: Option<f32>,
    /// Weight of the label as a target of the value head, at least 0; `None`: 1.
    pub q_weight: Option<f32>,
    /// The tokens that the policy sampled, the one that ended the step included, and the log-probability of each in nats at
    /// temperature 1; `None` where they were not kept.
    pub sampled: Option<Sampled<'a>>,
}

/// The tokens of an action as they were sampled.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampled<'a> {
    /// Token ids, n of them.
    pub tokens: &'a [u32],
    /// Their log-probabilities under the policy that sampled them, in nats, n of them.
    pub log_probs: &'a [f32],
}

/// What an objective learns from a path.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PathTargets {
    /// One entry a step.
    pub steps: Vec<StepTargets>,
    /// Whether the weights of a path's tokens are divided by their number, so that long and short paths count alike.
    pub mean_of_tokens: bool,
    /// Numbers of the whole path that the loss reads for each of its tokens, in an order that the objective chooses: an
    /// advantage, a share of right answers. As many for every path.
    pub signals: Vec<f32>,
}

/// What an objective learns from a step.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct StepTargets {
    /// Which of the step's tokens the policy learns.
    pub policy: PolicyTargets,
    /// Weight of those tokens.
    pub weight: f32,
    /// What the value head learns at the step's last token, in [-1, 1].
    pub value: Option<f32>,
    /// Weight of that target, at least 0; `None`: 1.
    pub value_weight: Option<f32>,
}

/// The part of a step that the policy learns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PolicyTargets {
    /// Nothing.
    #[default]
    None,
    /// The action and the token that ends it (the observation's first).
    Actions,
    /// Action and observation, as AlphaMath does.
    Steps,
}

impl PolicyTargets {
    /// Actions alone, or observations too.
    #[must_use]
    pub fn with_observations(learned: bool) -> Self {
        if learned { Self::Steps } else { Self::Actions }
    }
}

impl PathTargets {
    /// The same policy targets and weight at every step, and no values.
    #[must_use]
    pub fn uniform(path: &LabelledPath<'_>, policy: PolicyTargets, weight: f32) -> Self {
        let step = StepTargets { policy, weight, ..StepTargets::default() };
        Self { steps: vec![step; path.steps.len()], ..Self::default() }
    }

    /// With weights for a mean over tokens or over paths ([`TensorBatch::mean`](super::TensorBatch::mean)).
    #[must_use]
    pub fn averaged(self, average: Average) -> Self {
        Self { mean_of_tokens: average == Average::Paths, ..self }
    }
}

/// What a mean over learnt tokens is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Average {
    /// The batch's tokens: a long path weighs more than a short one.
    Tokens,
    /// The batch's paths, each the mean of its tokens.
    Paths,
}

/// Why an objective learns nothing from a problem's paths; counted and shown to the user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unlearnt(pub &'static str);

impl Unlearnt {
    /// Of objectives that compare the paths of a problem.
    pub const ONE_PATH: Self =
        Self("with a single path, and this objective compares the paths of a problem");
}

/// Tokens that the policy learns, and their weight.
#[derive(Debug, Clone, PartialEq)]
pub struct PolicySpan {
    /// Positions in the example's tokens.
    pub tokens: Range<u32>,
    /// Weight of each of them, a finite number.
    pub weight: f32,
}
