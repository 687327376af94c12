//! Label quality against the exact truth: how well Q and the value net tell states that can still be solved from states that
//! cannot. Nothing here flows back into search or training.

use std::collections::HashSet;
use std::path::Path;

use anyhow::{Context, Result};
use espalier_search::{Cancel, Environment, Evaluator, LabelledSolution, Problem, Request};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use serde::Serialize;

use crate::environment::{AnyEnvironment, AnyState};
use crate::jsonl::{self, Indexed, Rows};
use crate::report::{Auc, Scored};
use crate::seed;

/// Label quality of a round.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LabelQuality {
    /// Of the harvested Q of steps that do not end their path; absent in round 0, which has no labels.
    pub q: Option<Auc>,
    /// Of the value net on unseen states: random legal lines of the held-out problems.
    pub value: Option<Auc>,
}

/// AUC of the Q of every distinct labelled state that does not end its path; `None` where no truth is known. Labels are read a
/// problem at a time; 8 bytes a state stay.
///
/// # Errors
/// When labels cannot be read or are of no known problem.
pub fn label_auc(
    environment: &AnyEnvironment,
    problems: &Indexed<Problem>,
    labels: &Path,
) -> Result<Option<Auc>> {
    let mut scored = Scored::default();
    let rows = Rows::<LabelledSolution>::open(labels)?.rows();
    for solutions in jsonl::groups(rows, |a, b| a.problem_id == b.problem_id) {
        let solutions = solutions?;
        // Fresh for each problem: all that a solver remembers of 60,000 of them would be most of the program's memory.
        let Some(mut truth) = environment.truth() else { return Ok(None) };
        let id = &solutions[0].problem_id;
        let problem = problems.of(id)?.pop().with_context(|| format!("no problem {id}"))?;
        let mut seen = HashSet::new();
        for solution in &solutions {
            let mut state = environment.root(&problem)?;
            for step in &solution.steps {
                let transition = environment.step(&state, &step.action)?;
                if transition.terminal.is_some() {
                    break;
                }
                state = transition.state;
                if seen.insert((solution.tree, environment.context(&state).to_owned())) {
                    scored.push(step.q, truth(&state));
                }
            }
        }
    }
    Ok(scored.auc())
}

/// Random legal lines a problem from which the value net's states are taken: with one the interval would be wider than what a
/// round gains.
const LINES: usize = 8;

/// Problems whose states are valued in one call: enough to fill the evaluator's batches.
const PROBLEMS_AT_ONCE: usize = 256;

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
    let mut scored = Scored::default();
    for problems in problems.chunks(PROBLEMS_AT_ONCE) {
        let (mut requests, mut solvable) = (Vec::new(), Vec::new());
        for problem in problems {
            let Some(mut truth) = environment.truth() else { return Ok(None) };
            for state in unseen_states(environment, problem, seed)? {
                requests.push(Request::value(environment.context(&state).into()));
                solvable.push(truth(&state));
            }
        }
        let answers = evaluator.evaluate(&requests, &Cancel::new());
        for (answer, solvable) in answers.into_iter().zip(solvable) {
            scored.push(answer?.value, solvable);
        }
    }
    Ok(scored.auc())
}

/// The distinct states of a problem's random lines.
fn unseen_states(
    environment: &AnyEnvironment,
    problem: &Problem,
    seed: u64,
) -> Result<Vec<AnyState>> {
    let stream = seed::derive(seed, &["unseen states", &problem.id]);
    let mut rng = ChaCha8Rng::seed_from_u64(stream);
    let (mut seen, mut states) = (HashSet::new(), Vec::new());
    for _ in 0..LINES {
        let mut state = environment.root(problem)?;
        while let Some(action) = environment.random_action(&state, &mut rng) {
            let transition = environment.step(&state, &action)?;
            if transition.terminal.is_some() {
                break;
            }
            state = transition.state;
            if seen.insert(environment.context(&state).to_owned()) {
                states.push(state.clone());
            }
        }
    }
    Ok(states)
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
