//! Whole paths sampled side by side, the common part of `greedy`, `maj` and `bon`.

use super::path::Path;
use crate::guard::CheckedEvaluator;
use crate::mcts::CONTEXT_TOO_LONG;
use crate::seed::derive_seed;
use crate::{DecodeConfig, Environment, Request, SearchError, Terminal};

/// `count` paths, each sampled until it ends or has `max_depth` steps. One call of the evaluator a
/// level, over all open paths; the first level's steps come from one request.
pub(super) fn sample_paths<E: Environment>(
    environment: &E,
    evaluator: &CheckedEvaluator<'_>,
    root: E::State,
    count: usize,
    config: &DecodeConfig,
    seed: u64,
) -> Result<Vec<Path<E::State>>, SearchError> {
    let root = Path::new(root);
    let first = root.request(environment, count, config.temperature, seed);
    let Some(evaluation) = evaluator.ask(&[first])?.pop().flatten() else {
        return Ok(Vec::new());
    };
    let proposals = evaluation.proposals.into_iter();
    let mut paths: Vec<Path<E::State>> =
        proposals.map(|proposal| root.step(environment, proposal)).collect::<Result<_, _>>()?;
    for level in 1..config.max_depth as u64 {
        let level_seed = derive_seed(seed, level);
        let mut open: Vec<(usize, &mut Path<E::State>)> =
            paths.iter_mut().enumerate().filter(|(_, path)| path.end.is_none()).collect();
        if open.is_empty() {
            break;
        }
        let request = |(index, path): &(usize, &mut Path<E::State>)| {
            let seed = derive_seed(level_seed, *index as u64);
            path.request(environment, 1, config.temperature, seed)
        };
        let requests: Vec<Request> = open.iter().map(request).collect();
        for ((_, path), answer) in open.iter_mut().zip(evaluator.ask(&requests)?) {
            let Some(mut evaluation) = answer else {
                path.end = Some(Terminal::Invalid(CONTEXT_TOO_LONG.to_owned()));
                continue;
            };
            path.set_value(evaluation.value);
            if let Some(proposal) = evaluation.proposals.pop() {
                **path = path.step(environment, proposal)?;
            }
        }
    }
    Ok(paths)
}
