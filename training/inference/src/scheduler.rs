//! Continuous batching: every forward pass reads some new contexts and one more token of every step under way. A step
//! leaves when it ends, and the next request takes its place.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, RecvTimeoutError, TryRecvError};
use espalier_model::error::Result;

use super::attention::Sequence;
use super::backend::Work;
use super::engine::Engine;
use super::group::{Group, Row};
use super::job::{Answer, Job, not_finite, refused};
use super::metrics::add;
use super::model::Pass;
use super::pages::Table;
use super::prefix::{Claim, Place, State};
use super::sampling::Ask;
use super::team::Team;

/// How long a scheduler whose requests all wait for another's work looks away.
const PAUSE: Duration = Duration::from_micros(50);

/// A context that is being read.
struct Reading {
    job: Job,
    /// Tokens that need not be read.
    reused: usize,
    table: Table,
    /// The state of its last token, when that was known.
    state: Option<State>,
    place: Place,
}

impl Reading {
    /// Rows whose final state is wanted: the last one, and each before a token that is scored.
    fn wanted(&self) -> usize {
        1 + self.job.scored
    }
}

/// One thread's requests under way.
pub(super) struct Scheduler<'a> {
    engine: &'a Engine,
    team: &'a Team,
    work: Work,
    /// Requests of which a part is being computed for another.
    deferred: VecDeque<Job>,
    groups: Vec<Group>,
    /// Rows that a sample took lately, on average over the passes of its request: samples that agree share one.
    rows_a_sample: f64,
}

/// Weight of the newest pass in [`Scheduler::rows_a_sample`].
const NEWEST: f64 = 0.05;

impl<'a> Scheduler<'a> {
    pub fn new(engine: &'a Engine, team: &'a Team) -> Self {
        let (deferred, groups) = (VecDeque::new(), Vec::new());
        Self { engine, team, work: Work::default(), deferred, groups, rows_a_sample: 1.0 }
    }

    /// Answers requests until their senders are gone and all are answered. Every answer is a function of its own request.
    pub fn serve(&mut self, jobs: &Receiver<Job>) {
        let Self { engine, team, .. } = *self;
        while let Some(first) = self.next(jobs) {
            let start = Instant::now();
            engine.model.enter(team, || self.pass(first, jobs));
            add(&self.engine.counters.busy_nanos, start.elapsed().as_nanos() as u64);
        }
    }

    /// Waits for something to do: a new request when there is nothing else; `None` when no more will come.
    fn next(&mut self, jobs: &Receiver<Job>) -> Option<Option<Job>> {
        if !self.groups.is_empty() {
            return Some(None);
        }
        if self.deferred.is_empty() {
            return jobs.recv().ok().map(Some);
        }
        match jobs.recv_timeout(PAUSE) {
            Ok(job) => Some(Some(job)),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => Some(None),
        }
    }

    /// One forward pass and what follows from it.
    fn pass(&mut self, first: Option<Job>, jobs: &Receiver<Job>) {
        self.drop_cancelled();
        let mut reading = self.admit(first, jobs);
        let counters = &self.engine.counters;
        let rows: usize = self.groups.iter().map(|group| group.rows.len()).sum();
        let samples: usize = self.groups.iter().map(|group| group.job.request.samples).sum();
        if samples > 0 {
            self.rows_a_sample += NEWEST * (rows as f64 / samples as f64 - self.rows_a_sample);
        }
        if !self.deferred.is_empty() || !jobs.is_empty() {
            let taken = (rows + reading.len()).min(self.engine.slots);
            add(&counters.full_passes, 1);
            add(&counters.occupancy, (taken * 1000 / self.engine.slots) as u64);
        }
        let failure = match self.forward(&mut reading) {
            Ok(computed) => self.draw(reading, computed).err(),
            Err(error) => {
                let jobs = reading.into_iter().map(|reading| reading.job);
                jobs.for_each(|job| job.answer(Err(refused(&error))));
                Some(error)
            }
        };
        if let Some(error) = failure {
            self.groups.drain(..).for_each(|group| group.fail(refused(&error)));
            self.engine.forget();
        }
    }

    /// Drops cancelled requests: their slots and blocks are free for the next pass.
    fn drop_cancelled(&mut self) {
        let under_way = self.groups.len() + self.deferred.len();
        self.groups.retain(|group| !group.job.cancel.is_cancelled());
        self.deferred.retain(|job| !job.cancel.is_cancelled());
        let dropped = under_way - self.groups.len() - self.deferred.len();
        add(&self.engine.counters.cancelled, dropped as u64);
    }

