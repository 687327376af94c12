//! The local evaluator: the search's requests, answered by a net of one's own.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use crossbeam::channel::{Receiver, SendTimeoutError, Sender, TryRecvError, bounded};
use crossbeam::sync::Parker;
use espalier_model::checkpoint::{Checkpoint, Source};
use espalier_model::device::Device;
use espalier_model::error::{Error, Result};
use espalier_model::head::Head;
use espalier_search::{
    Cancel, Evaluation, Evaluator, EvaluatorError, Proposal, Request, SampledTokens,
};

use super::backend::Backend;
use super::config::{InferenceConfig, resolve_threads};
use super::engine::Engine;
use super::job::{Answer, Job, Reply, Step};
use super::metrics::{InferenceStats, Meter, add};
use super::scheduler::Scheduler;
use super::team::Team;

/// Requests of one call that may be on their way at a time, or as many as there are slots, so that a call that asks for
/// much does not hold up others.
const WINDOW: usize = 64;

/// A policy-value net, with threads of its own. Any number of threads may ask.
pub struct LocalEvaluator {
    pub(super) engine: Arc<Engine>,
    /// Taken when the evaluator is dropped.
    jobs: Option<Sender<Job>>,
    threads: Vec<JoinHandle<()>>,
    max_step_tokens: usize,
    /// Rows of the embedding.
    vocabulary: usize,
    fingerprint: String,
}

/// What the net says of a given text.
#[derive(Debug, Clone, PartialEq)]
pub struct Score {
    /// Log-probability at temperature 1 of each token of the text after what comes before it; each <= 0.
    pub log_probs: Vec<f64>,
    /// The value of the state after the text, in [-1, 1].
    pub value: f64,
}

/// What is asked of the scheduler: the request, its tokens, and how many of the last are scored.
type Task = Result<(Request, Vec<u32>, usize), EvaluatorError>;

