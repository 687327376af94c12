//! The ways in which the record of a problem is grown that labels are taken from, by name.
//!
//! # Adding a kind
//! A file with the settings of the kind, which implement [`SearchSettings`] and [`SearchKind`], its `mod` line in
//! `lib.rs`, and its row in the table below. Recipes then have it as `[search] kind = ".."`; the search stage, its
//! resumption, the labels and the objectives need no change, since every kind gives a [`TreeRecord`].

use serde::{Deserialize, Serialize};

use crate::cancel::Cancel;
use crate::environment::{Environment, Problem};
use crate::error::{ConfigError, SearchError};
use crate::evaluator::Evaluator;
use crate::mcts::MctsConfig;
use crate::snapshot::TreeRecord;

/// What the settings of every kind have.
pub trait SearchSettings {
    /// Checks every field.
    ///
    /// # Errors
    /// Names the first field that cannot be used.
    fn validate(&self) -> Result<(), ConfigError>;

    /// Sampling temperature of the steps.
    fn temperature_mut(&mut self) -> &mut f32;

    /// Multiplies what a record may take: simulations, paths or beams; at least one is left.
    fn scale_budget(&mut self, factor: f64);

    /// Whether the steps of a node are drawn without replacement, which not every policy can do.
    fn draws_without_replacement(&self) -> bool;

    /// Whether steps keep their tokens, for objectives that learn from exactly what was sampled.
    fn keeps_tokens(&self) -> bool;

    /// Steps that are sampled at the root at once.
    fn root_samples(&self) -> usize;

    /// Steps of a record, at most.
    fn most_steps(&self) -> usize;

    /// Steps of a path, at most.
    fn most_depth(&self) -> usize;

    /// Whether a finished record can be searched further ([`SearchKind::continue_record`]).
    ///
    /// # Errors
    /// Names the setting that prevents it.
    fn can_continue(&self) -> Result<(), ConfigError>;
}

/// A way to grow a record: one problem's nodes with values, visits and endings.
pub trait SearchKind<E: Environment>: SearchSettings + Sync {
    /// Grows one record. `ground_truth` says whether answers may be graded: then each end has its reward for its value;
    /// otherwise the value net scores it. Once `cancel` is cancelled the search ends with what it has, by
    /// [`crate::StopReason::Cancelled`].
    ///
    /// # Errors
    /// When the settings are unusable, the problem cannot be posed, or the evaluator or the environment fails.
    fn grow(
        &self,
        environment: &E,
        evaluator: &dyn Evaluator,
        problem: &Problem,
        seed: u64,
        ground_truth: bool,
        cancel: &Cancel,
    ) -> Result<TreeRecord, SearchError>;

    /// Searches a finished record further, as if it had been one longer search.
    ///
    /// # Errors
    /// As [`SearchKind::grow`]; and when the kind cannot go on, or the record is none of its own.
    fn continue_record(
        &self,
        environment: &E,
        evaluator: &dyn Evaluator,
        problem: &Problem,
        record: &TreeRecord,
        cancel: &Cancel,
    ) -> Result<TreeRecord, SearchError>;
}

/// Makes the choice of kinds from its table.
macro_rules! search_kinds {
    ($($(#[$doc:meta])* $kind:ident($config:ty),)+) => {
        /// How records are grown: `[search]` of a recipe, with `kind` and the settings of the kind.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "kind", rename_all = "snake_case")]
        #[expect(clippy::large_enum_variant, reason = "a recipe holds one")]
        pub enum SearchConfig {
            $($(#[$doc])* $kind($config),)+
        }

        impl SearchConfig {
            /// The kind with its settings.
            #[must_use]
            pub fn kind<E: Environment>(&self) -> &dyn SearchKind<E> {
                match self { $(Self::$kind(config) => config,)+ }
            }

            /// What the settings of every kind have.
            #[must_use]
            pub fn settings(&self) -> &dyn SearchSettings {
                match self { $(Self::$kind(config) => config,)+ }
            }

            /// As [`SearchConfig::settings`], to change them.
            pub fn settings_mut(&mut self) -> &mut dyn SearchSettings {
                match self { $(Self::$kind(config) => config,)+ }
            }
        }
    };
}

search_kinds! {
    /// Monte Carlo tree search.
    Mcts(MctsConfig),
    /// Step-level beam search.
    Beam(crate::beam::BeamConfig),
    /// Independent paths.
    Samples(crate::samples::SamplesConfig),
}

impl Default for SearchConfig {
    fn default() -> Self {
        Self::Mcts(MctsConfig::default())
    }
}

/// A count times a factor, at least one.
pub(crate) fn scaled(count: u64, factor: f64) -> u64 {
    ((count as f64 * factor).round() as u64).max(1)
}

/// Refuses to draw without replacement where every draw would be the same.
pub(crate) fn require_temperature(
    without_replacement: bool,
    temperature: f32,
) -> Result<(), ConfigError> {
    let fits = !without_replacement || temperature > 0.0;
    let requirement = "needs a temperature above 0";
    ConfigError::require(fits, "without_replacement", &without_replacement, requirement)
}

/// The refusal to continue a record of a kind that never can.
pub(crate) fn never_continues(kind: &str, instead: &str) -> ConfigError {
    ConfigError {
        field: "kind",
        value: format!("{kind:?}"),
        requirement: format!("records of this kind cannot be searched further; {instead}"),
    }
}

#[cfg(all(test, not(espalier_loom)))]
mod tests {
    use super::*;
    use crate::beam::BeamConfig;
    use crate::samples::SamplesConfig;

    #[test]
    fn every_kind_has_a_budget_that_scales() {
        let kinds = [
            SearchConfig::Mcts(MctsConfig { simulations: 10, samples: 1, ..MctsConfig::default() }),
            SearchConfig::Samples(SamplesConfig {
                paths: 10,
                max_depth: 1,
                ..SamplesConfig::default()
            }),
            SearchConfig::Beam(BeamConfig {
                beams: 10,
                samples: 1,
                max_depth: 1,
                ..BeamConfig::default()
            }),
        ];
        for mut kind in kinds {
            for (factor, steps) in [(1.0, 10), (2.5, 25), (0.5, 13), (1e-9, 1)] {
                kind.settings_mut().scale_budget(factor);
                assert_eq!(kind.settings().most_steps(), steps, "{kind:?}");
            }
            kind.settings().validate().unwrap();
        }
    }
}
