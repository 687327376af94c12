//! Roll-outs from any state of a problem: how often the policy comes from there to a right answer.

use crate::cancel::Cancel;
use crate::cut::Cut;
use crate::environment::{Environment, Problem, Terminal};
use crate::error::SearchError;
use crate::evaluator::Evaluator;
use crate::growth::Growth;
use crate::guard::catch_panic;
use crate::paths::sample_paths;

/// How roll-outs are played.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RolloutPlan {
    /// How many.
    pub count: usize,
    /// Sampling temperature.
    pub temperature: f32,
    /// Most steps of each, counted from the state where it begins; at least 1.
    pub max_steps: usize,
    /// Seed of all of them.
    pub seed: u64,
}

/// The ends of roll-outs and their cost.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rollouts {
    /// How each ended; `None` where its steps ran out.
    pub ends: Vec<Option<Terminal>>,
    /// Tokens sampled.
    pub tokens: u64,
    /// Requests answered by the evaluator.
    pub evaluations: u64,
}

/// Plays roll-outs from a state, side by side. A state that the model cannot read ends all of them as invalid.
///
/// # Errors
/// When the evaluator fails or panics; with [`crate::EvaluatorError::Cancelled`] when `cancel` was cancelled first.
pub fn roll_out<E: Environment>(
    environment: &E,
    evaluator: &dyn Evaluator,
    problem: &Problem,
    state: &E::State,
    plan: &RolloutPlan,
    cancel: &Cancel,
) -> Result<Rollouts, SearchError> {
    let RolloutPlan { count, temperature, max_steps, seed } = *plan;
    let state = state.clone();
    let mut growth = Growth::at(state, environment, evaluator, problem, seed, false, cancel);
    let sample = || sample_paths(&mut growth, count, temperature, max_steps);
    // The evaluator's panics are caught where it is called; what is left is the environment's.
    let paths = catch_panic(sample).map_err(SearchError::Environment).flatten()?;
    let end = |path| growth.node(path).terminal.clone();
    let mut ends: Vec<Option<Terminal>> = paths.into_iter().map(end).collect();
    let too_long = || Some(Cut::ContextTooLong.ending());
    ends.resize_with(count, too_long);
    Ok(Rollouts { ends, tokens: growth.tokens(), evaluations: growth.evaluations() })
}

#[cfg(all(test, not(espalier_loom)))]
mod tests {
    use super::*;
    use crate::testing::{AnswerEach, LetterGame};
    use crate::{Evaluation, EvaluatorError, Proposal, Request};

    /// Writes "a" after "x", "b" after that and then the answer, with a token for each character; reads ten characters.
    fn next(request: &Request) -> Result<Evaluation, EvaluatorError> {
        let action = match request.context.lines().last() {
            Some("x") => "a",
            Some("a") => "b",
            Some("y") => return Err(EvaluatorError::ContextTooLong { tokens: 11, limit: 10 }),
            _ => "=",
        };
        let proposal = Proposal {
            action: action.into(),
            log_prob: -1.0,
            tokens: 2,
            truncated: false,
            sampled: None,
        };
        Ok(Evaluation { proposals: vec![proposal; request.samples], value: 0.0 })
    }

    #[test]
    fn they_begin_where_they_are_told_and_count_what_they_cost() {
        let (game, evaluator) = (LetterGame::default(), AnswerEach(next));
        let problem = LetterGame::problem("p", "ab");
        let root = game.root(&problem).unwrap();
        let play = |state: &_, max_steps| {
            let plan = RolloutPlan { count: 2, temperature: 1.0, max_steps, seed: 1 };
            roll_out(&game, &evaluator, &problem, state, &plan, &Cancel::new()).unwrap()
        };
        let x = game.step(&root, "x").unwrap().state;
        let played = play(&x, 8);
        assert_eq!(played.ends, vec![Some(Terminal::Answer("xab".to_owned())); 2]);
        // One request for both first steps, then one each; three steps of two tokens in both.
        assert_eq!((played.tokens, played.evaluations), (12, 5));
        assert_eq!(play(&x, 2).ends, [None, None]);
        let unread = play(&game.step(&root, "y").unwrap().state, 8);
        assert!(matches!(
            &unread.ends[..],
            [Some(Terminal::Invalid(_)), Some(Terminal::Invalid(_))]
        ));
        assert_eq!((unread.tokens, unread.evaluations), (0, 1));
    }
}
