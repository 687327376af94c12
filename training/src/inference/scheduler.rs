//! Continuous batching: every forward pass reads some new contexts and one more token of every sample under way. A
//! sample leaves when its step ends, and the next request takes its place.

use std::sync::{Arc, Mutex, PoisonError};

use espalier_search::{EvaluatorError, Request};
use rand_chacha::ChaCha8Rng;

use super::attention::{PromptRows, SampleRows};
use super::cache::{PromptCache, SampleCache};
use super::model::{Activations, Model, Pass};
use super::prefix::PrefixStore;
use super::sampling::{Distribution, Draw};
use crate::random::stream;

/// Samples under way at once. With more, their keys and values fall out of the processor's caches; with fewer, each
/// pass over the weights serves too few rows.
const SAMPLES: usize = 48;
/// Rows of new contexts in a pass.
const PROMPT_ROWS: usize = 96;
/// Distinguishes this use of a request's seed from others.
const PURPOSE: u64 = u64::from_le_bytes(*b"samples\0");

/// A request that can be computed.
pub(super) struct Job<'a> {
    pub request: &'a Request,
    pub tokens: Vec<u32>,
}

/// What a job came to.
pub(super) struct Answer {
    pub value: f64,
    /// Each step's tokens and the sum of their log-probabilities, in sampling order.
    pub steps: Vec<(Vec<u32>, f64)>,
}

/// What all calls share.
pub(super) struct Engine {
    pub model: Model,
    pub prefixes: Mutex<PrefixStore>,
    /// By token id: whether it ends a step.
    pub ends: Vec<bool>,
    pub max_step_tokens: usize,
}

/// Buffers of a call; reused from call to call.
#[derive(Default)]
pub(super) struct Workspace {
    activations: Activations,
    distribution: Distribution,
    caches: Vec<SampleCache>,
}

/// The samples of one job.
struct Group {
    job: usize,
    prompt: Arc<PromptCache>,
    /// Tokens that each sample has stored.
    stored: usize,
    samples: Vec<Sample>,
}

/// A step being written.
struct Sample {
    /// Which of the job's samples it is.
    number: usize,
    /// Which cache it uses.
    slot: usize,
    rng: ChaCha8Rng,
    tokens: Vec<u32>,
    log_prob: f64,
}

/// One call's progress.
pub(super) struct Scheduler<'a> {
    engine: &'a Engine,
    work: &'a mut Workspace,
    jobs: &'a [Job<'a>],
    /// The next job to be read.
    next: usize,
    groups: Vec<Group>,
    /// Caches that no sample uses.
    free: Vec<usize>,
    answers: Vec<Result<Answer, EvaluatorError>>,
}

