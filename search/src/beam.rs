//! Step-level beam search (AlphaMath, arXiv 2405.03553, algorithm 2).

use serde::{Deserialize, Serialize};

use crate::cancel::Cancel;
use crate::environment::{Environment, Problem, Terminal};
use crate::error::{ConfigError, SearchError};
use crate::evaluator::{Evaluator, remove_duplicates};
use crate::growth::{Ask, Growth, Number, ROOT, Sampling, finished};
use crate::kind::{SearchKind, SearchSettings, never_continues, require_temperature, scaled};
use crate::seed::derive_seed;
use crate::snapshot::{StopReason, TreeRecord};
use crate::tree::MAX_CHILDREN;

/// Settings of a beam search.
///
/// The record has every step that was sampled, also those that left the beam. Each backs up its value when it is made,
/// as the tree search does under `update_leaf_value`: a node's Q is the mean of its own value and of those below it.
/// [`TreeRecord::simulations`] counts the nodes from which steps were sampled.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BeamConfig {
    /// Partial solutions kept (B1), >= 1.
    pub beams: usize,
    /// Steps sampled from each (B2), >= 1; from the root `beams * samples`.
    pub samples: usize,
    /// Sampling temperature.
    pub temperature: f32,
    /// Draws the steps of a node without replacement, as [`crate::MctsConfig::without_replacement`] says.
    pub without_replacement: bool,
    /// Most steps of a path. What is unfinished then stays in the record without an ending.
    pub max_depth: usize,
    /// Drops siblings whose trimmed text an earlier one has.
    pub remove_duplicate: bool,
    /// Whether steps keep their tokens and the log-probability of each, as [`crate::MctsConfig::keep_tokens`] says.
    pub keep_tokens: bool,
}

impl Default for BeamConfig {
    fn default() -> Self {
        Self {
            beams: 3,
            samples: 5,
            temperature: 1.0,
            without_replacement: false,
            max_depth: 8,
            remove_duplicate: true,
            keep_tokens: false,
        }
    }
}

impl SearchSettings for BeamConfig {
    fn validate(&self) -> Result<(), ConfigError> {
        let check = ConfigError::require;
        let positive = "must be in 1 ..= 32767";
        let few = |count: usize| (1..=MAX_CHILDREN).contains(&count);
        check(few(self.beams), "beams", &self.beams, positive)?;
        check(few(self.samples), "samples", &self.samples, positive)?;
        let product = "beams x samples must be at most 32767";
        check(few(self.root_samples()), "samples", &self.samples, product)?;
        ConfigError::require_not_negative("temperature", self.temperature)?;
        require_temperature(self.without_replacement, self.temperature)?;
        check(self.max_depth >= 1, "max_depth", &self.max_depth, "must be >= 1")
    }

    fn temperature_mut(&mut self) -> &mut f32 {
        &mut self.temperature
    }

    fn scale_budget(&mut self, factor: f64) {
        self.beams = scaled(self.beams as u64, factor) as usize;
    }

    fn draws_without_replacement(&self) -> bool {
        self.without_replacement
    }

    fn keeps_tokens(&self) -> bool {
        self.keep_tokens
    }

    fn root_samples(&self) -> usize {
        self.beams.saturating_mul(self.samples)
    }

    fn most_steps(&self) -> usize {
        self.root_samples().saturating_mul(self.max_depth)
    }

    fn most_depth(&self) -> usize {
        self.max_depth
    }

    fn can_continue(&self) -> Result<(), ConfigError> {
        Err(refusal())
    }
}

fn refusal() -> ConfigError {
    never_continues("beam", "search anew with more `beams` or `samples`")
}

