//! A request on its way from its caller to a scheduler, and its answer on the way back.

use std::time::Instant;

use crossbeam::channel::Sender;
use crossbeam::sync::Unparker;
use espalier_model::error::Error;
use espalier_search::{Cancel, EvaluatorError, Request};

/// The answer to a request.
pub(super) struct Answer {
    pub value: f64,
    /// In sampling order.
    pub steps: Vec<Step>,
    /// Log-probabilities of the tokens that were to be scored.
    pub scores: Vec<f64>,
}

/// A step that has ended.
#[derive(Debug, Clone, Default)]
pub(super) struct Step {
    pub tokens: Vec<u32>,
    /// Whether it ended at the limit of tokens.
    pub truncated: bool,
    /// Sum of the tokens' log-probabilities.
    pub log_prob: f64,
    /// The log-probability of each token; empty unless the request keeps tokens.
    pub log_probs: Vec<f32>,
}

/// Where a request's answer goes. Its caller is woken once, when this is dropped: with the answer, or without one.
pub(super) struct Reply {
    /// Taken when it is dropped.
    sender: Option<Sender<(usize, Result<Answer, EvaluatorError>)>>,
    caller: Unparker,
}

impl Reply {
    pub fn new(
        sender: &Sender<(usize, Result<Answer, EvaluatorError>)>,
        caller: &Unparker,
    ) -> Self {
        Self { sender: Some(sender.clone()), caller: caller.clone() }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        // First, so that a caller who wakes sees that nothing more will come.
        self.sender = None;
        self.caller.unpark();
    }
}

/// A request on its way.
pub(super) struct Job {
    pub request: Request,
    pub tokens: Vec<u32>,
    /// How many of the last tokens are scored: read with those before them known, instead of sampled.
    pub scored: usize,
    /// Its place among the requests of its call.
    pub index: usize,
    pub reply: Reply,
    /// Cancelled when the caller does not wait for the answer any more.
    pub cancel: Cancel,
    pub since: Instant,
}

impl Job {
    pub fn answer(self, answer: Result<Answer, EvaluatorError>) {
        if let Some(sender) = &self.reply.sender {
            // A caller that has gone needs no answer.
            _ = sender.send((self.index, answer));
        }
    }
}

/// The error of requests whose pass the device refused.
pub(super) fn refused(error: &Error) -> EvaluatorError {
    EvaluatorError::Failed(error.to_string())
}

pub(super) fn not_finite() -> EvaluatorError {
    EvaluatorError::Failed("the net's output is not finite".to_owned())
}
