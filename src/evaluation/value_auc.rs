//! `value_auc`: how well the value net tells states that can still be solved from states that cannot, where the environment knows the
//! exact truth. Nothing here flows back into search or training.

use std::collections::HashSet;

use anyhow::Result;
use espalier_search::{Cancel, Environment, Evaluator, Problem, Request};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::measure::{Figures, Measure, Subject};
use super::record::Record;
use crate::environment::{AnyEnvironment, AnyState};
use crate::report::{Auc, RoundFiles, RoundsRow, Runs, Scored, Section, Table, area_of_runs};
use crate::seed;

/// Settings: none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ValueAuc {}

impl Measure for ValueAuc {
    const KEY: &'static str = "value_auc";

    fn measure(&self, subject: &Subject<'_>, _: &Record) -> Result<Figures> {
        let stream = seed::derive(subject.recipe.seed, &["value auc"]);
        let found = value_auc(subject.environment, subject.evaluator, subject.problems, stream)?;
        let Some(area) = found else {
            let nothing = Figures { summary: Value::Null, ..Figures::default() };
            return Ok(nothing);
        };
        let mut line = json!({ "schema": "espalier.value_auc/1", "measure": Self::KEY });
        let summary = serde_json::to_value(area)?;
        if let (Value::Object(line), Value::Object(summary)) = (&mut line, &summary) {
            line.extend(summary.clone());
        }
        let mut table = Table::new(["", "area", "95 % interval", "states", "that can be solved"]);
        table.push([
            "AUC of the value net".to_owned(),
            format!("{:.3}", area.auc),
            format!("[{:.3}, {:.3}]", area.low, area.high),
            area.n.to_string(),
            area.positives.to_string(),
        ]);
        let notes = vec![format!("AUC of the value net {:.3}", area.auc)];
        Ok(Figures { summary, lines: vec![line], table: Some(table), notes })
    }

    fn rows(runs: &Runs) -> Result<Vec<RoundsRow>> {
        let read = |round: &RoundFiles| round.figure("evaluate", Self::KEY);
        let show = |areas| Ok(area_of_runs(areas));
        let row = runs.row(Section::Values, "AUC of the value net", read, show)?;
        Ok(row.into_iter().collect())
    }
}

/// Random legal lines a problem from which the value net's states are taken: with one the interval would be wider than what a
/// round gains.
const LINES: usize = 8;

/// Problems whose states are valued in one call: enough to fill the evaluator's batches.
const PROBLEMS_AT_ONCE: usize = 256;

/// AUC of the value net over the distinct states of `LINES` random legal lines a problem, those that are not yet ended;
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
