//! Who values states, where that is not the head of the net that writes the steps.

use espalier_model::checkpoint::Source;
use espalier_search::{Cancel, Evaluator, EvaluatorError, Request};
use espalier_training::LocalEvaluator;
use serde_json::{Value, json};

use super::config::ValueRecipe;
use super::error::PolicyError;
use super::local::{LocalRecipe, load_net};
use super::prm::Prm;
#[cfg(feature = "served")]
use super::served::RewardModel;
use crate::compute::ComputeRecipe;
use crate::environment::AnyEnvironment;

/// Where values come from.
pub enum ValueSource {
    /// Nowhere: every value is 0.
    Zero,
    /// The value head of a local net.
    Net(Box<LocalEvaluator>),
    /// A process reward model.
    Prm(Box<Prm>),
    /// A reward model behind a server.
    #[cfg(feature = "served")]
    Reward(Box<RewardModel>),
}

impl ValueSource {
    /// What `[policy.value]` describes, for an environment's states, and what its values depend on. `checkpoint` goes before a value
    /// net's own path.
    ///
    /// # Errors
    /// When something that it names cannot be read.
    pub(super) fn load(
        recipe: &ValueRecipe,
        environment: &AnyEnvironment,
        compute: &ComputeRecipe,
        checkpoint: Option<Source<'_>>,
    ) -> Result<(Self, Value), PolicyError> {
        match recipe {
            ValueRecipe::Own(_) | ValueRecipe::None(_) => Ok((Self::Zero, json!(null))),
            ValueRecipe::Checkpoint(own) => {
                let Some(net) = checkpoint.or(own.path.as_ref().map(Source::from)) else {
                    return Err(PolicyError::Usage(
                        "[policy] value.kind = \"checkpoint\" needs value.path or --checkpoint DIR"
                            .to_owned(),
                    ));
                };
                let config = LocalRecipe::default().inference(compute, environment.stops());
                let net = load_net(net, config)?;
                let identity = json!({ "checkpoint": net.fingerprint() });
                Ok((Self::Net(Box::new(net)), identity))
            }
            ValueRecipe::Prm(prm) => {
                let environment = environment.clone();
                let split = move |context: &str| environment.written(context);
                let (prm, identity) = prm.load(Box::new(split), compute)?;
                Ok((Self::Prm(Box::new(prm)), json!({ "prm": identity })))
            }
            #[cfg(feature = "served")]
            ValueRecipe::Pooling(pooling) => {
                let super::config::PoolingRecipe { url, model, task, mapping, suffix, http: _ } =
                    &**pooling;
                let identity = json!({ "url": url, "model": model, "task": task, "mapping": mapping, "suffix": suffix });
                Ok((Self::pooling(pooling)?, identity))
            }
            #[cfg(not(feature = "served"))]
            ValueRecipe::Pooling(_) => Err(PolicyError::Usage(
                "[policy] value.kind = \"pooling\" needs a program that was built with the feature `served`".to_owned(),
            )),
        }
    }

    /// A reward model behind a server.
    ///
    /// # Errors
    /// When the API key's variable is not set.
    #[cfg(feature = "served")]
    pub fn pooling(recipe: &super::config::PoolingRecipe) -> Result<Self, PolicyError> {
        Ok(Self::Reward(Box::new(RewardModel::new(recipe)?)))
    }

    /// Whether there is anything to ask.
    #[cfg(feature = "served")]
    pub(super) fn asks(&self) -> bool {
        !matches!(self, Self::Zero)
    }

    /// The value of a state, in [-1, 1].
    #[cfg(feature = "served")]
    pub(super) fn value(&self, context: &str, cancel: &Cancel) -> Result<f64, EvaluatorError> {
        let missing = || EvaluatorError::Failed("no value came".to_owned());
        self.values(&[context], cancel).pop().unwrap_or_else(|| Err(missing()))
    }

    /// See [`Evaluator::tokens_read`].
    pub(super) fn tokens_read(&self) -> Option<u64> {
        match self {
            Self::Zero => Some(0),
            Self::Net(net) => net.tokens_read(),
            Self::Prm(prm) => prm.tokens_read(),
            #[cfg(feature = "served")]
            Self::Reward(model) => model.tokens_read(),
        }
    }

    /// The values of states, in [-1, 1].
    pub(super) fn values(
        &self,
        contexts: &[&str],
        cancel: &Cancel,
    ) -> Vec<Result<f64, EvaluatorError>> {
        let net: &dyn Evaluator = match self {
            Self::Zero => return contexts.iter().map(|_| Ok(0.0)).collect(),
            #[cfg(feature = "served")]
            Self::Reward(model) => {
                return contexts.iter().map(|context| model.value(context, cancel)).collect();
            }
            Self::Net(net) => &**net,
            Self::Prm(prm) => &**prm,
        };
        let requests: Vec<Request> =
            contexts.iter().map(|context| Request::value((*context).into())).collect();
        let answers = net.evaluate(&requests, cancel);
        answers.into_iter().map(|answer| answer.map(|evaluation| evaluation.value)).collect()
    }
}