    /// Takes the next requests that there is room for.
    fn admit(&mut self, first: Option<Job>, jobs: &Receiver<Job>) -> Vec<Reading> {
        let mut reading = Vec::new();
        let mut taken: usize = self.groups.iter().map(|group| group.rows.len()).sum();
        let mut context_rows = 0;
        let mut retry: VecDeque<Job> = std::mem::take(&mut self.deferred);
        retry.extend(first);
        // Some steps end in this pass, before those of the new contexts begin.
        let room = self.engine.slots + self.engine.slots / 8;
        while taken < room && context_rows < self.engine.model.context_rows() {
            let job = match retry.pop_front() {
                Some(job) => job,
                None => match jobs.try_recv() {
                    Ok(job) => job,
                    Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
                },
            };
            if job.cancel.is_cancelled() {
                add(&self.engine.counters.cancelled, 1);
                continue;
            }
            match self.engine.cache().claim(&job.tokens) {
                Claim::Busy => self.deferred.push_back(job),
                Claim::Granted(found) => {
                    let length = job.tokens.len();
                    // The state of the last token is what the answer is made from.
                    let known = found.length == length && found.state.is_some() && job.scored == 0;
                    let needed = length - 1 - job.scored;
                    let reused = if known { length } else { found.length.min(needed) };
                    let mut table = Table::continued(found.blocks, reused);
                    table.reserve(&self.engine.pool, length);
                    let counters = &self.engine.counters;
                    counters.waited(job.since.elapsed());
                    add(&counters.requests, 1);
                    add(&counters.reused, reused as u64);
                    add(&counters.context_rows, (length - reused) as u64);
                    context_rows += length - reused;
                    let rows = job.request.samples as f64 * self.rows_a_sample;
                    taken += (rows.round() as usize).max(1);
                    let (place, state) = (found.place, found.state.filter(|_| known));
                    reading.push(Reading { job, reused, table, state, place });
                }
            }
            if self.deferred.len() > self.engine.slots {
                break;
            }
        }
        self.deferred.extend(retry);
        reading
    }

    /// Runs the net over what has to be computed; the final states of the contexts among it, then of the rows of steps.
    fn forward(&mut self, reading: &mut [Reading]) -> Result<Vec<State>> {
        let Self { engine, team, work, groups, .. } = self;
        let mut pass =
            Pass { tokens: Vec::new(), sequences: Vec::new(), contexts: 0, groups: Vec::new() };
        for reading in reading.iter_mut().filter(|reading| reading.state.is_none()) {
            let (start, wanted) = (pass.tokens.len(), reading.wanted());
            let Reading { job, reused, table, .. } = reading;
            pass.tokens.extend_from_slice(&job.tokens[*reused..]);
            let rows = start..pass.tokens.len();
            pass.sequences.push(Sequence { rows, position: *reused, wanted, table });
        }
        pass.contexts = pass.sequences.len();
        for group in groups {
            let first = pass.sequences.len();
            let context = group.job.tokens.len();
            for Row { path, table, .. } in group.rows.iter_mut().filter(|row| row.state.is_none()) {
                let row = pass.tokens.len();
                pass.tokens.extend(path.last());
                let position = context + path.len() - 1;
                pass.sequences.push(Sequence { rows: row..row + 1, position, wanted: 1, table });
            }
            let size = pass.sequences.len() - first;
            if size > 0 {
                // Steps continue the context's full blocks, whoever wrote them.
                pass.groups.push((size, context / super::kernel::PANEL));
            }
        }
        let rows = pass.sequences.len();
        if rows == 0 {
            return Ok(Vec::new());
        }
        let counters = &engine.counters;
        let start = Instant::now();
        let states = engine.model.forward(team, work, &mut pass)?;
        add(&counters.forward_nanos, start.elapsed().as_nanos() as u64);
        add(&counters.passes, 1);
        add(&counters.step_rows, (rows - pass.contexts) as u64);
        let products = pass.tokens.len() * engine.model.body_cost();
        add(&counters.multiply_adds, products as u64);
        Ok(states)
    }

