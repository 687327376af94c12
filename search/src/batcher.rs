//! One evaluator shared by many searches: what is waiting at the same time is evaluated together.

use crossbeam::channel::{Receiver, Sender, bounded};
use serde::{Deserialize, Serialize};

use crate::guard::catch_panic;
use crate::sync::{AtomicU64, Ordering};
use crate::{ConfigError, Evaluation, Evaluator, EvaluatorError, Request};

/// Settings of [`serve`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BatcherConfig {
    /// Threads that call the inner evaluator.
    pub threads: usize,
    /// Most requests in one call of the inner evaluator.
    pub max_batch: usize,
    /// Requests that may wait; a caller beyond that waits itself.
    pub queue: usize,
}

impl Default for BatcherConfig {
    fn default() -> Self {
        Self { threads: 1, max_batch: 64, queue: 1024 }
    }
}

impl BatcherConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// Names the first field that is 0.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let check =
            |value: usize, field| ConfigError::require(value >= 1, field, &value, "must be >= 1");
        check(self.threads, "threads")?;
        check(self.max_batch, "max_batch")?;
        check(self.queue, "queue")
    }
}

/// What a served evaluator was asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct BatchStats {
    /// Calls of the inner evaluator.
    pub batches: u64,
    /// Requests in all of them.
    pub requests: u64,
    /// Requests in the largest.
    pub largest_batch: u64,
    /// Requests a call; 0 when there was none.
    pub mean_batch: f64,
}

type Answer = Result<Evaluation, EvaluatorError>;

/// One request on its way, and where its answer goes.
struct Job {
    request: Request,
    /// Its place in the call that it came with.
    index: usize,
    reply: Sender<(usize, Answer)>,
}

/// An [`Evaluator`] that hands requests to the evaluation threads of [`serve`] and waits for the
/// answers.
pub struct Batcher {
    jobs: Sender<Job>,
}

#[derive(Default)]
struct Counters {
    batches: AtomicU64,
    requests: AtomicU64,
    largest: AtomicU64,
}

/// Runs `work` with a [`Batcher`] over `evaluator`. Evaluation threads take what is waiting, up to
/// `max_batch` requests of any callers, and never wait for more. They end when `work` returns or
/// panics. A setting of 0 reads as 1.
///
/// A panic of the inner evaluator, or an answer of the wrong length, fails the requests of that
/// batch alone.
pub fn serve<E: Evaluator + ?Sized, R>(
    evaluator: &E,
    config: &BatcherConfig,
    work: impl FnOnce(&Batcher) -> R,
) -> (R, BatchStats) {
    let counters = Counters::default();
    let (sender, receiver) = bounded(config.queue.max(1));
    let result = std::thread::scope(|scope| {
        // Moved into this closure: whether `work` returns or unwinds, dropping the only sender ends
        // the threads before the scope joins them.
        let batcher = Batcher { jobs: sender };
        for _ in 0..config.threads.max(1) {
            let (receiver, counters) = (receiver.clone(), &counters);
            scope.spawn(move || {
                answer_jobs(evaluator, &receiver, config.max_batch.max(1), counters);
            });
        }
        work(&batcher)
    });
    // Relaxed: the threads have been joined.
    let batches = counters.batches.load(Ordering::Relaxed);
    let requests = counters.requests.load(Ordering::Relaxed);
    let stats = BatchStats {
        batches,
        requests,
        largest_batch: counters.largest.load(Ordering::Relaxed),
        mean_batch: if batches == 0 { 0.0 } else { requests as f64 / batches as f64 },
    };
    (result, stats)
}

fn answer_jobs<E: Evaluator + ?Sized>(
    evaluator: &E,
    jobs: &Receiver<Job>,
    max_batch: usize,
    counters: &Counters,
) {
    while let Ok(first) = jobs.recv() {
        let mut requests = vec![first.request];
        let mut replies = vec![(first.index, first.reply)];
        for job in jobs.try_iter().take(max_batch - 1) {
            requests.push(job.request);
            replies.push((job.index, job.reply));
        }
        let size = requests.len() as u64;
        // Relaxed: counters, read after the threads have been joined.
        counters.batches.fetch_add(1, Ordering::Relaxed);
        counters.requests.fetch_add(size, Ordering::Relaxed);
        counters.largest.fetch_max(size, Ordering::Relaxed);
        for ((index, reply), answer) in replies.into_iter().zip(evaluate(evaluator, &requests)) {
            // A caller that has gone needs no answer.
            _ = reply.send((index, answer));
        }
    }
}

/// As many answers as requests, whatever the evaluator does.
fn evaluate<E: Evaluator + ?Sized>(evaluator: &E, requests: &[Request]) -> Vec<Answer> {
    let cause = match catch_panic(|| evaluator.evaluate(requests)) {
        Ok(answers) if answers.len() == requests.len() => return answers,
        Ok(answers) => format!("{} answers to {} requests", answers.len(), requests.len()),
        Err(message) => format!("it panicked: {message}"),
    };
    vec![Err(EvaluatorError::Failed(cause)); requests.len()]
}

impl Evaluator for Batcher {
    fn evaluate(&self, requests: &[Request]) -> Vec<Answer> {
        // Room for every answer, so that an evaluation thread never waits for a caller.
        let (reply, answers) = bounded(requests.len());
        let gone = || Err(EvaluatorError::Failed("the evaluation threads have ended".to_owned()));
        let mut ordered: Vec<Answer> = Vec::with_capacity(requests.len());
        for (index, request) in requests.iter().enumerate() {
            ordered.push(gone());
            let job = Job { request: request.clone(), index, reply: reply.clone() };
            // An error means that no thread is left, and the answer stays what it is.
            _ = self.jobs.send(job);
        }
        // With the last job's sender gone the iteration ends, also when a thread died with a job in
        // hand.
        drop(reply);
        for (index, answer) in answers {
            ordered[index] = answer;
        }
        ordered
    }
}
