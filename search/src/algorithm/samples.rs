//! One set of sampled solutions, and the decodings that choose from it.

use serde::{Deserialize, Serialize};

use super::config::DecodeConfig;
use super::decoding::{Call, Decode, Decoding, Named};
use super::outcome::{Candidate, Outcome, SolutionStep, is_zero};
use crate::cancel::Cancel;
use crate::cut::Cut;
use crate::environment::{Environment, Problem};
use crate::error::SearchError;
use crate::evaluator::Evaluator;
use crate::growth::{Growth, Number};
use crate::guard::catch_panic;
use crate::mcts::MctsConfig;
use crate::paths::sample_paths;

/// A solution sampled step by step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SampledSolution {
    /// The final answer; None when the path ended without one.
    pub answer: Option<String>,
    /// The value net's opinion of the final state, in [-1, 1], where it was asked for; -1 where the model cannot read that state.
    pub value: Option<f64>,
    /// Steps that the policy was cut off in before it had ended them.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub steps_truncated: usize,
    /// The limit that ended the path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut: Option<Cut>,
    /// Tokens sampled, delimiters included.
    pub tokens: u64,
    /// The steps.
    pub steps: Vec<SolutionStep>,
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
    let mut growth = Growth::new(environment, evaluator, problem, sampling.seed, false, cancel)?;
    let Sampling { count, values, config, .. } = sampling;
    // The evaluator's panics are caught where it is called; what is left is the environment's.
    catch_panic(|| sampled(&mut growth, count, values, config))
        .map_err(SearchError::Environment)
        .flatten()
}

/// The choice from the first samples; None where the decoding does not choose from samples. Fewer samples than it asks for are
/// all that there are.
pub fn choose<E: Environment>(
    decoding: Decoding,
    environment: &E,
    samples: &[SampledSolution],
) -> Option<Choice> {
    let first = decoding.samples()?.min(samples.len());
    decoding.method::<E>().choose(environment, &samples[..first])
}

/// Answers by a choice from as many sampled solutions as the decoding asks for.
pub(super) fn decode_by_choice<E: Environment>(
    decoding: &(impl Named + Decode<E>),
    call: &Call<'_, E>,
) -> Result<Outcome, SearchError> {
    let mut growth = call.growth()?;
    let count = decoding.samples().unwrap_or(1);
    let mut samples = sampled(&mut growth, count, decoding.reads_values(), call.config)?;
    let choice = decoding.choose(call.environment, &samples).unwrap_or_default();
    let chosen = choice.sample.map(|sample| samples.swap_remove(sample));
    let (answer, solution) =
        chosen.map_or((None, Vec::new()), |chosen| (chosen.answer, chosen.steps));
    Ok(Outcome { answer, solution, candidates: choice.candidates, ..Outcome::of(&growth) })
}

fn sampled<E: Environment>(
    growth: &mut Growth<'_, E>,
    count: usize,
    values: bool,
    config: &DecodeConfig,
) -> Result<Vec<SampledSolution>, SearchError> {
    let MctsConfig { temperature, max_depth, .. } = config.tree;
    let paths = sample_paths(growth, count, temperature, max_depth)?;
    growth.cut_open(&paths);
    let is_answer = |path: &Number| growth.node(*path).answer().is_some();
    let finished: Vec<Number> = paths.iter().copied().filter(is_answer).collect();
    if values {
        growth.score(&finished)?;
        finished.into_iter().for_each(|path| growth.count_as(path, -1.0));
    }
    let solution = |path: Number| {
        let node = growth.node(path);
        let answer = node.answer().map(str::to_owned);
        SampledSolution {
            value: node.value.filter(|_| values && answer.is_some()),
            answer,
            steps_truncated: growth.path_truncated(path),
            cut: node.cut(),
            tokens: growth.path_tokens(path),
            steps: growth.solution(path),
        }
    };
    Ok(paths.into_iter().map(solution).collect())
}
