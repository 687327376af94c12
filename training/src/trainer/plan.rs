//! What a run will do, known before it starts: the schedule needs the number of steps.

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use espalier_model::device::Device;

use super::{Job, StepMetrics, TrainReport};
use crate::batches::{self, Batches, Cut, Unit, padded};
use crate::error::{Error, Result};
use crate::example::Example;
use crate::examples::Examples;
use crate::objective::Grouping;
use crate::tree::shared;

/// Epochs whose batches are in memory: the loader is ahead of the steps, so that two are read at a time.
const EPOCHS_IN_MEMORY: usize = 2;

/// All steps of a run. The batches of an epoch are a function of its number and are made when they are needed.
pub(super) struct Plan<'a> {
    examples: &'a dyn Examples,
    /// Indices of those that are learned.
    used: Vec<u32>,
    /// The rows that share a step; `None` where each example is a row and a step of its own.
    groups: Option<Vec<Box<[Row]>>>,
    packed: bool,
    batch_tokens: usize,
    seed: u64,
    /// Steps before the end of each epoch.
    ends: Vec<usize>,
    made: Mutex<VecDeque<(usize, Epoch)>>,
    grouping: Grouping,
    cut: Cut,
    dropped_too_long: usize,
    dropped_without_targets: usize,
}

/// What is computed as one row: an example, or several as a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    /// Learned examples.
    pub members: Box<[u32]>,
    /// Tokens of the row.
    pub tokens: usize,
}

/// Tokens of a step.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct StepTokens {
    /// Of its examples.
    pub examples: usize,
    /// Of its rows: beginnings that examples share count once.
    pub rows: usize,
    /// Of its passes, padding included.
    pub computed: usize,
}

/// The batches of an epoch, as indices of examples or of groups.
type Epoch = Arc<Batches>;

impl<'a> Plan<'a> {
    pub fn new(job: &Job<'a>) -> Result<Self> {
        let Job { base, examples, config, seed, compute, .. } = *job;
        let limit = base.config.max_length();
        let (mut used, mut too_long, mut empty) = (Vec::new(), 0, 0);
        for index in 0..examples.len() {
            let shape = examples.shape(index);
            if shape.tokens > limit {
                too_long += 1;
            } else if shape.has_targets {
                used.push(index as u32);
            } else {
                empty += 1;
            }
        }
        used.shrink_to_fit();
        if too_long > 0 {
            tracing::warn!(
                dropped = too_long,
                limit,
                "examples longer than the model reads are left out"
            );
        }
        if used.is_empty() {
            let message = format!(
                "none of {} can be trained on: {too_long} too long, {empty} without targets",
                examples.len(),
            );
            return Err(Error::Setting { field: "examples", message });
        }
        // Shares would only wait for one another on a GPU.
        let shares = if compute.device == Device::Cpu { config.shards } else { 1 };
        let mut plan = Self {
            examples,
            used,
            groups: None,
            packed: config.packed,
            batch_tokens: config.batch_tokens,
            seed,
            ends: Vec::new(),
            made: Mutex::default(),
            grouping: job.objective.grouping(),
            cut: Cut { shares, micro_batch_tokens: config.micro_batch_tokens },
            dropped_too_long: too_long,
            dropped_without_targets: empty,
        };
        plan.groups = plan.make_groups()?;
        let limit = config.max_steps.unwrap_or(usize::MAX);
        for epoch in 0.. {
            let wanted = config.max_steps.is_some() || epoch < config.epochs;
            if !wanted || plan.steps() >= limit {
                break;
            }
            let steps = plan.steps() + plan.epoch(epoch).len();
            plan.ends.push(steps.min(limit));
        }
        Ok(plan)
    }

    /// How many optimiser steps there are.
    pub fn steps(&self) -> usize {
        self.ends.last().copied().unwrap_or(0)
    }

    /// The pass over the examples to which a step belongs, counted from 1.
    pub fn epoch_of(&self, step: usize) -> usize {
        self.ends.partition_point(|&end| end <= step) + 1
    }

