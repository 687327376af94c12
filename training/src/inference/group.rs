//! The steps of one request: samples that agree so far share one row.

use std::sync::Arc;

use espalier_search::EvaluatorError;
use rand_chacha::ChaCha8Rng;

use super::metrics::add;
use super::pages::{Block, Table};
use super::prefix::State;
use super::sampling::{Ask, Draw, uniform};
use super::scheduler::{Answer, Engine, Job, not_finite};
use crate::random::stream;

/// Distinguishes this use of a request's seed from others.
const PURPOSE: u64 = u64::from_le_bytes(*b"samples\0");

/// A request whose context was read.
pub(super) struct Group {
    pub job: Job,
    value: f64,
    pub rows: Vec<Row>,
    /// Each sample's tokens and log-probability, once it has ended.
    steps: Vec<(Vec<u32>, f64)>,
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
}

impl Row {
    /// Takes the state at the last token, which was just computed, after `context` tokens.
    pub fn computed(&mut self, context: usize, state: State) {
        self.states.push((context + self.path.len() - 1, state.clone()));
        self.state = Some(state);
    }
}

impl Group {
    /// The samples of a request, before their first token. `blocks` hold the context, `state` is its last token's.
    pub fn new(job: Job, value: f64, blocks: Vec<Arc<Block>>, state: State) -> Self {
        let count = job.request.samples;
        let samples = (0..count).map(|number| Sample {
            number,
            rng: stream(job.request.seed, [PURPOSE, number as u64]),
            log_prob: 0.0,
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
        Self { job, value, rows, steps: vec![(Vec::new(), 0.0); count], failed: false }
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
    pub fn advance(&mut self, engine: &Engine, drawn: Vec<Option<Vec<Draw>>>) {
        let rows = std::mem::take(&mut self.rows);
        for (mut row, drawn) in rows.into_iter().zip(drawn) {
            let Some(drawn) = drawn else {
                self.failed = true;
                continue;
            };
            let mut branches: Vec<(u32, Vec<Sample>)> = Vec::new();
            add(&engine.counters.sampled, drawn.len() as u64);
            let samples = std::mem::take(&mut row.samples);
            for (mut sample, Draw { token, log_prob }) in samples.into_iter().zip(drawn) {
                sample.log_prob += log_prob;
                match branches.iter_mut().find(|(other, _)| *other == token) {
                    Some((_, samples)) => samples.push(sample),
                    None => branches.push((token, vec![sample])),
                }
            }
            self.branch(engine, row, branches);
        }
    }

    /// Hands in the steps that end with their newest token and lets the others go on, each token in a row of its own.
    fn branch(&mut self, engine: &Engine, mut row: Row, branches: Vec<(u32, Vec<Sample>)>) {
        let mut going = Vec::new();
        row.path.push(0);
        for (token, samples) in branches {
            if let Some(last) = row.path.last_mut() {
                *last = token;
            }
            if engine.stops.end(&engine.tokenizer, &row.path) {
                for sample in samples {
                    self.steps[sample.number] = (row.path.clone(), sample.log_prob);
                }
            } else {
                going.push((token, samples));
            }
        }
        row.path.pop();
        if let [(token, _)] = going[..]
            && row.known.is_none()
        {
            row.path.push(token);
            row.samples = going.pop().map(|(_, samples)| samples).unwrap_or_default();
            row.state = None;
            row.table.reserve(&engine.pool, self.job.tokens.len() + row.path.len());
            self.rows.push(row);
            return;
        }
        // What the row computed is entered before it parts, or ends.
        let Row { path, table, from, states, known, .. } = row;
        let mut tokens = self.job.tokens.clone();
        tokens.extend_from_slice(&path);
        let blocks = known.unwrap_or_else(|| {
            let blocks = table.freeze();
            engine.cache().complete(&tokens, from, &blocks, states);
            blocks
        });
        let known: Vec<_> = {
            let mut cache = engine.cache();
            let known = going.iter().map(|&(token, _)| {
                tokens.push(token);
                let known = cache.known(&tokens);
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
