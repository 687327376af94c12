//! What the search asks a policy-value net: steps with their log-probabilities, and the value of a state.

use std::sync::Arc;

use compact_str::CompactString;

use crate::cancel::Cancel;
use crate::tokens::SampledTokens;

/// One leaf to be read.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// The text that the policy continues ([`crate::Environment::context`]).
    pub context: Arc<str>,
    /// How many steps to sample; 0 asks for the value alone.
    pub samples: usize,
    /// Sampling temperature; 0 takes the most likely token each time.
    pub temperature: f32,
    /// Seed of this request's samples: they depend on nothing else in the batch.
    pub seed: u64,
    /// Whether no two samples may be the same tokens: each is drawn from what those before it left of the policy's distribution, at
    /// this temperature, which must be above 0. Under the same seed more samples begin with the same ones.
    pub without_replacement: bool,
    /// Whether [`Proposal::sampled`] is wanted. It changes nothing else of the answer.
    pub keep_tokens: bool,
}

impl Request {
    /// A request for the value of a state alone.
    #[must_use]
    pub fn value(context: Arc<str>) -> Self {
        Self::steps(context, 0, 0.0, 0)
    }

    /// A request for steps, each drawn by itself, without their tokens.
    #[must_use]
    pub fn steps(context: Arc<str>, samples: usize, temperature: f32, seed: u64) -> Self {
        let (without_replacement, keep_tokens) = (false, false);
        Self { context, samples, temperature, seed, without_replacement, keep_tokens }
    }
}

/// What a policy writes in a step. Up to 24 bytes take no allocation: beside a cheap evaluator, allocations would be much of what a
/// small tree costs.
pub type Action = CompactString;

/// One sampled step.
#[derive(Debug, Clone, PartialEq)]
pub struct Proposal {
    /// The step without the delimiter that ended it.
    pub action: Action,
    /// Sum of the sampled tokens' log-probabilities under the policy at temperature 1, the delimiter included; <= 0.
    pub log_prob: f64,
    /// How many tokens were sampled, the delimiter included.
    pub tokens: usize,
    /// Whether the policy was cut off before it ended the step: it writes no more tokens a step.
    pub truncated: bool,
    /// The tokens one by one. `None` unless [`Request::keep_tokens`] asks for them, and where the policy does not know them.
    pub sampled: Option<Box<SampledTokens>>,
}

impl Proposal {
    /// AlphaMath's prior: `exp(log_prob / tokens)`, in (0, 1]; not normalised over siblings.
    #[inline]
    #[must_use]
    pub fn prior(&self) -> f64 {
        (self.log_prob / self.tokens.max(1) as f64).exp()
    }
}

/// Keeps the first of the steps that say the same, but for blanks around it.
pub(crate) fn remove_duplicates(proposals: &mut Vec<Proposal>) {
    let mut kept = 0;
    for index in 0..proposals.len() {
        let action = proposals[index].action.trim();
        if !proposals[..kept].iter().any(|other| other.action.trim() == action) {
            proposals.swap(kept, index);
            kept += 1;
        }
    }
    proposals.truncate(kept);
}

/// What the net says of one leaf.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation {
    /// As many as were asked for, in sampling order; equal texts may repeat. Under [`Request::without_replacement`] they are fewer, but at
    /// least one, where the policy has no more.
    pub proposals: Vec<Proposal>,
    /// The value of the state, in [-1, 1], read at the context's last token.
    pub value: f64,
}

/// Why a request was not answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EvaluatorError {
    /// The context exceeds what the model can read. To the search this is an ending, not a failure.
    #[error("the context has {tokens} tokens and the model reads at most {limit}")]
    ContextTooLong {
        /// Tokens in the context, with room for one step.
        tokens: usize,
        /// The model's limit.
        limit: usize,
    },
    /// The evaluator failed; the search that asked fails with this cause.
    #[error("the evaluator failed: {0}")]
    Failed(String),
    /// The caller's [`Cancel`] was cancelled before the answer was there. To the search this is as if it had not asked.
    #[error("the evaluation was cancelled")]
    Cancelled,
}

/// A policy-value net, a remote server, or a table in a test.
pub trait Evaluator: Send + Sync {
    /// Answers a batch, one result a request in the same order. Called from several threads at once.
    ///
    /// Once `cancel` is cancelled the caller needs no further answers: the evaluator should return soon, with
    /// [`EvaluatorError::Cancelled`] for each missing one, and spend nothing more on them. An evaluator that answers all the
    /// same, or never checks, is right too: the caller then waits as long as it takes.
    fn evaluate(
        &self,
        requests: &[Request],
        cancel: &Cancel,
    ) -> Vec<Result<Evaluation, EvaluatorError>>;

    /// Tokens of all contexts that its nets were given so far, the net's that values states included, whether they were computed or kept
    /// from before; `None` where not all of them are counted. It only grows.
    fn tokens_read(&self) -> Option<u64> {
        None
    }
}
