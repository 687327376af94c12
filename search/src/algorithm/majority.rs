//! `maj@k`: self-consistency (Wang et al., arXiv 2203.11171): the most frequent answer of k paths.

use super::outcome::{Candidate, Outcome};
use super::rollout::sample_paths;
use crate::guard::CheckedEvaluator;
use crate::selection::first_best;
use crate::{DecodeConfig, Environment, SearchError};

/// Answers are equal when their trimmed texts are: the environment's [`crate::Terminal::Answer`] is
/// what is counted. Ties go to the answer that was reached first, by the order of the paths.
pub(super) fn decode<E: Environment>(
    environment: &E,
    evaluator: &CheckedEvaluator<'_>,
    root: E::State,
    k: usize,
    config: &DecodeConfig,
    seed: u64,
) -> Result<Outcome, SearchError> {
    let paths = sample_paths(environment, evaluator, root, k, config, seed)?;
    let finished: Vec<(&str, usize)> = paths
        .iter()
        .enumerate()
        .filter_map(|(index, path)| Some((path.answer()?.trim(), index)))
        .collect();
    let votes = |answer: &str| finished.iter().filter(|(other, _)| *other == answer).count();
    let candidates = finished.iter().map(|(answer, _)| Candidate {
        answer: (*answer).to_owned(),
        score: votes(answer) as f64 / k as f64,
    });
    let candidates: Vec<Candidate> = candidates.collect();
    let Some(winner) = first_best(candidates.iter().map(|candidate| candidate.score)) else {
        return Ok(Outcome::default());
    };
    Ok(Outcome {
        answer: Some(candidates[winner].answer.clone()),
        solution: paths[finished[winner].1].steps.clone(),
        candidates,
        ..Outcome::default()
    })
}