impl LocalEvaluator {
    /// Reads a checkpoint folder.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn load(dir: &Path, config: InferenceConfig) -> Result<Self> {
        Self::open(dir.into(), config)
    }

    /// Reads a net, wherever it is.
    ///
    /// # Errors
    /// As [`Checkpoint::open`], and when a setting is out of range or the device is not there.
    pub fn open(source: Source<'_>, config: InferenceConfig) -> Result<Self> {
        Self::check_device(&config)?;
        Self::new(&Checkpoint::open(source)?, config)
    }

    /// Checks that the device is there and computes what is asked for: known at once, where a large checkpoint takes its time.
    ///
    /// # Errors
    /// [`Error::Setting`] when it is not or does not.
    pub fn check_device(config: &InferenceConfig) -> Result<()> {
        config.check_device(config.device == Device::Cpu)?;
        Backend::check(config.device)
    }

    /// Prepares a checkpoint for inference and starts the threads.
    ///
    /// # Errors
    /// [`Error::Setting`] when a setting is out of range, no token contains one of the stops, or the device is not there;
    /// [`Error::Torch`] when the device has no room for the weights.
    pub fn new(checkpoint: &Checkpoint, config: InferenceConfig) -> Result<Self> {
        Self::read_by(Head::of_value(&checkpoint.parameters), checkpoint, config)
    }

    /// As [`Self::new`], with values that another head reads: a reward model's.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn read_by(head: Head, checkpoint: &Checkpoint, config: InferenceConfig) -> Result<Self> {
        config.check_device(config.device == Device::Cpu)?;
        let model = match config.device {
            Device::Cpu => Backend::host(checkpoint, config.weights),
            #[cfg(feature = "torch")]
            Device::Cuda(_) => Backend::torch(checkpoint, &config)?,
            #[cfg(not(feature = "torch"))]
            Device::Cuda(_) => return Err(Backend::no_torch(config.device)),
        };
        Self::with(model, checkpoint, head, config)
    }

    /// As [`Self::new`], over libtorch on the CPU too: the engine of other devices, to be compared with that of the CPU.
    ///
    /// # Errors
    /// As [`Self::new`].
    #[cfg(feature = "torch")]
    pub fn over_libtorch(checkpoint: &Checkpoint, config: InferenceConfig) -> Result<Self> {
        config.check_device(false)?;
        let head = Head::of_value(&checkpoint.parameters);
        Self::with(Backend::torch(checkpoint, &config)?, checkpoint, head, config)
    }

    #[expect(clippy::needless_pass_by_value, reason = "settings are handed over")]
    fn with(
        model: Backend,
        checkpoint: &Checkpoint,
        head: Head,
        config: InferenceConfig,
    ) -> Result<Self> {
        config.validate(checkpoint.config.max_length())?;
        let (schedulers, width) = model.schedulers(resolve_threads(config.threads));
        let engine = Arc::new(Engine::new(model, checkpoint, head, &config)?);
        let (sender, receiver) = bounded(config.queue);
        let mut evaluator = Self {
            engine,
            jobs: Some(sender),
            threads: Vec::new(),
            max_step_tokens: config.max_step_tokens,
            vocabulary: checkpoint.config.vocab_size,
            fingerprint: checkpoint.fingerprint()?,
        };
        for index in 0..schedulers {
            let team = Team::new(width)?;
            let (engine, jobs) = (Arc::clone(&evaluator.engine), receiver.clone());
            let thread = std::thread::Builder::new().name(format!("scheduler-{index}"));
            let thread = thread.spawn(move || serve(&engine, &team, &jobs));
            let refused = |error| Error::Setting {
                field: "threads",
                message: format!("a thread cannot be started: {error}"),
            };
            evaluator.threads.push(thread.map_err(refused)?);
        }
        Ok(evaluator)
    }

    /// [`Checkpoint::fingerprint`] of the net.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// What was done so far.
    #[must_use]
    pub fn stats(&self) -> InferenceStats {
        self.engine.stats(self.threads.len())
    }

    /// Tells the same as [`Self::stats`], from anywhere.
    #[must_use]
    pub fn meter(&self) -> Meter {
        let (engine, threads) = (Arc::downgrade(&self.engine), self.threads.len());
        Box::new(move || Some(engine.upgrade()?.stats(threads)))
    }

    /// Forgets what was read and written so far, but not its memory, which serves what comes next.
    pub fn forget(&self) {
        self.engine.forget();
    }

    /// The tokens of a request's context, if it can be read.
    fn tokens(&self, request: &Request) -> Result<Vec<u32>, EvaluatorError> {
        let failed = |message: String| EvaluatorError::Failed(message);
        let start = Instant::now();
        let tokens = self.engine.tokenizer.encode(&request.context);
        add(&self.engine.counters.tokenize_nanos, start.elapsed().as_nanos() as u64);
        let tokens = tokens.map_err(|e| failed(e.to_string()))?;
        if tokens.is_empty() {
            return Err(failed("the context is empty".to_owned()));
        }
        if !(request.temperature.is_finite() && request.temperature >= 0.0) {
            let message = format!("temperature {} is not a number >= 0", request.temperature);
            return Err(failed(message));
        }
        if request.without_replacement && request.temperature == 0.0 {
            return Err(failed("no step differs at temperature 0".to_owned()));
        }
        let step = if request.samples > 0 { self.max_step_tokens } else { 0 };
        let (needed, limit) = (tokens.len() + step, self.engine.model.max_length());
        if needed > limit {
            return Err(EvaluatorError::ContextTooLong { tokens: needed, limit });
        }
        Ok(tokens)
    }

    /// Reads given texts as if they had been sampled after their contexts, all tokens of one in a single pass (teacher
    /// forcing). The tokens are those of context and text as one; where the context's last token grows into the text, it
    /// is scored with it.
    ///
    /// The outer vector has a result for each `(context, text)`, in order.
    pub fn score(&self, texts: &[(&str, &str)]) -> Vec<Result<Score, EvaluatorError>> {
        let task = |index: usize| {
            let (context, text) = texts[index];
            let before = self.tokens(&Request::value(context.into()))?;
            let whole = Request::value([context, text].concat().into());
            let tokens = self.tokens(&whole)?;
            let shared = before.iter().zip(&tokens).take_while(|(a, b)| a == b).count();
            match tokens.len() - shared {
                _ if shared == 0 => Err(EvaluatorError::Failed(
                    "the text's first token takes up the whole context".to_owned(),
                )),
                0 => Err(EvaluatorError::Failed("the text is empty".to_owned())),
                scored => Ok((whole, tokens, scored)),
            }
        };
        let score = |Answer { value, scores, .. }| Score { log_probs: scores, value };
        self.answers(texts.len(), task, score, &Cancel::new())
    }

    /// Values of texts that are tokens already, each read at its last token.
    ///
    /// The outer vector has a result for each text, in order.
    pub fn values(&self, texts: &[Vec<u32>], cancel: &Cancel) -> Vec<Result<f64, EvaluatorError>> {
        let limit = self.engine.model.max_length();
        let task = |index: usize| {
            let tokens = texts[index].clone();
            let unknown = tokens.iter().find(|id| **id as usize >= self.vocabulary);
            match (tokens.len(), unknown) {
                (0, _) => Err(EvaluatorError::Failed("the context is empty".to_owned())),
                (length, _) if length > limit => {
                    Err(EvaluatorError::ContextTooLong { tokens: length, limit })
                }
                (_, Some(id)) => {
                    let message = format!("token {id}: the net has {} rows", self.vocabulary);
                    Err(EvaluatorError::Failed(message))
                }
                _ => Ok((Request::value("".into()), tokens, 0)),
            }
        };
        self.answers(texts.len(), task, |answer| answer.value, cancel)
    }

    /// Hands tasks in as there is room, and gathers their answers, until all are answered or `cancel` is cancelled. Then the
    /// schedulers drop the tasks that they hold before their next pass, and this call does not wait for that.
    fn answers<T>(
        &self,
        count: usize,
        task: impl Fn(usize) -> Task,
        read: impl Fn(Answer) -> T,
        cancel: &Cancel,
    ) -> Vec<Result<T, EvaluatorError>> {
        let mut results: Vec<Option<Result<T, EvaluatorError>>> =
            (0..count).map(|_| None).collect();
        // Room for every answer, so that a scheduler never waits for a caller.
        let (sender, answers) = bounded(count);
        let call = cancel.child(None);
        // Requests that are unanswered when this ends, by a cancellation or a panic, give up their places.
        let _ending = call.cancel_on_drop();
        let mut take = |(index, answer): (usize, Result<Answer, EvaluatorError>)| {
            results[index] = Some(answer.map(&read));
        };
        let window = WINDOW.max(self.engine.slots);
        let mut waiting = 0;
        for index in 0..count {
            let (request, tokens, scored) = match task(index) {
                Ok(task) => task,
                Err(error) => {
                    take((index, Err(error)));
                    continue;
                }
            };
            if waiting >= window
                && let Some(answer) = receive(&answers, &call)
            {
                take(answer);
                waiting -= 1;
            }
            let reply = CALLER.with(|caller| Reply::new(&sender, caller.unparker()));
            let (cancel, since) = (call.clone(), Instant::now());
            let job = Job { request, tokens, scored, index, reply, cancel, since };
            if !self.hand_in(job) {
                break;
            }
            waiting += 1;
        }
        // With the last job's sender gone the iteration ends, also when a scheduler died with a job in hand.
        drop(sender);
        std::iter::from_fn(|| receive(&answers, &call)).for_each(take);
        let unanswered = || match call.is_cancelled() {
            true => EvaluatorError::Cancelled,
            false => EvaluatorError::Failed("the request was not answered".to_owned()),
        };
        results.into_iter().map(|result| result.unwrap_or_else(|| Err(unanswered()))).collect()
    }

    /// Puts a job into the queue once there is room; false when it was cancelled before, or no scheduler is left.
    fn hand_in(&self, mut job: Job) -> bool {
        let Some(jobs) = &self.jobs else { return false };
        while !job.cancel.is_cancelled() {
            let patience = job.cancel.patience();
            match jobs.send_timeout(job, patience) {
                Ok(()) => return true,
                Err(SendTimeoutError::Timeout(back)) => job = back,
                Err(SendTimeoutError::Disconnected(_)) => return false,
            }
        }
        false
    }

    fn evaluation(&self, Answer { value, steps, .. }: Answer) -> Evaluation {
        let Engine { stops, tokenizer, .. } = &*self.engine;
        let proposal = |Step { tokens, truncated, log_prob, log_probs }: Step| Proposal {
            action: stops.action(tokenizer, &tokens).into(),
            log_prob,
            tokens: tokens.len(),
            truncated,
            sampled: (!log_probs.is_empty()).then(|| {
                Box::new(SampledTokens { ids: tokens.into(), log_probs: log_probs.into() })
            }),
        };
        let proposals = steps.into_iter().map(proposal);
        Evaluation { proposals: proposals.collect(), value }
    }
}

