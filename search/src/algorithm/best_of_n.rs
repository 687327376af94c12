//! `bon@n`: of n sampled paths the one whose final state the value net rates highest.

use super::outcome::Outcome;
use super::path::{Path, best_finished};
use super::rollout::sample_paths;
use crate::guard::CheckedEvaluator;
use crate::{DecodeConfig, Environment, Request, SearchError};

/// Final states are valued in one batch. One that the model cannot read counts as -1. Ties go to
/// the first path.
pub(super) fn decode<E: Environment>(
    environment: &E,
    evaluator: &CheckedEvaluator<'_>,
    root: E::State,
    n: usize,
    config: &DecodeConfig,
    seed: u64,
) -> Result<Outcome, SearchError> {
    let paths = sample_paths(environment, evaluator, root, n, config, seed)?;
    let mut finished: Vec<(String, Path<E::State>)> =
        paths.into_iter().filter_map(|path| Some((path.answer()?.to_owned(), path))).collect();
    let value_of = |(_, path): &(_, Path<E::State>)| path.request(environment, 0, 0.0, 0);
    let requests: Vec<Request> = finished.iter().map(value_of).collect();
    for ((_, path), evaluation) in finished.iter_mut().zip(evaluator.ask(&requests)?) {
        path.set_value(evaluation.map_or(-1.0, |evaluation| evaluation.value));
    }
    Ok(best_finished(finished))
}
