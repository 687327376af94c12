//! Why a search or a decoding failed.

use crate::environment::{ProblemError, StepError};
use crate::evaluator::EvaluatorError;

/// A setting that no search can run with.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{field} = {value}: {requirement}")]
pub struct ConfigError {
    /// The field's name as it stands in a configuration file.
    pub field: &'static str,
    /// What it was set to.
    pub value: String,
    /// What it must be.
    pub requirement: String,
}

impl ConfigError {
    /// Checks one field.
    ///
    /// # Errors
    /// Names the field unless `holds`.
    pub fn require(
        holds: bool,
        field: &'static str,
        value: &dyn std::fmt::Display,
        requirement: &str,
    ) -> Result<(), Self> {
        if holds {
            return Ok(());
        }
        Err(Self { field, value: value.to_string(), requirement: requirement.to_owned() })
    }

    /// Checks a field that takes finite numbers from 0 on.
    ///
    /// # Errors
    /// Names the field if it has another number.
    pub(crate) fn require_not_negative(
        field: &'static str,
        value: impl Into<f64> + Copy + std::fmt::Display,
    ) -> Result<(), Self> {
        let number = value.into();
        let holds = number.is_finite() && number >= 0.0;
        Self::require(holds, field, &value, "must be a finite number >= 0")
    }
}

/// One search failed; others are not touched.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SearchError {
    /// The settings are unusable.
    #[error("search settings: {0}")]
    Config(#[from] ConfigError),
    /// The environment cannot pose the problem.
    #[error(transparent)]
    Problem(#[from] ProblemError),
    /// The evaluator failed, panicked, or broke its contract.
    #[error(transparent)]
    Evaluator(#[from] EvaluatorError),
    /// The environment could not take a step.
    #[error(transparent)]
    Step(#[from] StepError),
    /// The environment's reward is not one.
    #[error(
        "the environment rewards the answer {answer:?} with {reward}, which is outside [-1, 1]"
    )]
    Reward {
        /// The answer.
        answer: String,
        /// Its reward.
        reward: f64,
    },
    /// A tree cannot be searched further.
    #[error("the tree cannot be continued: node {tag}: {message}")]
    Record {
        /// Tag of the node that is at fault.
        tag: String,
        /// What is wrong with it.
        message: String,
    },
    /// The environment panicked, which it must not.
    #[error("the environment panicked: {0}")]
    Environment(String),
}