    /// Enters what was computed, draws the next token of every step, and answers the requests that are complete.
    fn draw(&mut self, reading: Vec<Reading>, computed: Vec<State>) -> Result<()> {
        let Self { engine, team, work, groups, .. } = self;
        let mut computed = computed.into_iter();
        let mut scorings = Vec::new();
        for reading in reading {
            let wanted = reading.wanted();
            let Reading { job, reused, table, state, place } = reading;
            let read = state.is_none();
            let mut states: Vec<State> = match state {
                Some(state) => vec![state],
                None => computed.by_ref().take(wanted).collect(),
            };
            let Some(state) = states.pop() else { continue };
            let blocks = table.freeze();
            if read {
                let (mut cache, last) = (engine.cache(), job.tokens.len() - 1);
                cache.complete(place, &job.tokens, reused, &blocks, vec![(last, state.clone())]);
            }
            let value = f64::from(engine.head.value(&state));
            if !value.is_finite() {
                job.answer(Err(not_finite()));
            } else if job.scored > 0 {
                scorings.push(Scoring { job, value, states });
            } else {
                groups.push(Group::new(job, value, (place, blocks), state));
            }
        }
        score(engine, team, work, scorings)?;
        let rows = groups.iter_mut().flat_map(|group| {
            let context = group.job.tokens.len();
            group.rows.iter_mut().map(move |row| (context, row))
        });
        for (context, row) in rows {
            if row.state.is_none()
                && let Some(state) = computed.next()
            {
                row.computed(context, state);
            }
        }
        let states: Vec<&[f32]> = groups
            .iter()
            .flat_map(|group| group.rows.iter().filter_map(|row| row.state.as_deref()))
            .collect();
        let mut drawn = Vec::new();
        if !states.is_empty() {
            logits(engine, team, work, &states)?;
            drop(states);
            let asks: Vec<Ask> = groups.iter_mut().flat_map(Group::asks).collect();
            drawn = engine.model.draw(team, work, &asks, engine.sampling)?;
        }
        let mut drawn = drawn.into_iter();
        let tasks: Vec<(&mut Group, _)> = groups
            .iter_mut()
            .map(|group| {
                let drawn = drawn.by_ref().take(group.rows.len()).collect();
                (group, drawn)
            })
            .collect();
        team.enter(|| team.each(tasks, |(group, drawn)| group.advance(engine, drawn)));
        for group in groups.extract_if(.., |group| group.done()) {
            group.finish();
        }
        Ok(())
    }
}

/// A text that was read, with the states before each token that is scored.
struct Scoring {
    job: Job,
    value: f64,
    states: Vec<State>,
}

/// The head's product, of final states.
fn logits(engine: &Engine, team: &Team, work: &mut Work, states: &[&[f32]]) -> Result<()> {
    let start = Instant::now();
    engine.model.logits(team, work, states)?;
    add(&engine.counters.forward_nanos, start.elapsed().as_nanos() as u64);
    add(&engine.counters.multiply_adds, (states.len() * engine.model.head_cost()) as u64);
    Ok(())
}

