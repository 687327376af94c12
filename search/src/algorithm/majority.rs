//! `maj@k`: self-consistency (Wang et al., arXiv 2203.11171): the most frequent answer of k paths.

use super::outcome::{Candidate, Outcome};
use super::samples::{Choice, SampledSolution, Sampling, outcome, sampled};
use crate::guard::CheckedEvaluator;
use crate::selection::first_best;
use crate::{DecodeConfig, Environment, SearchError};

pub(super) fn decode<E: Environment>(
    environment: &E,
    evaluator: &CheckedEvaluator<'_>,
    root: E::State,
    k: usize,
    config: &DecodeConfig,
    seed: u64,
) -> Result<Outcome, SearchError> {
    let sampling = Sampling { count: k, values: false, config, seed };
    let samples = sampled(environment, evaluator, root, sampling)?;
    let choice = choose(environment, &samples, k);
    let outcome = outcome(samples, choice);
    Ok(Outcome { answer: outcome.answer.map(|answer| answer.trim().to_owned()), ..outcome })
}

/// The environment says which answers are the same ([`Environment::answer_groups`]). Ties go to the answer that was reached
/// first, by the order of the paths; the winning group is written as its first member. `k` paths were asked for.
pub(super) fn choose<E: Environment>(
    environment: &E,
    samples: &[SampledSolution],
    k: usize,
) -> Choice {
    let finished = samples
        .iter()
        .enumerate()
        .filter_map(|(index, sample)| Some((sample.answer.as_deref()?.trim(), index)));
    let (answers, indices): (Vec<&str>, Vec<usize>) = finished.unzip();
    let groups = environment.answer_groups(&answers);
    let votes = |group: &usize| groups.iter().filter(|other| *other == group).count();
    let candidates = answers.iter().zip(&groups).map(|(answer, group)| Candidate {
        answer: (*answer).to_owned(),
        score: votes(group) as f64 / k as f64,
    });
    let candidates: Vec<Candidate> = candidates.collect();
    let winner = first_best(candidates.iter().map(|candidate| candidate.score));
    Choice { sample: winner.map(|winner| indices[winner]), candidates }
}
