//! The ways to answer a problem: baselines and searches behind one function.

mod best_of_n;
mod config;
mod decoding;
mod from_state;
mod greedy;
mod majority;
mod mcts;
mod outcome;
mod path;
mod rollout;
mod samples;
mod step_beam;

pub use config::DecodeConfig;
pub use decoding::{Decoding, DecodingParseError};
pub use from_state::{RolloutPlan, Rollouts, roll_out};
pub use mcts::best_path;
pub use outcome::{Candidate, Outcome, SolutionStep};
pub use samples::{Choice, SampledSolution, Sampling, choose, sample_solutions};

use crate::guard::{CheckedEvaluator, catch_panic};
use crate::{Cancel, Environment, Evaluator, Problem, SearchError};

/// Answers a problem. The ground truth is not read; the same seed gives the same outcome (`mcts`
/// with several workers excepted).
///
/// # Errors
/// When the settings are unusable, the problem cannot be posed, or the evaluator fails or panics; with
/// [`crate::EvaluatorError::Cancelled`] when `cancel` was cancelled first.
pub fn decode<E: Environment>(
    decoding: Decoding,
    environment: &E,
    evaluator: &dyn Evaluator,
    problem: &Problem,
    config: &DecodeConfig,
    seed: u64,
    cancel: &Cancel,
) -> Result<Outcome, SearchError> {
    config.validate()?;
    if let Decoding::Mcts { simulations } = decoding {
        return mcts::decode(environment, evaluator, problem, simulations, config, seed, cancel);
    }
    let root = environment.root(problem)?;
    let evaluator = &CheckedEvaluator::new(evaluator, cancel.clone());
    let answer = || match decoding {
        Decoding::Greedy => greedy::decode(environment, evaluator, root, config, seed),
        Decoding::Majority { k } => majority::decode(environment, evaluator, root, k, config, seed),
        Decoding::BestOfN { n } => best_of_n::decode(environment, evaluator, root, n, config, seed),
        Decoding::StepBeam { beams, samples } => {
            step_beam::decode(environment, evaluator, root, (beams, samples), config, seed)
        }
        Decoding::Mcts { .. } => unreachable!("answered above"),
    };
    // The evaluator's panics are caught where it is called; what is left is the environment's.
    let outcome = catch_panic(answer).map_err(SearchError::Environment)??;
    Ok(Outcome { tokens: evaluator.tokens(), evaluations: evaluator.evaluations(), ..outcome })
}