thread_local! {
    /// Wakes this thread. There are many callers to a core, and an answer is milliseconds away: they sleep at once, where
    /// a channel would have them look for it first and take turns with those who compute it.
    static CALLER: Parker = Parker::new();
}

/// The next answer; `None` when no more will come, or the call is cancelled.
fn receive<T>(answers: &Receiver<T>, call: &Cancel) -> Option<T> {
    while !call.is_cancelled() {
        match answers.try_recv() {
            Ok(answer) => return Some(answer),
            Err(TryRecvError::Empty) => {
                CALLER.with(|caller| caller.park_timeout(call.patience()));
            }
            Err(TryRecvError::Disconnected) => return None,
        }
    }
    None
}

/// A scheduler that outlives its own panics: the requests under way are lost, and what was cached, but no later ones.
fn serve(engine: &Engine, team: &Team, jobs: &Receiver<Job>) {
    #[cfg(feature = "torch")]
    engine.model.attach(team.len());
    let run = || Scheduler::new(engine, team).serve(jobs);
    while catch_unwind(AssertUnwindSafe(run)).is_err() {
        engine.forget();
    }
}

impl Evaluator for LocalEvaluator {
    fn evaluate(
        &self,
        requests: &[Request],
        cancel: &Cancel,
    ) -> Vec<Result<Evaluation, EvaluatorError>> {
        let task = |index: usize| {
            let request: &Request = &requests[index];
            Ok((request.clone(), self.tokens(request)?, 0))
        };
        self.answers(requests.len(), task, |answer| self.evaluation(answer), cancel)
    }

    fn tokens_read(&self) -> Option<u64> {
        let stats = self.stats();
        Some(stats.prefix_tokens_computed + stats.prefix_tokens_reused)
    }
}

impl Drop for LocalEvaluator {
    fn drop(&mut self) {
        self.jobs = None;
        for thread in self.threads.drain(..) {
            // A scheduler's panics end inside it.
            _ = thread.join();
        }
    }
}
