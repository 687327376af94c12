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

/// Epochs whose batches are in memory: the loader is ahead of the steps, so that two are read at a time.
const EPOCHS_IN_MEMORY: usize = 2;

/// All steps of a run. The batches of an epoch are a function of its number and are made when they are needed.
pub(super) struct Plan<'a> {
    examples: &'a dyn Examples,
    /// Indices of those that are learned.
    used: Vec<u32>,
    /// The examples that share a step, each list in ascending order of length; `None` where each is one of its own.
    groups: Option<Vec<Box<[u32]>>>,
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

/// The batches of an epoch, as indices of examples or of groups.
type Epoch = Arc<Batches>;

impl<'a> Plan<'a> {
    pub fn new(job: &Job<'a>) -> Result<Self> {
        let Job { base, examples, config, seed, compute, .. } = *job;
        let limit = base.config.max_position_embeddings;
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
            batch_tokens: config.batch_tokens,
            seed,
            ends: Vec::new(),
            made: Mutex::default(),
            grouping: job.objective.grouping(),
            cut: Cut { shares, micro_batch_tokens: config.micro_batch_tokens },
            dropped_too_long: too_long,
            dropped_without_targets: empty,
        };
        plan.groups = plan.make_groups();
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

    /// The learned examples of a step: shorter ones first or, where passes part no groups, group after group.
    pub fn members(&self, step: usize) -> Box<[u32]> {
        let epoch = self.epoch_of(step) - 1;
        let first = epoch.checked_sub(1).map_or(0, |before| self.ends[before]);
        let batches = self.epoch(epoch);
        let units = batches.get(step - first).iter();
        let mut members: Vec<u32> = match &self.groups {
            None => units.copied().collect(),
            Some(groups) => units.flat_map(|&unit| groups[unit as usize].iter().copied()).collect(),
        };
        if self.grouping < Grouping::Pass {
            // Stable: examples of equal length keep their shuffled order.
            members.sort_by_key(|&index| self.length(index as usize));
        }
        members.into_boxed_slice()
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
            Some(groups) => self.unit(&groups[index]),
        };
        let count = self.groups.as_ref().map_or(self.len(), Vec::len);
        batches::plan(count, unit, self.batch_tokens, self.seed, epoch)
    }

    fn make_groups(&self) -> Option<Vec<Box<[u32]>>> {
        if self.grouping == Grouping::Paths {
            return None;
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
        let sorted = groups.into_iter().map(|mut group| {
            group.sort_by_key(|&index| self.length(index as usize));
            group.into_boxed_slice()
        });
        Some(sorted.collect())
    }

    fn group(&self, index: u32) -> Option<u32> {
        self.examples.shape(self.used[index as usize] as usize).group
    }

    fn unit(&self, members: &[u32]) -> Unit {
        let lengths: Vec<usize> =
            members.iter().map(|&index| self.length(index as usize)).collect();
        Unit::of(&lengths)
    }

    /// How many shares a step has at most.
    pub fn shares(&self) -> usize {
        self.cut.shares
    }

    /// What a step's passes may not part, as ranges of its members.
    fn pieces(&self, members: &[u32]) -> Vec<Range<usize>> {
        let group = |index: u32| match self.grouping {
            Grouping::Pass => self.group(index),
            Grouping::Paths | Grouping::Step => None,
        };
        let together = |&a: &u32, &b: &u32| group(a).is_some() && group(a) == group(b);
        let mut next = 0;
        let pieces = members.chunk_by(together).map(|piece| {
            next += piece.len();
            next - piece.len()..next
        });
        pieces.collect()
    }

    /// The passes of each share of a step with these members, as ranges of them.
    pub fn passes(&self, step: &[u32]) -> Vec<Vec<Range<usize>>> {
        let pieces = self.pieces(step);
        let members = |pass: Range<usize>| pieces[pass.start].start..pieces[pass.end - 1].end;
        let shares = self.cut.passes(&self.units(step, &pieces)).into_iter();
        shares.map(|share| share.into_iter().map(members).collect()).collect()
    }

    /// Tokens of a step: its examples', and all that its passes compute, padding included.
    pub fn tokens(&self, step: usize) -> (usize, usize) {
        let members = self.members(step);
        let units = self.units(&members, &self.pieces(&members));
        let passes = self.cut.passes(&units).concat();
        let computed = passes.into_iter().map(|pass| padded(&units[pass])).sum();
        (units.iter().map(|unit| unit.tokens).sum(), computed)
    }

    fn units(&self, members: &[u32], pieces: &[Range<usize>]) -> Vec<Unit> {
        pieces.iter().map(|piece| self.unit(&members[piece.clone()])).collect()
    }

    pub fn report(&self, first: &StepMetrics, last: &StepMetrics) -> TrainReport {
        let counts = (0..self.steps()).map(|step| self.tokens(step));
        let (tokens, computed) = counts.fold((0, 0), |sum, step| (sum.0 + step.0, sum.1 + step.1));
        TrainReport {
            steps: self.steps(),
            examples: self.len(),
            dropped_too_long: self.dropped_too_long,
            dropped_without_targets: self.dropped_without_targets,
            tokens,
            padding: (computed - tokens) as f64 / computed.max(1) as f64,
            first: first.clone(),
            last: last.clone(),
        }
    }
}
