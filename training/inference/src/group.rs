//! The steps of one request: samples that agree so far share one row.

use std::sync::Arc;

use espalier_model::random::stream;
use espalier_search::EvaluatorError;
use rand_chacha::ChaCha8Rng;

use super::engine::Engine;
use super::job::{Answer, Job, Step, not_finite};
use super::metrics::add;
use super::pages::{Block, Table};
use super::prefix::{Place, State};
use super::sampling::{Ask, Draw, OfSamples, uniform};

/// Distinguishes this use of a request's seed from others.
const PURPOSE: u64 = u64::from_le_bytes(*b"samples\0");

/// A request whose context was read.
pub(super) struct Group {
    pub job: Job,
    value: f64,
    /// Of the context.
    place: Place,
    pub rows: Vec<Row>,
    /// Of each sample, once it has ended.
    steps: Vec<Step>,
    failed: bool,
}

/// Samples that have drawn the same tokens so far.
pub(super) struct Row {
    /// Their tokens.
    pub path: Vec<u32>,
    samples: Vec<Sample>,
    /// Keys and values before the last token; room for its own.
    pub table: Table,
    /// Positions from here on were computed by this row.
    from: usize,
    /// States at these positions, to be entered with the blocks.
    states: Vec<(usize, State)>,
    /// The state at the last token, once it is known: the next is drawn from it.
    pub state: Option<State>,
    /// Blocks up to the last token, while all of them were there before.
    known: Option<Vec<Arc<Block>>>,
}

struct Sample {
    /// Which of the request's samples it is.
    number: usize,
    rng: ChaCha8Rng,
    log_prob: f64,
    /// Of each token; empty unless the request keeps tokens.
    log_probs: Vec<f32>,
}

impl Row {
    /// Takes the state at the last token, which was just computed, after `context` tokens.
    pub fn computed(&mut self, context: usize, state: State) {
        self.states.push((context + self.path.len() - 1, state.clone()));
        self.state = Some(state);
    }
}

impl Group {
    /// The samples of a request, before their first token. The context is at `place`, in `blocks`; `state` is its last
    /// token's.
    pub fn new(
        job: Job,
        value: f64,
        (place, blocks): (Place, Vec<Arc<Block>>),
        state: State,
    ) -> Self {
        let count = job.request.samples;
        let samples = (0..count).map(|number| Sample {
            number,
            rng: stream(job.request.seed, [PURPOSE, number as u64]),
            log_prob: 0.0,
            log_probs: Vec::new(),
        });
        let row = Row {
            path: Vec::new(),
            samples: samples.collect(),
            table: Table::default(),
            from: job.tokens.len(),
            states: Vec::new(),
            state: Some(state),
            known: Some(blocks),
        };
        let rows = if count > 0 { vec![row] } else { Vec::new() };
        let steps = vec![Step::default(); count];
        Self { job, value, place, rows, steps, failed: false }
    }

    /// What is to be drawn after each row.
    pub fn asks(&mut self) -> impl Iterator<Item = Ask> {
        let temperature = self.job.request.temperature;
        self.rows.iter_mut().map(move |row| {
            let uniforms = row.samples.iter_mut().map(|sample| match temperature {
                0.0 => 0.0,
                _ => uniform(&mut sample.rng),
            });
            Ask { temperature, uniforms: uniforms.collect() }
        })
    }

    /// Goes on with the next token of every sample: for each row what was drawn, `None` where its logits are not finite.
    pub fn advance(&mut self, engine: &Engine, drawn: Vec<Option<OfSamples<Draw>>>) {
        let going = Vec::with_capacity(self.rows.len());
        let keep = self.job.request.keep_tokens;
        for (mut row, drawn) in std::mem::replace(&mut self.rows, going).into_iter().zip(drawn) {
            let Some(drawn) = drawn else {
                self.failed = true;
                continue;
            };
            add(&engine.counters.sampled, drawn.len() as u64);
            let Row { path, samples, .. } = &mut row;
            let mut drawn = drawn.into_iter();
            // What those that go on have drawn.
            let mut tokens = OfSamples::new();
            samples.retain_mut(|sample| {
                let Some(Draw { token, log_prob }) = drawn.next() else { return false };
                sample.log_prob += log_prob;
                if keep {
                    sample.log_probs.push(log_prob as f32);
                }
                path.push(token);
                let ended = engine.stops.end(&engine.tokenizer, path);
                if ended {
                    let log_probs = std::mem::take(&mut sample.log_probs);
                    let (tokens, log_prob) = (path.clone(), sample.log_prob);
                    self.steps[sample.number] = Step { tokens, log_prob, log_probs };
                } else {
                    tokens.push(token);
                }
                path.pop();
                !ended
            });
            match tokens[..] {
                [token, ref others @ ..]
                    if row.known.is_none() && others.iter().all(|&other| other == token) =>
                {
                    row.path.push(token);
                    row.state = None;
                    row.table.reserve(&engine.pool, self.job.tokens.len() + row.path.len());
                    self.rows.push(row);
                }
                _ => self.part(engine, row, &tokens),
            }
        }
    }

    /// Lets the samples of a row go on in rows of their own, one for each of the tokens that they drew.
    fn part(&mut self, engine: &Engine, row: Row, drawn: &[u32]) {
        let Row { path, samples, table, from, states, known, .. } = row;
        let mut going: Vec<(u32, Vec<Sample>)> = Vec::new();
        for (sample, &token) in samples.into_iter().zip(drawn) {
            match going.iter_mut().find(|(other, _)| *other == token) {
                Some((_, samples)) => samples.push(sample),
                None => going.push((token, vec![sample])),
            }
        }
        // What the row computed is entered before it parts, or ends.
        let mut tokens = Vec::with_capacity(self.job.tokens.len() + path.len() + 1);
        tokens.extend_from_slice(&self.job.tokens);
        tokens.extend_from_slice(&path);
        let blocks = known.unwrap_or_else(|| {
            let blocks = table.freeze();
            engine.cache().complete(self.place, &tokens, from, &blocks, states);
            blocks
        });
        let known: Vec<_> = {
            let mut cache = engine.cache();
            let known = going.iter().map(|&(token, _)| {
                tokens.push(token);
                let known = cache.known(self.place, &tokens);
                tokens.pop();
                known
            });
            known.collect()
        };
        for ((token, samples), known) in going.into_iter().zip(known) {
            let mut path = path.clone();
            path.push(token);
            let length = tokens.len() + 1;
            let mut row = Row {
                path,
                samples,
                table: Table::default(),
                from: tokens.len(),
                states: Vec::new(),
                state: None,
                known: None,
            };
            if let Some((blocks, state)) = known {
                add(&engine.counters.restored, 1);
                row.state = Some(state);
                row.known = Some(blocks);
            } else {
                row.table = Table::continued(blocks.clone(), tokens.len());
                row.table.reserve(&engine.pool, length);
            }
            self.rows.push(row);
        }
    }

    /// Whether every sample has ended, or an answer can no longer be had.
    pub fn done(&self) -> bool {
        self.failed || self.rows.is_empty()
    }

    /// Sends the answer.
    pub fn finish(self) {
        let Self { job, value, steps, failed, .. } = self;
        job.answer(if failed {
            Err(not_finite())
        } else {
            Ok(Answer { value, steps, scores: Vec::new() })
        });
    }

    /// Sends an error in the answer's stead.
    pub fn fail(self, error: EvaluatorError) {
        self.job.answer(Err(error));
    }
}
