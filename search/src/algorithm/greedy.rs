//! `greedy`: one path, the most likely token each time.

use super::outcome::{Candidate, Outcome};
use super::rollout::sample_paths;
use crate::guard::CheckedEvaluator;
use crate::{DecodeConfig, Environment, SearchError};

pub(super) fn decode<E: Environment>(
    environment: &E,
    evaluator: &CheckedEvaluator<'_>,
    root: E::State,
    config: &DecodeConfig,
    seed: u64,
) -> Result<Outcome, SearchError> {
    let config = DecodeConfig { temperature: 0.0, ..config.clone() };
    let paths = sample_paths(environment, evaluator, root, 1, &config, seed)?;
    let Some(path) = paths.into_iter().next() else {
        return Ok(Outcome::default());
    };
    let answer = path.answer().map(str::to_owned);
    let candidate = |answer: &String| Candidate { answer: answer.clone(), score: 1.0 };
    Ok(Outcome {
        candidates: answer.iter().map(candidate).collect(),
        answer,
        solution: path.steps,
        ..Outcome::default()
    })
}