    /// How many examples are learned.
    pub fn len(&self) -> usize {
        self.used.len()
    }

    /// A learned example.
    pub fn example(&self, index: usize) -> Result<Cow<'a, Example>> {
        self.examples.get(self.used[index] as usize)
    }

    /// The tokens of a learned example.
    pub fn length(&self, index: usize) -> usize {
        self.examples.shape(self.used[index] as usize).tokens
    }

    /// The rows of a step: shorter ones first or, where passes part no groups, group after group.
    pub fn rows(&self, step: usize) -> Vec<Row> {
        let epoch = self.epoch_of(step) - 1;
        let first = epoch.checked_sub(1).map_or(0, |before| self.ends[before]);
        let batches = self.epoch(epoch);
        let units = batches.get(step - first).iter();
        let mut rows: Vec<Row> = match &self.groups {
            None => units.map(|&index| self.alone(index)).collect(),
            Some(groups) => units.flat_map(|&unit| groups[unit as usize].iter().cloned()).collect(),
        };
        if self.grouping < Grouping::Pass {
            // Stable: rows of equal length keep their shuffled order.
            rows.sort_by_key(|row| row.tokens);
        }
        rows
    }

    fn alone(&self, index: u32) -> Row {
        Row { members: Box::new([index]), tokens: self.length(index as usize) }
    }

    /// The batches of an epoch, counted from 0.
    fn epoch(&self, epoch: usize) -> Epoch {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, batches)) = made.iter().find(|(known, _)| *known == epoch) {
            return Arc::clone(batches);
        }
        if made.len() == EPOCHS_IN_MEMORY {
            made.pop_front();
        }
        let batches: Epoch = Arc::new(self.make_epoch(epoch));
        made.push_back((epoch, Arc::clone(&batches)));
        batches
    }

    fn make_epoch(&self, epoch: usize) -> Batches {
        let unit = |index: usize| match &self.groups {
            None => Unit::one(self.length(index)),
            Some(groups) => unit(&groups[index]),
        };
        let count = self.groups.as_ref().map_or(self.len(), Vec::len);
        batches::plan(count, unit, self.batch_tokens, self.seed, epoch)
    }

    fn make_groups(&self) -> Result<Option<Vec<Box<[Row]>>>> {
        if self.grouping == Grouping::Paths && !self.packed {
            return Ok(None);
        }
        // In the order of their first examples.
        let mut groups: Vec<Vec<u32>> = Vec::new();
        let mut places: BTreeMap<u32, usize> = BTreeMap::new();
        for index in 0..self.len() as u32 {
            let place = match self.group(index) {
                Some(group) => *places.entry(group).or_insert(groups.len()),
                None => groups.len(),
            };
            if place == groups.len() {
                groups.push(Vec::new());
            }
            groups[place].push(index);
        }
        let mut made = Vec::with_capacity(groups.len());
        for mut group in groups {
            if self.packed {
                let trees = self.trees(&group)?;
                match self.grouping {
                    // Trees of one problem are independent of one another.
                    Grouping::Paths => made.extend(trees.into_iter().map(|tree| Box::from([tree]))),
                    Grouping::Step | Grouping::Pass => made.push(trees.into()),
                }
            } else {
                group.sort_by_key(|&index| self.length(index as usize));
                made.push(group.into_iter().map(|index| self.alone(index)).collect());
            }
        }
        Ok(Some(made))
    }

    /// A group's examples as trees of neighbours in the order of their tokens, each as large as a step and a pass take.
    fn trees(&self, group: &[u32]) -> Result<Vec<Row>> {
        let limit = match self.grouping {
            Grouping::Pass => usize::MAX,
            Grouping::Paths | Grouping::Step => self.cut.row_tokens().min(self.batch_tokens),
        };
        let read = |&index: &u32| Ok((index, self.example(index as usize)?));
        let mut examples = group.iter().map(read).collect::<Result<Vec<_>>>()?;
        examples.sort_by(|(_, a), (_, b)| a.tokens.cmp(&b.tokens));
        let mut trees: Vec<(Vec<u32>, usize)> = Vec::new();
        let mut before: &[u32] = &[];
        for (index, example) in &examples {
            let added = example.tokens.len() - shared(before, &example.tokens);
            match trees.last_mut() {
                Some((members, tokens)) if *tokens + added <= limit => {
                    members.push(*index);
                    *tokens += added;
                }
                _ => trees.push((vec![*index], example.tokens.len())),
            }
            before = &example.tokens;
        }
        let row = |(members, tokens): (Vec<u32>, usize)| Row { members: members.into(), tokens };
        Ok(trees.into_iter().map(row).collect())
    }

    fn group(&self, index: u32) -> Option<u32> {
        self.examples.shape(self.used[index as usize] as usize).group
    }

    /// How many shares a step has at most.
    pub fn shares(&self) -> usize {
        self.cut.shares
    }

    /// What a step's passes may not part, as ranges of its rows.
    fn pieces(&self, rows: &[Row]) -> Vec<Range<usize>> {
        let group = |row: &Row| match self.grouping {
            Grouping::Pass => self.group(row.members[0]),
            Grouping::Paths | Grouping::Step => None,
        };
        let together = |a: &Row, b: &Row| group(a).is_some() && group(a) == group(b);
        let mut next = 0;
        let pieces = rows.chunk_by(together).map(|piece| {
            next += piece.len();
            next - piece.len()..next
        });
        pieces.collect()
    }

    /// The passes of each share of a step with these rows, as ranges of them.
    pub fn passes(&self, rows: &[Row]) -> Vec<Vec<Range<usize>>> {
        let pieces = self.pieces(rows);
        let units: Vec<Unit> = pieces.iter().map(|piece| unit(&rows[piece.clone()])).collect();
        let of_rows = |pass: Range<usize>| pieces[pass.start].start..pieces[pass.end - 1].end;
        let shares = self.cut.passes(&units).into_iter();
        shares.map(|share| share.into_iter().map(of_rows).collect()).collect()
    }

    /// Tokens of a step.
    fn tokens(&self, step: usize) -> StepTokens {
        let rows = self.rows(step);
        self.tokens_of(&rows, &self.passes(&rows))
    }

    /// Tokens of a step with these rows and passes.
    pub fn tokens_of(&self, rows: &[Row], passes: &[Vec<Range<usize>>]) -> StepTokens {
        let members = rows.iter().flat_map(|row| &row.members);
        let computed = |pass: &Range<usize>| padded(&lengths(&rows[pass.clone()]));
        StepTokens {
            examples: members.map(|&index| self.length(index as usize)).sum(),
            rows: rows.iter().map(|row| row.tokens).sum(),
            computed: passes.iter().flatten().map(computed).sum(),
        }
    }

    pub fn report(&self, first: &StepMetrics, last: &StepMetrics) -> TrainReport {
        let mut sum = StepTokens::default();
        for step in (0..self.steps()).map(|step| self.tokens(step)) {
            sum.examples += step.examples;
            sum.rows += step.rows;
            sum.computed += step.computed;
        }
        TrainReport {
            steps: self.steps(),
            examples: self.len(),
            dropped_too_long: self.dropped_too_long,
            dropped_without_targets: self.dropped_without_targets,
            tokens: sum.examples,
            packing: sum.examples as f64 / sum.rows.max(1) as f64,
            padding: (sum.computed - sum.rows) as f64 / sum.computed.max(1) as f64,
            first: first.clone(),
            last: last.clone(),
        }
    }
}

fn unit(rows: &[Row]) -> Unit {
    Unit::of(&lengths(rows))
}

/// The tokens of each row.
pub(super) fn lengths(rows: &[Row]) -> Vec<usize> {
    rows.iter().map(|row| row.tokens).collect()
}
