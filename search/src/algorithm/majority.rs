//! `maj@k`: self-consistency (Wang et al., arXiv 2203.11171): the most frequent answer of k paths.

use super::outcome::{Candidate, Outcome};
use super::rollout::sample_paths;
use crate::guard::CheckedEvaluator;
use crate::selection::first_best;
use crate::{DecodeConfig, Environment, SearchError};

/// The environment says which answers are the same ([`Environment::answer_groups`]). Ties go to the answer that was reached
/// first, by the order of the paths; the winning group is written as its first member.
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
    let answers: Vec<&str> = finished.iter().map(|(answer, _)| *answer).collect();
    let groups = environment.answer_groups(&answers);
    let votes = |group: &usize| groups.iter().filter(|other| *other == group).count();
    let candidates = answers.iter().zip(&groups).map(|(answer, group)| Candidate {
        answer: (*answer).to_owned(),
        score: votes(group) as f64 / k as f64,
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
