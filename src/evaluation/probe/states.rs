//! The states of trees that have not ended, with what the value net says of them and whether they can still be solved.

use std::collections::{BTreeMap, HashSet};

use anyhow::{Context, Result};
use espalier_search::{
    Cancel, Environment, Evaluator, EvaluatorError, Problem, Request, Tag, TreeRecord,
};
use serde::{Deserialize, Serialize};

use super::calibration::Reliability;
use crate::environment::AnyEnvironment;

/// Values that are asked for in one call: enough to fill the evaluator's batches.
const AT_ONCE: usize = 4096;

/// The value net on the states of trees.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Values {
    /// Of all states.
    pub overall: Reliability,
    /// Of those after so many steps, from 1 on.
    pub by_depth: BTreeMap<usize, Reliability>,
}

/// A state.
struct State {
    depth: usize,
    solvable: bool,
    /// What the tree says; a leaf that was never expanded may have none.
    value: Option<f64>,
    context: String,
}

/// The value net on the distinct states of each tree that have not ended, roots apart, which can all be solved; `None` where no truth
/// is known or there is no such state.
///
/// # Errors
/// When a tree is of no problem or cannot be walked, or the evaluator fails.
pub fn value_states<'a>(
    environment: &AnyEnvironment,
    evaluator: &dyn Evaluator,
    problem: impl Fn(&str) -> Option<&'a Problem>,
    trees: impl IntoIterator<Item = Result<TreeRecord>>,
) -> Result<Option<Values>> {
    let mut depths: BTreeMap<usize, Vec<(f64, bool)>> = BTreeMap::new();
    let mut unasked = Vec::new();
    for tree in trees {
        let tree = tree?;
        if environment.truth().is_none() {
            return Ok(None);
        }
        let problem =
            problem(&tree.problem).with_context(|| format!("no problem {}", tree.problem))?;
        for state in states(environment, problem, &tree)? {
            match state.value {
                Some(value) => depths.entry(state.depth).or_default().push((value, state.solvable)),
                None => unasked.push(state),
            }
        }
        if unasked.len() >= AT_ONCE {
            ask(evaluator, &mut unasked, &mut depths)?;
        }
    }
    ask(evaluator, &mut unasked, &mut depths)?;
    let overall = Reliability::new(depths.values().flatten().copied());
    let by_depth = depths.into_iter();
    let by_depth = by_depth.filter_map(|(depth, states)| Some((depth, Reliability::new(states)?)));
    Ok(overall.map(|overall| Values { overall, by_depth: by_depth.collect() }))
}

/// The distinct states of a tree, by their contexts.
fn states(
    environment: &AnyEnvironment,
    problem: &Problem,
    tree: &TreeRecord,
) -> Result<Vec<State>> {
    // Fresh for each tree: a solver remembers much.
    let Some(mut truth) = environment.truth() else { return Ok(Vec::new()) };
    let (mut seen, mut states) = (HashSet::new(), Vec::new());
    let mut open = vec![(Tag::const_new(TreeRecord::ROOT), environment.root(problem)?, 1)];
    while let Some((tag, state, depth)) = open.pop() {
        for (tag, node) in tree.children(&tag) {
            let transition = environment.step(&state, node.action())?;
            // A path may also end for a reason of the search's own: its depth, or the length that the model reads.
            if transition.terminal.is_some() || node.terminal.is_some() {
                continue;
            }
            let context = environment.context(&transition.state).to_owned();
            if seen.insert(context.clone()) {
                let solvable = truth(&transition.state);
                states.push(State { depth, solvable, value: node.value, context });
            }
            open.push((tag, transition.state, depth + 1));
        }
    }
    Ok(states)
}

/// Asks for the values that trees lack. A state that the model cannot read has none.
fn ask(
    evaluator: &dyn Evaluator,
    unasked: &mut Vec<State>,
    depths: &mut BTreeMap<usize, Vec<(f64, bool)>>,
) -> Result<()> {
    let request = |state: &State| Request::value(state.context.as_str().into());
    let requests: Vec<Request> = unasked.iter().map(request).collect();
    let answers = evaluator.evaluate(&requests, &Cancel::new());
    for (State { depth, solvable, .. }, answer) in unasked.drain(..).zip(answers) {
        match answer {
            Ok(answer) => depths.entry(depth).or_default().push((answer.value, solvable)),
            Err(EvaluatorError::ContextTooLong { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use espalier_search::testing::AnswerEach;
    use espalier_search::{Evaluation, MctsConfig, Proposal, search_tree};

    use super::*;
    use crate::environment::countdown::{Countdown, parse_problem};

    /// Proposes the same three steps at any state, and values a state by its number of characters.
    fn steps(request: &Request) -> Result<Evaluation, EvaluatorError> {
        let step = |action: &str| Proposal {
            action: action.into(),
            log_prob: -1.0,
            tokens: 3,
            truncated: false,
            sampled: None,
        };
        let proposals = ["2+3", "2*3", "4-3", "2+3"].map(step).into();
        Ok(Evaluation { proposals, value: 1.0 / request.context.len() as f64 })
    }

    #[test]
    fn distinct_states_are_valued_by_depth_and_truth() {
        let environment: AnyEnvironment = Countdown::default().into();
        // 24 = (2 * 3) * 4 is reached through 2*3 alone; 2 + 3 leaves 5 and 4, and 4 - 3 leaves 1 and 2.
        let problem = parse_problem("24: 2 3 4").unwrap();
        let config = MctsConfig { simulations: 1, samples: 4, ..MctsConfig::default() };
        let evaluator = AnswerEach(steps);
        let cancel = Cancel::new();
        let tree =
            search_tree(&environment, &evaluator, &problem, &config, 1, true, &cancel).unwrap();
        let found = value_states(
            &environment,
            &evaluator,
            |id| (id == problem.id).then_some(&problem),
            [Ok(tree.clone())],
        );
        let values = found.unwrap().expect("countdown knows the truth");
        // The root is left out, and the step that was proposed twice counts once.
        assert_eq!((values.overall.n, values.overall.solvable), (3, 1));
        assert_eq!(values.by_depth.keys().collect::<Vec<_>>(), [&1]);
        assert_eq!(values.by_depth[&1], values.overall);
        assert!(values.overall.auc.is_some());
        let unknown = value_states(&environment, &evaluator, |_| None, [Ok(tree)]).unwrap_err();
        assert!(unknown.to_string().contains("no problem"), "{unknown}");
    }
}
