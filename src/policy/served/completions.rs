//! An evaluator over an OpenAI-compatible server's `POST /v1/completions`.

use std::convert::Infallible;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use espalier_search::{
    Cancel, Evaluation, Evaluator, EvaluatorError, Request, derive_seed, for_each_index,
};

use super::chat::{Chat, SplitContext};
use super::http::Client;
use super::step::{Step, proposals};
use super::wire::{Ask, CompletionRequest, read_completion};
use crate::policy::config::CompletionsRecipe;
use crate::policy::error::PolicyError;
use crate::policy::value::ValueSource;

/// A served policy. Calls block until every request is answered or the call is cancelled; the requests of one call are sent side
/// by side, and at most [`crate::policy::HttpConfig::max_in_flight`] of all calls are on their way at once.
///
/// A request's samples depend on its context, settings and seed alone, as far as the server keeps its word: llama.cpp and vLLM
/// repeat a seed's samples as long as their batches give the same rounding.
pub struct CompletionsEvaluator {
    client: Client,
    recipe: CompletionsRecipe,
    stop: Vec<String>,
    value: ValueSource,
    /// Where conversations are continued and not texts.
    chat: Option<Chat>,
    /// Whether the user knows that the server reports no token ids.
    told_of_ids: AtomicBool,
    /// Whether the user knows that log-probabilities of the server are not those of its tokens.
    told_of_log_probs: AtomicBool,
}

/// What is asked of a server at once.
enum Job<'a> {
    /// `n` samples; `part` tells the requests apart into which many samples are cut up.
    Steps {
        request: &'a Request,
        part: usize,
        n: usize,
    },
    Value {
        request: &'a Request,
    },
}

#[derive(Clone)]
enum Answer {
    Steps(Vec<Step>),
    Value(f64),
}

type Answered = Result<Answer, EvaluatorError>;

impl CompletionsEvaluator {
    /// `stop` ends steps where the recipe names nothing that does.
    ///
    /// # Errors
    /// When the API key's variable is not set.
    pub fn new(
        recipe: &CompletionsRecipe,
        stop: &[String],
        value: ValueSource,
    ) -> Result<Self, PolicyError> {
        let client = Client::new(&recipe.url, &recipe.http)?;
        let stop = if recipe.stop.is_empty() { stop } else { &recipe.stop };
        Ok(Self {
            client,
            recipe: recipe.clone(),
            stop: stop.to_vec(),
            value,
            chat: None,
            told_of_ids: AtomicBool::new(false),
            told_of_log_probs: AtomicBool::new(false),
        })
    }

    /// The same over a chat server, which must continue a message: it is asked so here.
    ///
    /// # Errors
    /// When it does not.
    pub fn chatting(mut self, split: SplitContext) -> Result<Self, PolicyError> {
        if let Some(recipe) = &self.recipe.chat {
            self.chat = Some(Chat::probe(recipe, split, &self.client, &self.recipe.model)?);
        }
        Ok(self)
    }