/// Answers scorings. The states go through the head a few at a time, since every row has the vocabulary's width.
fn score(engine: &Engine, team: &Team, work: &mut Work, scorings: Vec<Scoring>) -> Result<()> {
    for Scoring { job, value, states } in scorings {
        let mut scores = Vec::with_capacity(states.len());
        let targets = &job.tokens[job.tokens.len() - job.scored..];
        for (states, targets) in states.chunks(engine.slots).zip(targets.chunks(engine.slots)) {
            let states: Vec<&[f32]> = states.iter().map(AsRef::as_ref).collect();
            logits(engine, team, work, &states)?;
            scores.extend(engine.model.log_probs(work, targets)?);
        }
        let finite = scores.iter().all(|score| score.is_finite());
        let answer = Answer { value, steps: Vec::new(), scores };
        job.answer(if finite { Ok(answer) } else { Err(not_finite()) });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use crossbeam::channel::{Sender, bounded};
    use crossbeam::sync::Parker;
    use espalier_model::checkpoint::Checkpoint;
    use espalier_model::config::NetConfig;
    use espalier_model::head::Head;
    use espalier_model::tokenizer::{Tokenizer, Tokens};
    use espalier_search::{Cancel, EvaluatorError, Request};

    use super::*;
    use crate::backend::Backend;
    use crate::config::InferenceConfig;
    use crate::job::Reply;

    const SAMPLES: usize = 4;

    /// Eight slots, steps of up to forty tokens, and no memory of what was read.
    fn engine() -> Engine {
        let (heads, key_value_heads) = (2, 2);
        let (layers, width, intermediate) = (1, 16, 32);
        let net = NetConfig {
            layers,
            width,
            intermediate,
            heads,
            key_value_heads,
            ..NetConfig::default()
        };
        let checkpoint =
            Checkpoint::initialise(&net, Tokenizer::fresh(Tokens::Characters).unwrap(), 1).unwrap();
        let config = InferenceConfig {
            max_step_tokens: 40,
            stops: Vec::new(),
            slots: 2 * SAMPLES,
            kv_cache_megabytes: 0,
            ..InferenceConfig::default()
        };
        let model = Backend::host(&checkpoint, None);
        let head = Head::of_value(&checkpoint.parameters);
        let engine = Engine::new(model, &checkpoint, head, &config).unwrap();
        #[cfg(feature = "torch")]
        engine.model.attach(1);
        engine
    }

    type Answers = Receiver<(usize, Result<Answer, EvaluatorError>)>;

    /// Puts the requests of a call into the queue.
    fn call(engine: &Engine, jobs: &Sender<Job>, contexts: &[&str], cancel: &Cancel) -> Answers {
        let (sender, answers) = bounded(contexts.len());
        let parker = Parker::new();
        for (index, context) in contexts.iter().enumerate() {
            let tokens = engine.tokenizer.encode(context).unwrap();
            let seed = index as u64;
            let context = (*context).into();
            let request = Request::steps(context, SAMPLES, 1.0, seed);
            let reply = Reply::new(&sender, parker.unparker());
            let (cancel, since) = (cancel.clone(), Instant::now());
            jobs.send(Job { request, tokens, scored: 0, index, reply, cancel, since }).unwrap();
        }
        answers
    }

    fn pass(scheduler: &mut Scheduler<'_>, jobs: &Receiver<Job>) {
        let (engine, team) = (scheduler.engine, scheduler.team);
        engine.model.enter(team, || scheduler.pass(None, jobs));
    }

    /// The results of a call's requests when it runs to its end.
    fn finish(
        scheduler: &mut Scheduler<'_>,
        jobs: &Receiver<Job>,
        answers: &Answers,
    ) -> Vec<String> {
        while !scheduler.groups.is_empty() || !scheduler.deferred.is_empty() || !jobs.is_empty() {
            pass(scheduler, jobs);
        }
        let mut steps: Vec<_> =
            answers.try_iter().map(|(index, answer)| (index, answer.unwrap().steps)).collect();
        steps.sort_by_key(|(index, _)| *index);
        steps.iter().map(|(_, steps)| format!("{steps:?}")).collect()
    }

    #[test]
    fn a_cancelled_call_leaves_between_two_tokens_and_another_takes_its_slots() {
        const OTHER: [&str; 2] = ["7 7", "8 8 8"];
        let (engine, team) = (engine(), Team::new(1).unwrap());
        let mut scheduler = Scheduler::new(&engine, &team);
        let (sender, jobs) = bounded(16);
        let (unwanted, wanted) = (Cancel::new(), Cancel::new());
        // The second has to wait for the first's context.
        let contexts = ["1 2 3 4", "1 2 3 4", "5 5", "6 6"];
        let given_up = call(&engine, &sender, &contexts, &unwanted);
        let other = call(&engine, &sender, &OTHER, &wanted);
        let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        let counters = &engine.counters;

        pass(&mut scheduler, &jobs);
        let under_way = (scheduler.groups.len(), scheduler.deferred.len(), jobs.len());
        assert_eq!(under_way, (3, 1, OTHER.len()));
        assert_eq!(count(&counters.sampled), 3 * SAMPLES as u64);

        unwanted.cancel();
        pass(&mut scheduler, &jobs);
        // One token of each of the other's samples, and none of those that nobody wants.
        assert_eq!(count(&counters.sampled), (3 + 2) * SAMPLES as u64);
        assert_eq!((count(&counters.cancelled), count(&counters.requests)), (4, 3 + 2));
        let under_way = (scheduler.groups.len(), scheduler.deferred.len(), jobs.len());
        assert_eq!(under_way, (OTHER.len(), 0, 0));
        assert_eq!(given_up.try_recv().err(), Some(TryRecvError::Disconnected));

        // The other's answers are those that it has alone.
        let found = finish(&mut scheduler, &jobs, &other);
        let mut alone = Scheduler::new(&engine, &team);
        let answers = call(&engine, &sender, &OTHER, &wanted);
        let expected = finish(&mut alone, &jobs, &answers);
        assert_eq!((found.len(), &found), (OTHER.len(), &expected));
    }

    #[test]
    fn a_cancelled_call_gives_its_blocks_back() {
        let (engine, team) = (engine(), Team::new(1).unwrap());
        let mut scheduler = Scheduler::new(&engine, &team);
        let (sender, jobs) = bounded(16);
        let cancel = Cancel::new();
        let _answers = call(&engine, &sender, &["1 2 3", "4 5 6"], &cancel);
        for _ in 0..3 {
            pass(&mut scheduler, &jobs);
        }
        assert!(engine.pool.bytes() > 0 && !scheduler.groups.is_empty());
        cancel.cancel();
        let _late = call(&engine, &sender, &["7 8 9"], &cancel);
        pass(&mut scheduler, &jobs);
        assert_eq!((engine.pool.bytes(), scheduler.groups.len(), jobs.len()), (0, 0, 0));
        assert_eq!(engine.counters.cancelled.load(Ordering::Relaxed), 3);
    }
}