impl<'a> Scheduler<'a> {
    /// Computes jobs; every answer is a function of its own job.
    pub fn run(
        engine: &'a Engine,
        work: &'a mut Workspace,
        jobs: &'a [Job<'a>],
    ) -> Vec<Result<Answer, EvaluatorError>> {
        let lost = |_| Err(EvaluatorError::Failed("the request was not answered".to_owned()));
        let answers = (0..jobs.len()).map(lost).collect();
        let free = (0..work.caches.len()).collect();
        let groups = Vec::new();
        let mut scheduler = Self { engine, work, jobs, next: 0, groups, free, answers };
        while scheduler.next < jobs.len() || !scheduler.groups.is_empty() {
            scheduler.pass();
        }
        scheduler.answers
    }

    /// One forward pass and what follows from it.
    fn pass(&mut self) {
        let first = self.next;
        let prompts = self.admit();
        let model = &self.engine.model;
        let mut pass = Pass {
            tokens: Vec::new(),
            positions: Vec::new(),
            prompts,
            groups: Vec::new(),
            slots: Vec::new(),
            caches: &mut self.work.caches,
        };
        for (prompt, job) in pass.prompts.iter().zip(&self.jobs[first..]) {
            pass.tokens.extend_from_slice(&job.tokens[prompt.reused..]);
            pass.positions.extend(prompt.reused..job.tokens.len());
        }
        for group in &self.groups {
            let (length, stored) = (self.jobs[group.job].tokens.len(), group.stored);
            let start = pass.slots.len();
            for sample in &group.samples {
                pass.tokens.extend(sample.tokens.last());
                pass.positions.push(length + stored);
                pass.slots.push(sample.slot);
            }
            let rows = start..pass.slots.len();
            pass.groups.push(SampleRows { rows, prompt: &group.prompt, length, stored });
        }
        let samples_wanted = |job: &Job<'_>| job.request.samples > 0;
        let draws =
            !self.groups.is_empty() || self.jobs[first..self.next].iter().any(samples_wanted);
        model.forward(&mut self.work.activations, &mut pass);
        let prompts = std::mem::take(&mut pass.prompts);
        if draws {
            model.logits(&mut self.work.activations);
        }
        self.advance(prompts.len());
        for (row, prompt) in prompts.into_iter().enumerate() {
            self.start(row, first + row, prompt.cache);
        }
        self.retire();
    }

    /// Takes the next jobs that there is room for, at least one when nothing is under way.
    fn admit(&mut self) -> Vec<PromptRows> {
        let mut prompts: Vec<PromptRows> = Vec::new();
        let mut samples: usize = self.groups.iter().map(|group| group.samples.len()).sum();
        let mut rows = 0;
        while let Some(Job { request, tokens }) = self.jobs.get(self.next) {
            let (cache, reused) = self.prompt_cache(tokens);
            let needed = tokens.len() - reused;
            let fits = rows + needed <= PROMPT_ROWS && samples + request.samples <= SAMPLES;
            if !fits && (rows > 0 || samples > 0) {
                break;
            }
            prompts.push(PromptRows { rows: rows..rows + needed, reused, cache });
            rows += needed;
            samples += request.samples;
            self.next += 1;
        }
        prompts
    }

    /// A cache for a context, with the positions that were read before. The last is always read again: its state is
    /// what the answer is made from.
    fn prompt_cache(&self, tokens: &[u32]) -> (PromptCache, usize) {
        let shape = self.engine.model.shape.cache;
        let found = self.prefixes().longest(tokens);
        match found {
            Some((prefix, length)) => {
                let reused = length.min(tokens.len() - 1);
                (PromptCache::continued(shape, tokens.len(), (&prefix, reused)), reused)
            }
            None => (PromptCache::new(shape, tokens.len()), 0),
        }
    }

    /// The store, also after a thread panicked with it: it is valid between any two of its operations.
    fn prefixes(&self) -> std::sync::MutexGuard<'_, PrefixStore> {
        self.engine.prefixes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Draws the next token of every sample. Their rows follow `first` rows of contexts.
    fn advance(&mut self, first: usize) {
        let Workspace { activations, distribution, .. } = &mut *self.work;
        let model = &self.engine.model;
        let mut row = first;
        for group in &mut self.groups {
            group.stored += 1;
            for sample in &mut group.samples {
                let logits = activations.logits(model, row);
                row += 1;
                let temperature = self.jobs[group.job].request.temperature;
                if distribution.read(model.arch, logits, temperature).is_none() {
                    self.answers[group.job] = Err(not_finite());
                    continue;
                }
                let Draw { token, log_prob } = distribution.draw(logits, &mut sample.rng);
                sample.tokens.push(token);
                sample.log_prob += log_prob;
            }
        }
    }

    /// Notes the value of a context that was read, as row `row` of the pass, and starts its samples.
    fn start(&mut self, row: usize, job: usize, cache: PromptCache) {
        let Job { request, tokens } = &self.jobs[job];
        let model = &self.engine.model;
        let prompt = Arc::new(cache);
        self.prefixes().insert(tokens, &prompt);
        let Workspace { activations, distribution, caches } = &mut *self.work;
        let value = f64::from(model.value(activations, row));
        if !value.is_finite() {
            self.answers[job] = Err(not_finite());
            return;
        }
        let steps = vec![(Vec::new(), 0.0); request.samples];
        self.answers[job] = Ok(Answer { value, steps });
        if request.samples == 0 {
            return;
        }
        let logits = activations.logits(model, row);
        if distribution.read(model.arch, logits, request.temperature).is_none() {
            self.answers[job] = Err(not_finite());
            return;
        }
        let samples = (0..request.samples).map(|number| {
            let mut rng = stream(request.seed, [PURPOSE, number as u64]);
            let Draw { token, log_prob } = distribution.draw(logits, &mut rng);
            let slot = self.free.pop().unwrap_or_else(|| {
                caches.push(SampleCache::default());
                caches.len() - 1
            });
            caches[slot].reset(model.shape.cache, self.engine.max_step_tokens);
            Sample { number, slot, rng, tokens: vec![token], log_prob }
        });
        let samples = samples.collect();
        self.groups.push(Group { job, prompt, stored: 0, samples });
    }

    /// Hands in the steps that have ended and frees their caches.
    fn retire(&mut self) {
        let Self { engine, groups, free, answers, .. } = self;
        for group in &mut *groups {
            let answer = &mut answers[group.job];
            let ended = |sample: &Sample| {
                let last = sample.tokens.last();
                last.is_none_or(|&token| engine.ends[token as usize])
                    || sample.tokens.len() >= engine.max_step_tokens
            };
            let failed = answer.is_err();
            for sample in group.samples.extract_if(.., |sample| failed || ended(sample)) {
                free.push(sample.slot);
                if let Ok(answer) = answer {
                    answer.steps[sample.number] = (sample.tokens, sample.log_prob);
                }
            }
        }
        groups.retain(|group| !group.samples.is_empty());
    }
}

fn not_finite() -> EvaluatorError {
    EvaluatorError::Failed("the net's output is not finite".to_owned())
}
