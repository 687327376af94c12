//! Who values the states of a served policy.

use espalier_search::{Cancel, Evaluator, EvaluatorError, Request};
use espalier_training::LocalEvaluator;

use super::pooling::RewardModel;
use crate::policy::config::PoolingRecipe;
use crate::policy::error::PolicyError;

/// Where values come from.
pub enum ValueSource {
    /// Nowhere: every value is 0.
    Zero,
    /// The value head of a local net.
    Net(Box<LocalEvaluator>),
    /// A reward model behind a server.
    Reward(Box<RewardModel>),
}

impl ValueSource {
    /// A reward model.
    ///
    /// # Errors
    /// When the API key's variable is not set.
    pub fn pooling(recipe: &PoolingRecipe) -> Result<Self, PolicyError> {
        Ok(Self::Reward(Box::new(RewardModel::new(recipe)?)))
    }

    /// Whether there is anything to ask.
    pub(super) fn asks(&self) -> bool {
        !matches!(self, Self::Zero)
    }

    /// The value of a state, in [-1, 1].
    pub(super) fn value(&self, context: &str, cancel: &Cancel) -> Result<f64, EvaluatorError> {
        match self {
            Self::Zero => Ok(0.0),
            Self::Reward(model) => model.value(context, cancel),
            Self::Net(net) => match net.evaluate(&[Request::value(context.into())], cancel).pop() {
                Some(answer) => Ok(answer?.value),
                None => Err(EvaluatorError::Failed("the value net did not answer".to_owned())),
            },
        }
    }
}
