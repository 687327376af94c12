//! Monte Carlo tree search over steps, after AlphaMath (arXiv 2405.03553, §3.2).
//!
//! A simulation has two halves. [`descend()`] goes from the root to a leaf by PUCT and claims it;
//! the evaluator is asked about the leaf; then the answer becomes children, each child that ends
//! its path backs up its reward, and the leaf's own value follows.

mod config;
mod control;
mod descend;
mod expand;
mod merge;
mod once_value;
mod order;
mod progress;
mod record;
mod resume;
mod settled;
mod state;
mod step_data;
mod step_table;
mod stop;
mod worker;

pub use config::{AnswerRule, Compatibility, InFlightRule, MctsConfig};
pub use descend::{Descent, MAX_TOGETHER, descend, descend_together};
pub use stop::StopConfig;

use crate::cancel::Cancel;
use crate::environment::{Environment, Problem};
use crate::error::{ConfigError, SearchError};
use crate::evaluator::Evaluator;
use crate::kind::{SearchKind, SearchSettings, scaled};
use crate::pool::for_each_index;
use crate::seed::{derive_seed, stream};
use crate::snapshot::TreeRecord;
use crate::sync::OnceLock;
use state::Search;

impl SearchSettings for MctsConfig {
    fn validate(&self) -> Result<(), ConfigError> {
        Self::validate(self)
    }

    fn temperature_mut(&mut self) -> &mut f32 {
        &mut self.temperature
    }

    fn scale_budget(&mut self, factor: f64) {
        self.simulations = scaled(self.simulations, factor);
    }

    fn draws_without_replacement(&self) -> bool {
        self.without_replacement
    }

    fn keeps_tokens(&self) -> bool {
        self.keep_tokens
    }

    fn root_samples(&self) -> usize {
        self.samples
    }

    fn most_steps(&self) -> usize {
        (self.simulations as usize).saturating_mul(self.samples)
    }

    fn most_depth(&self) -> usize {
        self.max_depth
    }

    fn can_continue(&self) -> Result<(), ConfigError> {
        Self::can_continue(self)
    }
}

impl<E: Environment> SearchKind<E> for MctsConfig {
    fn grow(
        &self,
        environment: &E,
        evaluator: &dyn Evaluator,
        problem: &Problem,
        seed: u64,
        ground_truth: bool,
        cancel: &Cancel,
    ) -> Result<TreeRecord, SearchError> {
        search_tree(environment, evaluator, problem, self, seed, ground_truth, cancel)
    }

    fn continue_record(
        &self,
        environment: &E,
        evaluator: &dyn Evaluator,
        problem: &Problem,
        record: &TreeRecord,
        cancel: &Cancel,
    ) -> Result<TreeRecord, SearchError> {
        continue_tree(environment, evaluator, problem, self, record, cancel)
    }
}

/// Grows one tree and gives it as plain data.
///
/// `ground_truth` says whether answers may be graded: then each end backs up its reward; otherwise
/// the value net scores each answer. With one worker the same `seed` gives the same tree bit for
/// bit, provided that the evaluator answers the same request alike. Once `cancel` is cancelled the search ends with the
/// tree that it has.
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
    cancel: &Cancel,
) -> Result<TreeRecord, SearchError> {
    if config.roots > 1 {
        return search_roots(environment, evaluator, problem, config, seed, ground_truth, cancel);
    }
    let search = Search::new(environment, evaluator, problem, config, seed, ground_truth, cancel)?;
    let stop = search.run()?;
    Ok(search.record(stop))
}

/// Searches a finished tree further, until it has had `config.simulations` in all. With one worker and the settings
/// under which it was grown the result is that of one longer search, bit for bit.
///
/// # Errors
/// As [`search_tree`]; and when the record is damaged, of another problem, was grown under other settings, or cannot
/// be continued by its nature (merged trees, sequential halving).
pub fn continue_tree<E: Environment>(
    environment: &E,
    evaluator: &dyn Evaluator,
    problem: &Problem,
    config: &MctsConfig,
    record: &TreeRecord,
    cancel: &Cancel,
) -> Result<TreeRecord, SearchError> {
    let (seed, ground_truth) = (record.seed, record.ground_truth);
    let search = Search::new(environment, evaluator, problem, config, seed, ground_truth, cancel)?;
    search.regrow(record)?;
    let stop = search.run()?;
    Ok(search.record(stop))
}

/// Trees from seeds of their own side by side, merged: each gets its part of the simulations.
fn search_roots<E: Environment>(
    environment: &E,
    evaluator: &dyn Evaluator,
    problem: &Problem,
    config: &MctsConfig,
    seed: u64,
    ground_truth: bool,
    cancel: &Cancel,
) -> Result<TreeRecord, SearchError> {
    config.validate()?;
    // The roots' own: one's failure ends the others.
    let cancel = cancel.child(None);
    let grow = |index: usize| {
        let part = config.simulations + (config.roots - 1 - index) as u64;
        let simulations = part / config.roots as u64;
        let config = MctsConfig { simulations, roots: 1, ..config.clone() };
        let seed = derive_seed(seed, stream::ROOTS + index as u64);
        search_tree(environment, evaluator, problem, &config, seed, ground_truth, &cancel)
    };
    let trees: Vec<OnceLock<TreeRecord>> = (0..config.roots).map(|_| OnceLock::new()).collect();
    for_each_index(config.roots, config.roots, &cancel, |index| -> Result<(), SearchError> {
        _ = trees[index].set(grow(index)?);
        Ok(())
    })?;
    // A root that was cancelled before it began is a tree too: a bare one.
    let trees = trees.into_iter().enumerate();
    let trees = trees.map(|(index, tree)| tree.into_inner().map_or_else(|| grow(index), Ok));
    let trees = trees.collect::<Result<Vec<_>, _>>()?;
    let merged = merge::merge(trees).map(|tree| TreeRecord { seed, ..tree });
    Ok(merged.expect("there is at least one root, and each grew a tree"))
}

#[cfg(all(test, not(espalier_loom)))]
mod tests;
