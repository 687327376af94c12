//! A policy behind an OpenAI-compatible server, and the reward models that value its states.

pub mod answers;
mod backoff;
mod chat;
mod completions;
mod context_limit;
mod error;
mod finish;
mod gate;
pub(super) mod http;
mod log_probs;
pub(super) mod pooling;
mod prompt_tokens;
mod refusal;
mod step;
mod wire;

pub use completions::CompletionsEvaluator;
pub use pooling::RewardModel;

use espalier_model::checkpoint::Source;
use espalier_search::ConfigError;
use serde_json::json;

use crate::compute::ComputeRecipe;
use crate::environment::AnyEnvironment;
use crate::policy::config::{CompletionsRecipe, ValueRecipe};
use crate::policy::error::PolicyError;
use crate::policy::kind::{Backend, Policy, PolicyKind, identity};
use crate::policy::value::ValueSource;

impl Backend for CompletionsEvaluator {}

impl PolicyKind for CompletionsRecipe {
    fn validate(&self) -> Result<(), ConfigError> {
        self.check()
    }

    fn load(
        &self,
        environment: &AnyEnvironment,
        compute: &ComputeRecipe,
        checkpoint: Option<Source<'_>>,
    ) -> Result<Policy, PolicyError> {
        if checkpoint.is_some() && !matches!(self.value, ValueRecipe::Checkpoint(_)) {
            return Err(PolicyError::Usage(
                "--checkpoint: the recipe's policy is served; a local net can value its states with [policy] value.kind = \"checkpoint\""
                    .to_owned(),
            ));
        }
        let (value, values) = ValueSource::load(&self.value, environment, compute, checkpoint)?;
        let stop = environment.stops();
        let Self {
            url,
            model,
            preamble,
            max_tokens,
            stop: own_stop,
            top_p,
            top_k,
            min_p,
            samples_per_request,
            chat,
            value: _,
            http: _,
        } = self;
        let mut settings = json!({
            "url": url,
            "model": model,
            "preamble": preamble,
            "max_tokens": max_tokens,
            "stop": if own_stop.is_empty() { &stop } else { own_stop },
            "top_p": top_p,
            "top_k": top_k,
            "min_p": min_p,
            "samples_per_request": samples_per_request,
            "values": values,
        });
        if let Some(chat) = chat {
            settings["chat"] = json!(chat);
        }
        let fingerprint = identity(&settings)?;
        let source = format!("{model} at {url} ({fingerprint})");
        let environment = environment.clone();
        let split = move |context: &str| {
            let (question, steps) = environment.split_context(context)?;
            Ok((question.to_owned(), steps.to_owned()))
        };
        let server = CompletionsEvaluator::new(self, &stop, value)?.chatting(Box::new(split))?;
        Ok(Policy::new(server, fingerprint, source))
    }

    fn draws_without_replacement(&self) -> bool {
        false
    }

    fn value(&self) -> Option<&ValueRecipe> {
        Some(&self.value)
    }

    fn untrainable(&self) -> Option<&'static str> {
        Some(
            "[policy] kind = \"completions\": a run trains its policy in every round, and a served one cannot be trained here. \
             Use `espalier search`, `harvest` and `evaluate`; `harvest --stepwise` writes the labels for a trainer elsewhere",
        )
    }
}
