//! Batched inference on the CPU, without libtorch.
//!
//! A request's answer is a function of the request alone: not of the batch that it is in, of the thread, or of what
//! was asked before. That holds bit for bit, because no operation mixes rows of different requests and each sums in
//! an order that does not depend on how many rows there are. So the scheduler is free to batch as it likes.

mod attention;
mod cache;
mod elementwise;
mod kernel;
mod linear;
mod model;
mod prefix;
mod sampling;
mod scheduler;

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use espalier_search::{Evaluation, Evaluator, EvaluatorError, Proposal, Request};
use serde::{Deserialize, Serialize};

use crate::{Checkpoint, Error, Result, Tokenizer};
use model::Model;
use prefix::PrefixStore;
use scheduler::{Answer, Engine, Job, Scheduler, Workspace};

/// Settings of sampling.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct InferenceConfig {
    /// Longest step in tokens, the stop included; a step that has not ended by then is cut off.
    pub max_step_tokens: usize,
    /// The characters that end a step when the policy writes them.
    pub stops: Vec<char>,
    /// Memory in MiB for keys and values of contexts that were read lately; a context that continues one of them is
    /// read from there on. Answers do not depend on it.
    pub prefix_cache_megabytes: usize,
}

impl Default for InferenceConfig {
    fn default() -> Self {
        Self { max_step_tokens: 24, stops: vec!['\n'], prefix_cache_megabytes: 256 }
    }
}

/// A policy-value net on the CPU. Each call uses the calling thread alone; any number of threads may call.
pub struct LocalEvaluator {
    engine: Engine,
    tokenizer: Tokenizer,
    stops: Vec<char>,
    fingerprint: String,
    /// Workspaces that no call is using.
    idle: Mutex<Vec<Workspace>>,
}

impl LocalEvaluator {
    /// Reads a checkpoint folder.
    ///
    /// # Errors
    /// As [`Checkpoint::load`], and when a setting is out of range.
    pub fn load(dir: &Path, config: InferenceConfig) -> Result<Self> {
        Self::new(&Checkpoint::load(dir)?, config)
    }

    /// Prepares a checkpoint for inference.
    ///
    /// # Errors
    /// [`Error::Setting`] when a setting is out of range, or no token contains one of the stops.
    pub fn new(checkpoint: &Checkpoint, config: InferenceConfig) -> Result<Self> {
        let InferenceConfig { max_step_tokens, stops, prefix_cache_megabytes } = config;
        let limit = checkpoint.config.max_position_embeddings;
        if !(1..limit).contains(&max_step_tokens) {
            let message = format!(
                "must be at least 1 and below the model's {limit} positions, is {max_step_tokens}"
            );
            return Err(Error::Setting { field: "max_step_tokens", message });
        }
        let tokenizer = checkpoint.tokenizer.clone();
        let eos = &checkpoint.config.eos_token_id;
        let delimits = |id: u32| tokenizer.decode(&[id]).contains(stops.as_slice());
        let ids = 0..checkpoint.config.vocab_size as u32;
        if !ids.clone().any(delimits) {
            let message = format!("the tokenizer has no token with one of {stops:?}");
            return Err(Error::Setting { field: "stops", message });
        }
        let ends = ids.map(|id| delimits(id) || eos.contains(&id) || !tokenizer.has_text(id));
        let engine = Engine {
            ends: ends.collect(),
            model: Model::new(checkpoint),
            prefixes: Mutex::new(PrefixStore::new(prefix_cache_megabytes << 20)),
            max_step_tokens,
        };
        let fingerprint = checkpoint.fingerprint()?;
        Ok(Self { engine, tokenizer, stops, fingerprint, idle: Mutex::default() })
    }

    /// [`Checkpoint::fingerprint`] of the net.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// The tokens of a request's context, if it can be read.
    fn tokens(&self, request: &Request) -> Result<Vec<u32>, EvaluatorError> {
        let failed = |message: String| EvaluatorError::Failed(message);
        let tokens = self.tokenizer.encode(&request.context).map_err(|e| failed(e.to_string()))?;
        if tokens.is_empty() {
            return Err(failed("the context is empty".to_owned()));
        }
        if !(request.temperature.is_finite() && request.temperature >= 0.0) {
            let message = format!("temperature {} is not a number >= 0", request.temperature);
            return Err(failed(message));
        }
        let step = if request.samples > 0 { self.engine.max_step_tokens } else { 0 };
        let (needed, limit) = (tokens.len() + step, self.engine.model.max_length);
        if needed > limit {
            return Err(EvaluatorError::ContextTooLong { tokens: needed, limit });
        }
        Ok(tokens)
    }

    fn evaluation(&self, Answer { value, steps }: Answer) -> Evaluation {
        let proposals = steps.into_iter().map(|(tokens, log_prob)| Proposal {
            action: self.action(&tokens),
            log_prob,
            tokens: tokens.len(),
        });
        Evaluation { proposals: proposals.collect(), value }
    }

    /// The text of a step's tokens, without the stop and what follows it in the same token.
    fn action(&self, tokens: &[u32]) -> String {
        let mut text = self.tokenizer.decode(tokens);
        if let Some(end) = text.find(self.stops.as_slice()) {
            text.truncate(end);
        }
        text
    }
}

impl Evaluator for LocalEvaluator {
    fn evaluate(&self, requests: &[Request]) -> Vec<Result<Evaluation, EvaluatorError>> {
        let mut jobs = Vec::new();
        // `None` marks the place of a job.
        let mut results: Vec<Option<Result<Evaluation, EvaluatorError>>> = Vec::new();
        for request in requests {
            results.push(match self.tokens(request) {
                Ok(tokens) => {
                    jobs.push(Job { request, tokens });
                    None
                }
                Err(error) => Some(Err(error)),
            });
        }
        // A workspace holds no state between calls, so one from before a panic elsewhere is as good as any.
        let idle = || self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let mut work = idle().pop().unwrap_or_default();
        let mut answers = Scheduler::run(&self.engine, &mut work, &jobs).into_iter();
        idle().push(work);
        let mut next = || match answers.next() {
            Some(answer) => answer.map(|answer| self.evaluation(answer)),
            None => Err(EvaluatorError::Failed("the request was not answered".to_owned())),
        };
        results.into_iter().map(|done| done.unwrap_or_else(&mut next)).collect()
    }
}
