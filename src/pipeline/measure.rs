//! Label quality against the exact truth: how well Q and the value net tell states that can still be solved from states that
//! cannot. Nothing here flows back into search or training.

use std::collections::{HashMap, HashSet};

use anyhow::{Context, Result};
use espalier_search::{Cancel, Environment, Evaluator, LabelledSolution, Problem, Request};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use serde::Serialize;

use crate::environment::AnyEnvironment;
use crate::report::{Auc, auc};
use crate::seed;

/// Label quality of a round.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LabelQuality {
    /// Of the harvested Q of steps that do not end their path; absent in round 0, which has no labels.
    pub q: Option<Auc>,
    /// Of the value net on unseen states: random legal lines of the held-out problems.
    pub value: Option<Auc>,
}

/// AUC of the Q of every distinct labelled state that does not end its path; `None` where no truth is known.
///
/// # Errors
/// When a solution is of no known problem.
pub fn label_auc(
    environment: &AnyEnvironment,
    problems: &[Problem],
    solutions: &[LabelledSolution],
) -> Result<Option<Auc>> {
    let by_id: HashMap<&str, &Problem> =
        problems.iter().map(|problem| (problem.id.as_str(), problem)).collect();
    let Some(mut truth) = environment.truth() else { return Ok(None) };
    let mut seen = HashSet::new();
    let mut scored = Vec::new();
    for solution in solutions {
        let problem = by_id
            .get(solution.problem_id.as_str())
            .with_context(|| format!("no problem {}", solution.problem_id))?;
        let mut state = environment.root(problem)?;
        for step in &solution.steps {
            let transition = environment.step(&state, &step.action)?;
            if transition.terminal.is_some() {
                break;
            }
            state = transition.state;
            let place = (&solution.problem_id, solution.tree);
            if seen.insert((place, environment.context(&state).to_owned())) {
                scored.push((step.q, truth(&state)));
            }
        }
    }
    Ok(auc(&scored))
}

/// Random legal lines a problem from which the value net's states are taken: with one the interval would be wider than what a
/// round gains.
const LINES: usize = 8;

/// AUC of the value net over the distinct states of [`LINES`] random legal lines a problem, those that are not yet ended;
/// `None` where no truth is known.
///
/// # Errors
/// When a problem cannot be posed or the evaluator fails.
pub fn value_auc(
    environment: &AnyEnvironment,
    evaluator: &dyn Evaluator,
    problems: &[Problem],
    seed: u64,
) -> Result<Option<Auc>> {
    let Some(mut truth) = environment.truth() else { return Ok(None) };
    let mut requests = Vec::new();
    let mut solvable = Vec::new();
    for problem in problems {
        let stream = seed::derive(seed, &["unseen states", &problem.id]);
        let mut rng = ChaCha8Rng::seed_from_u64(stream);
        let mut seen = HashSet::new();
        for _ in 0..LINES {
            let mut state = environment.root(problem)?;
            while let Some(action) = environment.random_action(&state, &mut rng) {
                let transition = environment.step(&state, &action)?;
                if transition.terminal.is_some() {
                    break;
                }
                state = transition.state;
                let context = environment.context(&state);
                if seen.insert(context.to_owned()) {
                    requests.push(Request::value(context.into()));
                    solvable.push(truth(&state));
                }
            }
        }
    }
    let answers = evaluator.evaluate(&requests, &Cancel::new());
    let mut scored = Vec::with_capacity(answers.len());
    for (answer, solvable) in answers.into_iter().zip(solvable) {
        scored.push((answer?.value, solvable));
    }
    Ok(auc(&scored))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::countdown::{Countdown, parse_problem};
    use espalier_search::testing::AnswerEach;
    use espalier_search::{Evaluation, EvaluatorError};

    /// Values a state by its number of characters: enough to know what must come out.
    fn by_length(request: &Request) -> Result<Evaluation, EvaluatorError> {
        Ok(Evaluation { proposals: vec![], value: 1.0 / request.context.len() as f64 })
    }

    #[test]
    fn the_value_is_compared_on_unfinished_states_alone() {
        let problems: Vec<Problem> =
            ["26: 3 5 7", "9: 2 3 4", "24: 2 3 4"].map(|text| parse_problem(text).unwrap()).into();
        let auc =
            value_auc(&Countdown::default().into(), &AnswerEach(by_length), &problems, 1).unwrap();
        // Three numbers: one unfinished state a line, equal ones counted once.
        let auc = auc.expect("some first moves keep these targets reachable and some do not");
        assert!((4..=3 * LINES).contains(&auc.n) && (1..auc.n).contains(&auc.positives), "{auc:?}");
    }
}
