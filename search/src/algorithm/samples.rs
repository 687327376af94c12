//! One set of sampled solutions, and the decodings that choose from it.

use serde::{Deserialize, Serialize};

use super::config::DecodeConfig;
use super::decoding::Decoding;
use super::outcome::{Candidate, Outcome, SolutionStep};
use super::path::Path;
use super::rollout::sample_paths;
use super::{best_of_n, majority};
use crate::cancel::Cancel;
use crate::environment::{Environment, Problem};
use crate::error::SearchError;
use crate::evaluator::{Evaluator, Request};
use crate::guard::{CheckedEvaluator, catch_panic};

/// A solution sampled step by step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SampledSolution {
    /// The final answer; None when the path ended without one or was cut off.
    pub answer: Option<String>,
    /// The value net's opinion of the final state, in [-1, 1], where it was asked for; -1 where the model cannot read that state.
    pub value: Option<f64>,
    /// Tokens sampled, delimiters included.
    pub tokens: u64,
    /// The steps.
    pub steps: Vec<SolutionStep>,
}

impl<S: Clone> From<Path<S>> for SampledSolution {
    fn from(path: Path<S>) -> Self {
        let answer = path.answer().map(str::to_owned);
        Self { answer, value: None, tokens: path.tokens, steps: path.steps }
    }
}

/// The choice of a decoding from sampled solutions.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Choice {
    /// The number of the chosen sample; None when no sample has an answer.
    pub sample: Option<usize>,
    /// Every finished answer with what the decoding ranks it by.
    pub candidates: Vec<Candidate>,
}

/// How solutions are sampled.
#[derive(Debug, Clone, Copy)]
pub struct Sampling<'a> {
    /// Solutions, >= 1.
    pub count: usize,
    /// Whether those that have an answer are valued at their end.
    pub values: bool,
    /// The settings that all decodings share.
    pub config: &'a DecodeConfig,
    /// Root of the seeds. They derive from it and from the number of the sample, so that the first k solutions do not depend on
    /// `count` where the evaluator's first k samples of a request do not.
    pub seed: u64,
}

/// Samples solutions of a problem side by side; none where the model cannot read the problem.
///
/// # Errors
/// When the settings are unusable, the problem cannot be posed, or the evaluator fails or panics; with
/// [`crate::EvaluatorError::Cancelled`] when `cancel` was cancelled first.
pub fn sample_solutions<E: Environment>(
    environment: &E,
    evaluator: &dyn Evaluator,
    problem: &Problem,
    sampling: Sampling<'_>,
    cancel: &Cancel,
) -> Result<Vec<SampledSolution>, SearchError> {
    sampling.config.validate()?;
    let root = environment.root(problem)?;
    let evaluator = &CheckedEvaluator::new(evaluator, cancel.clone());
    let work = || sampled(environment, evaluator, root, sampling);
    // The evaluator's panics are caught where it is called; what is left is the environment's.
    catch_panic(work).map_err(SearchError::Environment)?
}

/// The choice from the first samples; None where the decoding does not choose from samples. Fewer samples than it asks for are
/// all that there are.
pub fn choose<E: Environment>(
    decoding: Decoding,
    environment: &E,
    samples: &[SampledSolution],
) -> Option<Choice> {
    let first = |k: usize| &samples[..k.min(samples.len())];
    match decoding {
        Decoding::Majority { k } => Some(majority::choose(environment, first(k), k)),
        Decoding::BestOfN { n } => Some(best_of_n::choose(first(n))),
        Decoding::Greedy | Decoding::StepBeam { .. } | Decoding::Mcts { .. } => None,
    }
}

pub(super) fn sampled<E: Environment>(
    environment: &E,
    evaluator: &CheckedEvaluator<'_>,
    root: E::State,
    sampling: Sampling<'_>,
) -> Result<Vec<SampledSolution>, SearchError> {
    let Sampling { count, values, config, seed } = sampling;
    let mut paths = sample_paths(environment, evaluator, root, count, config, seed)?;
    let mut finals = vec![None; paths.len()];
    if values {
        let finished: Vec<usize> =
            (0..paths.len()).filter(|&index| paths[index].answer().is_some()).collect();
        let value_of = |&index: &usize| paths[index].request(environment, 0, 0.0, 0);
        let requests: Vec<Request> = finished.iter().map(value_of).collect();
        for (index, evaluation) in finished.into_iter().zip(evaluator.ask(&requests)?) {
            let value = evaluation.map_or(-1.0, |evaluation| evaluation.value);
            paths[index].set_value(value);
            finals[index] = Some(value);
        }
    }
    let solution = |(path, value): (Path<E::State>, _)| SampledSolution { value, ..path.into() };
    Ok(paths.into_iter().zip(finals).map(solution).collect())
}

/// What a choice gives as an outcome, without its cost.
pub(super) fn outcome(mut samples: Vec<SampledSolution>, choice: Choice) -> Outcome {
    let chosen = choice.sample.map(|sample| samples.swap_remove(sample));
    let (answer, solution) =
        chosen.map_or((None, Vec::new()), |chosen| (chosen.answer, chosen.steps));
    Outcome { answer, solution, candidates: choice.candidates, ..Outcome::default() }
}
