//! What a decoding found.

use serde::{Deserialize, Serialize};

use crate::cut::Cut;
use crate::environment::Environment;
use crate::growth::{Growth, Number};
use crate::selection::first_best;

/// Whether a count is left out of what is written.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
pub(super) fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// What a decoding found and what it cost.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// The answer given; None when no path reached one.
    pub answer: Option<String>,
    /// The steps that lead to the answer. Without an answer: the steps of the only path, otherwise
    /// none.
    pub solution: Vec<SolutionStep>,
    /// Tokens sampled, by discarded paths too.
    pub tokens: u64,
    /// Requests answered by the evaluator.
    pub evaluations: u64,
    /// Simulations of the tree; 0 where there is none.
    pub simulations: u64,
    /// Steps that the policy was cut off in before it had ended them.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub steps_truncated: usize,
    /// The first of the limits that ended paths.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut: Option<Cut>,
    /// Every finished answer, in the order in which they were reached.
    pub candidates: Vec<Candidate>,
}

impl Outcome {
    /// Without an answer, with what the search has cost so far.
    pub(super) fn of<E: Environment>(growth: &Growth<'_, E>) -> Self {
        Self {
            tokens: growth.tokens(),
            evaluations: growth.evaluations(),
            steps_truncated: growth.steps_truncated(),
            cut: growth.first_cut(),
            ..Self::default()
        }
    }

    /// With paths that were given up since their steps ran out.
    pub(super) fn out_of_steps(self) -> Self {
        Self { cut: self.cut.or(Some(Cut::TooManySteps)), ..self }
    }

    /// Of paths that ended with answers: that whose final state the value net rates highest, the first of equals. One
    /// without a value counts as -1.
    pub(super) fn best<E: Environment>(growth: &Growth<'_, E>, finished: &[Number]) -> Self {
        let candidate = |path: &Number| {
            let node = growth.node(*path);
            let score = node.value.unwrap_or(-1.0);
            Some(Candidate { answer: node.answer()?.to_owned(), score })
        };
        let candidates: Vec<Candidate> = finished.iter().filter_map(candidate).collect();
        let Some(winner) = first_best(candidates.iter().map(|candidate| candidate.score)) else {
            return Self::of(growth);
        };
        Self {
            answer: Some(candidates[winner].answer.clone()),
            solution: growth.solution(finished[winner]),
            candidates,
            ..Self::of(growth)
        }
    }
}

/// One finished answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// As the environment read it.
    pub answer: String,
    /// What the decoding ranks it by. `greedy`: 1; `maj`: the share of all k paths that agree with
    /// it; `bon` and `sbs`: the value net's opinion in [-1, 1]; `mcts`: what [`crate::AnswerRule`]
    /// names.
    pub score: f64,
}

/// One step of a solution.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SolutionStep {
    /// What the policy wrote, without the delimiter.
    pub action: String,
    /// What the environment appended, with the delimiter.
    pub observation: String,
    /// P(s, a), in [0, 1].
    pub prior: f64,
    /// The value net's opinion of the state after the step, in [-1, 1], where it was asked.
    pub value: Option<f64>,
    /// Q(s, a) in [-1, 1], where there is a tree.
    pub q: Option<f64>,
    /// N(s, a), where there is a tree.
    pub visits: Option<u64>,
}
