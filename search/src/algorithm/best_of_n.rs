//! `bon@n`: of n sampled paths the one whose final state the value net rates highest.

use super::outcome::{Candidate, Outcome};
use super::samples::{Choice, SampledSolution, Sampling, outcome, sampled};
use crate::guard::CheckedEvaluator;
use crate::selection::first_best;
use crate::{DecodeConfig, Environment, SearchError};

pub(super) fn decode<E: Environment>(
    environment: &E,
    evaluator: &CheckedEvaluator<'_>,
    root: E::State,
    n: usize,
    config: &DecodeConfig,
    seed: u64,
) -> Result<Outcome, SearchError> {
    let sampling = Sampling { count: n, values: true, config, seed };
    let samples = sampled(environment, evaluator, root, sampling)?;
    let choice = choose(&samples);
    Ok(outcome(samples, choice))
}

/// Ties go to the first path; one without a value counts as -1.
pub(super) fn choose(samples: &[SampledSolution]) -> Choice {
    let finished = samples.iter().enumerate().filter_map(|(index, sample)| {
        let (answer, score) = (sample.answer.clone()?, sample.value.unwrap_or(-1.0));
        Some((index, Candidate { answer, score }))
    });
    let (indices, candidates): (Vec<usize>, Vec<Candidate>) = finished.unzip();
    let winner = first_best(candidates.iter().map(|candidate| candidate.score));
    Choice { sample: winner.map(|winner| indices[winner]), candidates }
}
