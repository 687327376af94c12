//! The steps of one request: samples that agree so far share one row.

use std::sync::Arc;

use espalier_model::random::stream;
use espalier_search::{EvaluatorError, Request};
use rand_chacha::ChaCha8Rng;

use super::branching::{Branches, Rank};
use super::engine::Engine;
use super::job::{Answer, Job, Step, not_finite};
use super::metrics::add;
use super::pages::{Block, Table};
use super::prefix::{Place, State};
use super::sampling::{Ask, Draw, Drawn, Draws, OfSamples, uniform};
use super::stops::End;

/// Distinguishes this use of a request's seed from others.
const PURPOSE: u64 = u64::from_le_bytes(*b"samples\0");

/// A request whose context was read.
pub(super) struct Group {
    pub job: Job,
    value: f64,
    /// Of the context.
    place: Place,
    pub rows: Vec<Row>,
    /// Of each sample that has ended, with its [`Origin::order`]. Without replacement better ones can still take their places.
    ended: Vec<(f64, Step)>,
    failed: bool,
}

/// Samples that have drawn the same tokens so far.
pub(super) struct Row {
    /// Their tokens.
    pub path: Vec<u32>,
    samples: OfSamples<Sample>,
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
    origin: Origin,
    log_prob: f64,
    /// Of each token; empty unless the request keeps tokens.
    log_probs: Vec<f32>,
}

/// How a sample comes about.
enum Origin {
    /// By itself, as the request's sample of this number.
    Alone { number: usize, rng: Box<ChaCha8Rng> },
    /// Without replacement. No two such samples share a row.
    Ranked(Rank),
}

impl Origin {
    /// Sorts the samples of a request, the first in sampling order first.
    fn order(&self) -> f64 {
        match self {
            Self::Alone { number, .. } => *number as f64,
            Self::Ranked(rank) => rank.order(),
        }
    }
}

impl Row {
    /// The row's samples, which leave it, with what each has drawn; those after `last` in order are given up.
    fn drew(&mut self, drawn: Drawn, last: f64) -> OfSamples<(Sample, Draw)> {
        let samples = std::mem::take(&mut self.samples);
        match drawn {
            Drawn::Each(drawn) => samples.into_iter().zip(drawn).collect(),
            Drawn::Branches(branches) => {
                let kept = branches.into_iter().filter(|(_, rank)| rank.order() <= last);
                let of = |(draw, rank): (Draw, Rank)| {
                    let [above] = samples.as_slice() else { return None };
                    let (log_prob, log_probs) = (above.log_prob, above.log_probs.clone());
                    Some((Sample { origin: Origin::Ranked(rank), log_prob, log_probs }, draw))
                };
                kept.filter_map(of).collect()
            }
        }
    }

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
        let sample = |origin| Sample { origin, log_prob: 0.0, log_probs: Vec::new() };
        let samples: OfSamples<Sample> = if job.request.without_replacement {
            OfSamples::from_iter([sample(Origin::Ranked(Rank::ALL))])
        } else {
            let seed = job.request.seed;
            let rng = |number: usize| Box::new(stream(seed, [PURPOSE, number as u64]));
            (0..count).map(|number| sample(Origin::Alone { number, rng: rng(number) })).collect()
        };
        let row = Row {
            path: Vec::new(),
            samples,
            table: Table::default(),
            from: job.tokens.len(),
            states: Vec::new(),
            state: Some(state),
            known: Some(blocks),
        };
        let rows = if count > 0 { vec![row] } else { Vec::new() };
        Self { job, value, place, rows, ended: Vec::with_capacity(count), failed: false }
    }

    /// What is to be drawn after each row.
    pub fn asks(&mut self) -> impl Iterator<Item = Ask> {
        let Request { temperature, samples, seed, .. } = self.job.request;
        self.rows.iter_mut().map(move |row| {
            let Row { path, samples: of_row, .. } = row;
            let draws = match of_row.as_slice() {
                &[Sample { origin: Origin::Ranked(rank), .. }] => {
                    Draws::Branches(Branches::new(samples, rank, seed, path))
                }
                _ => {
                    let uniform = |sample: &mut Sample| match &mut sample.origin {
                        Origin::Alone { rng, .. } if temperature > 0.0 => uniform(rng),
                        _ => 0.0,
                    };
                    Draws::Each(of_row.iter_mut().map(uniform).collect())
                }
            };
            Ask { temperature, draws }
        })
    }

    /// Goes on with the next token of every sample: for each row what was drawn, `None` where its logits are not finite.
    pub fn advance(&mut self, engine: &Engine, drawn: Vec<Option<Drawn>>) {
        let last = self.cut(&drawn);
        let going = Vec::with_capacity(self.rows.len());
        for (mut row, drawn) in std::mem::replace(&mut self.rows, going).into_iter().zip(drawn) {
            let Some(drawn) = drawn else {
                self.failed = true;
                continue;
            };
            let samples = row.drew(drawn, last);
            add(&engine.counters.sampled, samples.len() as u64);
            // What those that go on have drawn.
            let mut tokens = OfSamples::new();
            for (mut sample, Draw { token, log_prob }) in samples {
                sample.log_prob += log_prob;
                if self.job.request.keep_tokens {
                    sample.log_probs.push(log_prob as f32);
                }
                row.path.push(token);
                if let Some(end) = engine.stops.end(&engine.tokenizer, &row.path) {
                    let Sample { origin, log_prob, log_probs } = sample;
                    let truncated = end == End::Truncated;
                    let step = Step { tokens: row.path.clone(), truncated, log_prob, log_probs };
                    self.ended.push((origin.order(), step));
                } else {
                    tokens.push(token);
                    row.samples.push(sample);
                }
                row.path.pop();
            }
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

    /// The order up to which samples are among those that are wanted. Without replacement it drops the ended ones beyond.
    fn cut(&mut self, drawn: &[Option<Drawn>]) -> f64 {
        let Request { samples, without_replacement, .. } = self.job.request;
        if !without_replacement {
            return f64::INFINITY;
        }
        let branches = drawn.iter().flatten().flat_map(Drawn::branches);
        let going = branches.map(|(_, rank)| rank.order());
        let mut orders: Vec<f64> =
            self.ended.iter().map(|(order, _)| *order).chain(going).collect();
        if orders.len() <= samples {
            return f64::INFINITY;
        }
        let (_, last, _) = orders.select_nth_unstable_by(samples - 1, f64::total_cmp);
        let last = *last;
        self.ended.retain(|(order, _)| *order <= last);
        last
    }

    /// Lets the samples of a row go on in rows of their own, one for each of the tokens that they drew.
    fn part(&mut self, engine: &Engine, row: Row, drawn: &[u32]) {
        let Row { path, samples, table, from, states, known, .. } = row;
        let mut going: Vec<(u32, OfSamples<Sample>)> = Vec::new();
        for (sample, &token) in samples.into_iter().zip(drawn) {
            match going.iter_mut().find(|(other, _)| *other == token) {
                Some((_, samples)) => samples.push(sample),
                None => going.push((token, OfSamples::from_iter([sample]))),
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
        let Self { job, value, mut ended, failed, .. } = self;
        ended.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        // Equal ranks may be one too many.
        ended.truncate(job.request.samples);
        let steps = ended.into_iter().map(|(_, step)| step).collect();
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