impl<E: Environment> SearchKind<E> for BeamConfig {
    fn grow(
        &self,
        environment: &E,
        evaluator: &dyn Evaluator,
        problem: &Problem,
        seed: u64,
        ground_truth: bool,
        cancel: &Cancel,
    ) -> Result<TreeRecord, SearchError> {
        SearchSettings::validate(self)?;
        let mut growth = Growth::new(environment, evaluator, problem, seed, ground_truth, cancel)?
            .keep_tokens(self.keep_tokens);
        let found = finished(|| beam_search(&mut growth, self))?;
        let Some(found) = found else {
            return Ok(growth.record(StopReason::Cancelled, 0));
        };
        growth.back_up_all();
        let stop = if found.is_exhausted { StopReason::Exhausted } else { StopReason::Simulations };
        Ok(growth.record(stop, found.expanded))
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

/// What a beam search came to.
pub(crate) struct Found {
    /// Nodes of the answers that were kept, in the order of finding.
    pub(crate) answers: Vec<Number>,
    /// Nodes from which steps were sampled.
    expanded: u64,
    /// Whether no partial solution was left before the last level.
    pub(crate) is_exhausted: bool,
}

/// Keeps `beams` partial solutions. Each level samples `samples` steps from each (`beams * samples`
/// from the root), asks for the value of every valid child in one batch and keeps the best; a kept
/// child that is an answer leaves the beam and takes its place with it. After `max_depth` levels
/// what is unfinished is given up.
pub(crate) fn beam_search<E: Environment>(
    growth: &mut Growth<'_, E>,
    config: &BeamConfig,
) -> Result<Found, SearchError> {
    let BeamConfig { temperature, without_replacement, .. } = *config;
    let sampling = Sampling { temperature, without_replacement };
    let mut beam = vec![ROOT];
    let mut found = Found { answers: Vec::new(), expanded: 0, is_exhausted: false };
    for level in 0..config.max_depth as u64 {
        if beam.is_empty() {
            break;
        }
        let level_seed = derive_seed(growth.seed(), level);
        let samples = if level == 0 { config.root_samples() } else { config.samples };
        let ask = |(index, node): (usize, &Number)| Ask {
            node: *node,
            samples,
            seed: derive_seed(level_seed, index as u64),
        };
        let asked: Vec<Ask> = beam.iter().enumerate().map(ask).collect();
        let families = take_steps(growth, &asked, sampling, config.remove_duplicate)?;
        found.expanded += asked.len() as u64;
        let children = families.concat();
        growth.score(&children)?;
        let mut children = best_first(growth, children);
        children.truncate(config.beams - found.answers.len());
        beam.clear();
        for child in children {
            let is_answer = growth.node(child).answer().is_some();
            if is_answer { &mut found.answers } else { &mut beam }.push(child);
        }
    }
    found.is_exhausted = beam.is_empty();
    Ok(found)
}

/// Samples steps and takes them: of each node asked about, the children that did not end in an invalid way, in the order
/// of sampling.
pub(crate) fn take_steps<E: Environment>(
    growth: &mut Growth<'_, E>,
    asked: &[Ask],
    sampling: Sampling,
    remove_duplicate: bool,
) -> Result<Vec<Vec<Number>>, SearchError> {
    let proposals = growth.propose(asked, sampling)?;
    let mut families = Vec::with_capacity(asked.len());
    for (ask, mut proposals) in asked.iter().zip(proposals) {
        if remove_duplicate {
            remove_duplicates(&mut proposals);
        }
        let mut children = Vec::with_capacity(proposals.len());
        for proposal in proposals {
            let child = growth.step(ask.node, proposal)?;
            if !matches!(growth.node(child).terminal, Some(Terminal::Invalid(_))) {
                children.push(child);
            }
        }
        families.push(children);
    }
    Ok(families)
}

/// Valued nodes, those of highest value first, of equals the first; without those that the model could not read.
pub(crate) fn best_first<E: Environment>(
    growth: &Growth<'_, E>,
    mut nodes: Vec<Number>,
) -> Vec<Number> {
    nodes.retain(|node| growth.node(*node).value.is_some());
    // Stable: equal values keep the order of sampling. No value is a NaN.
    nodes.sort_by(|a, b| {
        let value = |node: &Number| growth.node(*node).value;
        value(b).partial_cmp(&value(a)).unwrap_or(std::cmp::Ordering::Equal)
    });
    nodes
}