    /// What must be asked to answer a request.
    fn jobs<'a>(&self, request: &'a Request) -> Vec<Job<'a>> {
        // Equal greedy samples are asked for once; vLLM refuses more.
        let samples = if request.temperature == 0.0 { 1 } else { usize::MAX };
        let samples = request.samples.min(samples);
        let most = match self.recipe.samples_per_request {
            0 => samples.max(1),
            most => most,
        };
        let mut jobs: Vec<Job<'a>> = (0..samples.div_ceil(most))
            .map(|part| Job::Steps { request, part, n: most.min(samples - part * most) })
            .collect();
        if self.value.asks() {
            jobs.push(Job::Value { request });
        }
        jobs
    }

    fn run(&self, job: &Job<'_>, cancel: &Cancel) -> Answered {
        match job {
            Job::Steps { request, part, n } => {
                self.steps(request, *part, *n, cancel).map(Answer::Steps)
            }
            Job::Value { request } => self.value.value(&request.context, cancel).map(Answer::Value),
        }
    }

    fn steps(
        &self,
        request: &Request,
        part: usize,
        n: usize,
        cancel: &Cancel,
    ) -> Result<Vec<Step>, EvaluatorError> {
        if !(request.temperature.is_finite() && request.temperature >= 0.0) {
            let message = format!("temperature {} is not a number >= 0", request.temperature);
            return Err(EvaluatorError::Failed(message));
        }
        if request.without_replacement {
            let message = "a server draws each step by itself: without_replacement must be false";
            return Err(EvaluatorError::Failed(message.to_owned()));
        }
        let seed = derive_seed(request.seed, part as u64);
        let text = [&self.recipe.preamble, &*request.context].concat();
        let (ask, begun) = match &self.chat {
            None => (Ask::Text { prompt: &text, logprobs: 1 }, String::new()),
            Some(chat) => {
                let (conversation, begun) =
                    chat.ask(&request.context).map_err(EvaluatorError::Failed)?;
                (Ask::Chat { conversation, logprobs: true, top_logprobs: 1 }, begun)
            }
        };
        let new = |text: &str| match &self.chat {
            Some(chat) => chat.continuation(text, &begun).to_owned(),
            None => text.to_owned(),
        };
        let body = CompletionRequest {
            model: &self.recipe.model,
            ask,
            n,
            max_tokens: self.recipe.max_tokens,
            stop: &self.stop,
            // Both servers give sample i the seed + i, and llama.cpp reads 32 bits, of which all ones mean "any".
            seed: seed >> 33,
            temperature: request.temperature,
            top_p: self.recipe.top_p,
            top_k: self.recipe.top_k,
            min_p: self.recipe.min_p,
            return_token_ids: request.keep_tokens,
        };
        let keep = request.keep_tokens;
        let steps = self
            .client
            .post(&body, seed, cancel, |answer| read_completion(answer, n, &self.stop, keep, new))
            .map_err(|error| error.of_samples(n))?;
        self.tell(&steps, keep);
        Ok(steps)
    }

    /// Warns once of each thing that a server does not report.
    fn tell(&self, steps: &[Step], keep_tokens: bool) {
        let url = &self.recipe.url;
        // Relaxed: flags that announce nothing but themselves.
        let first = |told: &AtomicBool| !told.swap(true, Ordering::Relaxed);
        if let Some(mismatch) = steps.iter().find_map(|step| step.mismatch)
            && first(&self.told_of_log_probs)
        {
            tracing::warn!(
                "{url} reports for a step {mismatch}: they are not the step's own and are not used. The prior of such a step is its \
                 share of the samples (told once)"
            );
        }
        let without = |step: &Step| step.sampled.is_none();
        if keep_tokens && steps.iter().any(without) && first(&self.told_of_ids) {
            tracing::warn!(
                "{url} does not report the ids of all tokens that it samples: steps are kept without tokens (vLLM reports them)"
            );
        }
    }

    /// The answer to a request from those to its jobs, in their order.
    fn evaluation(
        request: &Request,
        answers: impl Iterator<Item = Answered>,
    ) -> Result<Evaluation, EvaluatorError> {
        let (mut sampled, mut value) = (Vec::new(), 0.0);
        for answer in answers {
            match answer? {
                Answer::Steps(steps) => sampled.extend(steps),
                Answer::Value(number) => value = number,
            }
        }
        let mut evaluation = Evaluation { proposals: proposals(sampled), value };
        if let [only] = evaluation.proposals.as_slice() {
            // Greedy: all samples are this one.
            evaluation.proposals = vec![only.clone(); request.samples];
        }
        Ok(evaluation)
    }
}

impl Evaluator for CompletionsEvaluator {
    fn evaluate(
        &self,
        requests: &[Request],
        cancel: &Cancel,
    ) -> Vec<Result<Evaluation, EvaluatorError>> {
        let jobs: Vec<Vec<Job<'_>>> = requests.iter().map(|request| self.jobs(request)).collect();
        let flat: Vec<&Job<'_>> = jobs.iter().flatten().collect();
        let answers: Vec<OnceLock<Answered>> = flat.iter().map(|_| OnceLock::new()).collect();
        let send = |index: usize| {
            _ = answers[index].set(self.run(flat[index], cancel));
            Ok::<(), Infallible>(())
        };
        let (side_by_side, sending) = (self.client.max_in_flight(), cancel.child(None));
        let Ok(()) = for_each_index(flat.len(), side_by_side, &sending, send);
        // Only what is cancelled is not sent.
        let unanswered = || Err(EvaluatorError::Cancelled);
        let mut answers =
            answers.into_iter().map(|answer| answer.into_inner().unwrap_or_else(unanswered));
        requests
            .iter()
            .zip(&jobs)
            .map(|(request, jobs)| {
                let own: Vec<Answered> = answers.by_ref().take(jobs.len()).collect();
                Self::evaluation(request, own.into_iter())
            })
            .collect()
    }

    fn tokens_read(&self) -> Option<u64> {
        Some(self.client.tokens_read()? + self.value.tokens_read()?)
    }
}
