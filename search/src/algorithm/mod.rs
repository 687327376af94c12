//! The ways to answer a problem: baselines and searches behind one function.
//!
//! # Adding a decoding
//! A file in this folder with a type that says how it is written and answers a problem, as `majority.rs` has, its `mod`
//! line here, and its row in the table of `decoding.rs`.

mod best_of_n;
mod config;
pub mod decoding;
mod dvts;
mod from_state;
mod greedy;
mod majority;
mod mcts;
mod outcome;
mod samples;
mod step_beam;

pub use config::DecodeConfig;
pub use from_state::{RolloutPlan, Rollouts, roll_out};
pub use mcts::best_path;
pub use outcome::{Candidate, Outcome, SolutionStep};
pub use samples::{Choice, SampledSolution, Sampling, choose, sample_solutions};

use crate::cancel::Cancel;
use crate::environment::{Environment, Problem};
use crate::error::SearchError;
use crate::evaluator::Evaluator;
use crate::guard::catch_panic;
use crate::snapshot::TreeRecord;
use decoding::{Call, Decoding};

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
    let (outcome, _) =
        decode_with_tree(decoding, environment, evaluator, problem, config, seed, cancel)?;
    Ok(outcome)
}

/// As [`decode`], with the tree of a decoding that grows one, `mcts`.
///
/// # Errors
/// As [`decode`].
pub fn decode_with_tree<E: Environment>(
    decoding: Decoding,
    environment: &E,
    evaluator: &dyn Evaluator,
    problem: &Problem,
    config: &DecodeConfig,
    seed: u64,
    cancel: &Cancel,
) -> Result<(Outcome, Option<TreeRecord>), SearchError> {
    config.validate()?;
    let call = Call { environment, evaluator, problem, config, seed, cancel };
    // The evaluator's panics are caught where it is called; what is left is the environment's.
    let answer = catch_panic(|| decoding.method::<E>().decode_with_tree(&call));
    answer.map_err(SearchError::Environment).flatten()
}
