//! Independent paths: what rejection sampling and the groups of group-relative objectives are made of.

use serde::{Deserialize, Serialize};

use crate::cancel::Cancel;
use crate::environment::{Environment, Problem};
use crate::error::{ConfigError, SearchError};
use crate::evaluator::Evaluator;
use crate::growth::{Growth, ROOT, finished};
use crate::kind::{SearchKind, SearchSettings, never_continues, scaled};
use crate::paths::sample_paths;
use crate::snapshot::{StopReason, TreeRecord};

/// Settings of independent paths.
///
/// Each path is sampled step by step until it ends. In the record each is a chain of its own below the root, so that
/// equal paths are as many chains: a group keeps its size. Every node's Q is the reward of its path, and the root's
/// their mean; [`TreeRecord::simulations`] counts the paths.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SamplesConfig {
    /// Paths of a record.
    pub paths: usize,
    /// Sampling temperature; 0 would give the same path each time.
    pub temperature: f32,
    /// Most steps of a path. One that has not ended by then ends as invalid.
    pub max_depth: usize,
    /// Whether steps keep their tokens and the log-probability of each, as [`crate::MctsConfig::keep_tokens`] says.
    pub keep_tokens: bool,
}

impl Default for SamplesConfig {
    fn default() -> Self {
        Self { paths: 8, temperature: 1.0, max_depth: 8, keep_tokens: false }
    }
}

impl SearchSettings for SamplesConfig {
    fn validate(&self) -> Result<(), ConfigError> {
        let check = ConfigError::require;
        check(
            (1..=1 << 20).contains(&self.paths),
            "paths",
            &self.paths,
            "must be in 1 ..= 1048576",
        )?;
        ConfigError::require_not_negative("temperature", self.temperature)?;
        check(self.max_depth >= 1, "max_depth", &self.max_depth, "must be >= 1")
    }

    fn temperature_mut(&mut self) -> &mut f32 {
        &mut self.temperature
    }

    fn scale_budget(&mut self, factor: f64) {
        self.paths = scaled(self.paths as u64, factor) as usize;
    }

    fn draws_without_replacement(&self) -> bool {
        false
    }

    fn keeps_tokens(&self) -> bool {
        self.keep_tokens
    }

    fn root_samples(&self) -> usize {
        self.paths
    }

    fn most_steps(&self) -> usize {
        self.paths.saturating_mul(self.max_depth)
    }

    fn most_depth(&self) -> usize {
        self.max_depth
    }

    fn can_continue(&self) -> Result<(), ConfigError> {
        Err(refusal())
    }
}

impl<E: Environment> SearchKind<E> for SamplesConfig {
    fn grow(
        &self,
        environment: &E,
        evaluator: &dyn Evaluator,
        problem: &Problem,
        seed: u64,
        ground_truth: bool,
        cancel: &Cancel,
    ) -> Result<TreeRecord, SearchError> {
        self.validate()?;
        let mut growth = Growth::new(environment, evaluator, problem, seed, ground_truth, cancel)?
            .keep_tokens(self.keep_tokens);
        let paths = finished(|| {
            let ends = sample_paths(&mut growth, self.paths, self.temperature, self.max_depth)?;
            growth.cut_open(&ends);
            growth.score(&ends)?;
            Ok(ends)
        })?;
        let Some(ends) = paths else {
            return Ok(growth.record(StopReason::Cancelled, 0));
        };
        ends.iter().for_each(|end| growth.back_up(*end));
        if ends.is_empty() {
            // Not even the prompt could be read.
            growth.back_up(ROOT);
        }
        Ok(growth.record(StopReason::Simulations, ends.len() as u64))
    }

    fn continue_record(
        &self,
        _: &E,
        _: &dyn Evaluator,
        _: &Problem,
        _: &TreeRecord,
        _: &Cancel,
    ) -> Result<TreeRecord, SearchError> {
        Err(refusal().into())
    }
}

fn refusal() -> ConfigError {
    never_continues("samples", "ask for more paths with `paths`")
}
