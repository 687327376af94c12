//! An evaluator that answers from a table, and short ways to write one.

use std::collections::HashMap;
use std::sync::Mutex;

use espalier_search::testing::LetterGame;
use espalier_search::{Cancel, Evaluation, Evaluator, EvaluatorError, Problem, Proposal, Request};

/// The prompt of every [`LetterGame`] problem.
pub const PROMPT: &str = "Which word?\n";

/// What is said of a word: its value and the steps with their priors.
pub type Line = (&'static str, f64, &'static [(&'static str, f64)]);

/// Answers each context with the first of its scripted steps, as many as are asked for; what is not
/// in the script is too long to read.
pub struct Script {
    lines: HashMap<String, (f64, Vec<Proposal>)>,
    /// Every call, in order.
    pub calls: Mutex<Vec<Vec<Request>>>,
}

impl Script {
    /// Each line's first field names the letters so far, one step a letter.
    pub fn new(lines: &[Line]) -> Self {
        let proposal = |(action, prior): &(&str, f64)| {
            // Two tokens, so that the prior is the geometric mean and not the likelihood.
            Proposal {
                action: (*action).into(),
                log_prob: 2.0 * prior.ln(),
                tokens: 2,
                truncated: false,
                sampled: None,
            }
        };
        let line = |(word, value, steps): &Line| {
            (context(word), (*value, steps.iter().map(proposal).collect()))
        };
        Self { lines: lines.iter().map(line).collect(), calls: Mutex::default() }
    }

    fn answer(&self, request: &Request) -> Result<Evaluation, EvaluatorError> {
        let context: &str = &request.context;
        let too_long = EvaluatorError::ContextTooLong { tokens: context.len(), limit: 0 };
        let (value, proposals) = self.lines.get(context).ok_or(too_long)?;
        let proposals = proposals.iter().cycle().take(request.samples).cloned().collect();
        Ok(Evaluation { proposals, value: *value })
    }
}

impl Evaluator for Script {
    fn evaluate(
        &self,
        requests: &[Request],
        _: &Cancel,
    ) -> Vec<Result<Evaluation, EvaluatorError>> {
        self.calls.lock().unwrap().push(requests.to_vec());
        requests.iter().map(|request| self.answer(request)).collect()
    }
}

/// The context after the letters of `word`.
pub fn context(word: &str) -> String {
    word.chars().fold(PROMPT.to_owned(), |context, letter| format!("{context}{letter}\n"))
}

/// The problem whose right answer is `answer`.
pub fn problem(answer: &str) -> Problem {
    LetterGame::problem("letters", answer)
}
