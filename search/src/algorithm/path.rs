//! A partial solution outside a tree.

use crate::algorithm::{Candidate, Outcome, SolutionStep};
use crate::selection::first_best;
use crate::{Environment, Proposal, Request, StepError, Terminal};

/// The steps taken so far and where they led.
#[derive(Clone)]
pub(super) struct Path<S> {
    pub(super) state: S,
    pub(super) steps: Vec<SolutionStep>,
    /// Tokens sampled along the path.
    pub(super) tokens: u64,
    /// How the path ended; None while it is open.
    pub(super) end: Option<Terminal>,
}

impl<S: Clone> Path<S> {
    pub(super) fn new(state: S) -> Self {
        Self { state, steps: Vec::new(), tokens: 0, end: None }
    }

    /// This path with one more step.
    ///
    /// # Errors
    /// When the environment cannot take it.
    pub(super) fn step<E: Environment<State = S>>(
        &self,
        environment: &E,
        proposal: Proposal,
    ) -> Result<Self, StepError> {
        let transition = environment.step(&self.state, &proposal.action)?;
        let mut steps = self.steps.clone();
        let tokens = self.tokens + proposal.tokens as u64;
        steps.push(SolutionStep {
            prior: proposal.prior().min(1.0),
            action: proposal.action,
            observation: transition.observation.into_owned(),
            value: None,
            q: None,
            visits: None,
        });
        Ok(Self { state: transition.state, steps, tokens, end: transition.terminal })
    }

    /// Notes the value net's opinion of the state that the path has reached.
    pub(super) fn set_value(&mut self, value: f64) {
        if let Some(step) = self.steps.last_mut() {
            step.value = Some(value);
        }
    }

    /// The value net's opinion of the state that the path has reached.
    pub(super) fn value(&self) -> Option<f64> {
        self.steps.last().and_then(|step| step.value)
    }

    /// The final answer; None while the path is open and when it ended without one.
    pub(super) fn answer(&self) -> Option<&str> {
        match &self.end {
            Some(Terminal::Answer(answer)) => Some(answer),
            _ => None,
        }
    }

    /// Asks for `samples` next steps, or with 0 for the value alone.
    pub(super) fn request<E: Environment<State = S>>(
        &self,
        environment: &E,
        samples: usize,
        temperature: f32,
        seed: u64,
    ) -> Request {
        let context = environment.context(&self.state).into();
        Request { context, samples, temperature, seed, keep_tokens: false }
    }
}

/// The outcome of finished paths, given with their answers: the one whose final state the value net rates
/// highest, the first of equals. One without a value counts as -1.
pub(super) fn best_finished<S: Clone>(mut finished: Vec<(String, Path<S>)>) -> Outcome {
    let candidates = finished.iter().map(|(answer, path)| Candidate {
        answer: answer.clone(),
        score: path.value().unwrap_or(-1.0),
    });
    let candidates: Vec<Candidate> = candidates.collect();
    let Some(winner) = first_best(candidates.iter().map(|candidate| candidate.score)) else {
        return Outcome::default();
    };
    let (answer, path) = finished.swap_remove(winner);
    Outcome { answer: Some(answer), solution: path.steps, candidates, ..Outcome::default() }
}
