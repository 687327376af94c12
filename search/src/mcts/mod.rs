//! Monte Carlo tree search over steps, after AlphaMath (arXiv 2405.03553, §3.2).
//!
//! A simulation has two halves. [`descend()`] goes from the root to a leaf by PUCT and claims it;
//! the evaluator is asked about the leaf; then the answer becomes children, each child that ends
//! its path backs up its reward, and the leaf's own value follows.

mod config;
mod descend;
mod expand;
mod progress;
mod record;
mod search;
mod step_data;

pub use config::{AnswerRule, DeadEnd, MctsConfig};
pub use descend::{Descent, descend};
pub(crate) use expand::CONTEXT_TOO_LONG;

use crate::snapshot::TreeRecord;
use crate::{Environment, Evaluator, Problem, SearchError};
use search::Search;

/// Grows one tree and gives it as plain data.
///
/// `ground_truth` says whether answers may be graded: then each end backs up its reward; otherwise
/// the value net scores each answer. With one worker the same `seed` gives the same tree bit for
/// bit, provided that the evaluator answers the same request alike.
///
/// # Errors
/// When the settings are unusable, the problem cannot be posed, or the evaluator fails or panics.
pub fn search_tree<E: Environment>(
    environment: &E,
    evaluator: &dyn Evaluator,
    problem: &Problem,
    config: &MctsConfig,
    seed: u64,
    ground_truth: bool,
) -> Result<TreeRecord, SearchError> {
    let search = Search::new(environment, evaluator, problem, config, seed, ground_truth)?;
    let stop = search.run()?;
    Ok(search.record(stop))
}

#[cfg(test)]
mod tests;
