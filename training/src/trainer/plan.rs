//! What a run will do, known before it starts: the schedule needs the number of steps.

use std::collections::BTreeMap;
use std::ops::Range;

use espalier_model::device::Device;

use super::{Job, StepMetrics, TrainReport};
use crate::batches::{self, Cut, Unit, padded};
use crate::error::{Error, Result};
use crate::example::Example;
use crate::objective::Grouping;

/// All steps of a run.
pub(super) struct Plan<'a> {
    pub examples: Vec<&'a Example>,
    pub steps: Vec<Step>,
    grouping: Grouping,
    cut: Cut,
    dropped_too_long: usize,
    dropped_without_targets: usize,
}

/// An optimiser step.
pub(super) struct Step {
    /// Pass over the examples, counted from 1.
    pub epoch: usize,
    /// Its examples: shorter ones first or, where passes part no groups, group after group.
    pub members: Vec<usize>,
}

impl<'a> Plan<'a> {
    pub fn new(job: &Job<'a>) -> Result<Self> {
        let Job { base, examples, config, seed, compute, .. } = *job;
        let limit = base.config.max_position_embeddings;
        let (fitting, too_long): (Vec<_>, Vec<_>) =
            examples.iter().partition(|example| example.tokens.len() <= limit);
        if !too_long.is_empty() {
            tracing::warn!(
                dropped = too_long.len(),
                limit,
                "examples longer than the model reads are left out"
            );
        }
        let (used, empty): (Vec<_>, Vec<_>) =
            fitting.into_iter().partition(|example| example.has_targets());
        if used.is_empty() {
            let message = format!(
                "none of {} can be trained on: {} too long, {} without targets",
                examples.len(),
                too_long.len(),
                empty.len()
            );
            return Err(Error::Setting { field: "examples", message });
        }
        // Shares would only wait for one another on a GPU.
        let shares = if compute.device == Device::Cpu { config.shards } else { 1 };
        let mut plan = Self {
            examples: used,
            steps: Vec::new(),
            grouping: job.objective.grouping(),
            cut: Cut { shares, micro_batch_tokens: config.micro_batch_tokens },
            dropped_too_long: too_long.len(),
            dropped_without_targets: empty.len(),
        };
        let groups = plan.groups();
        let units: Vec<Unit> = groups.iter().map(|group| plan.unit(group)).collect();
        let limit = config.max_steps.unwrap_or(usize::MAX);
        for epoch in 0.. {
            let wanted = config.max_steps.is_some() || epoch < config.epochs;
            if !wanted || plan.steps.len() >= limit {
                break;
            }
            let batches = batches::plan(&units, config.batch_tokens, seed, epoch);
            for batch in batches.into_iter().take(limit - plan.steps.len()) {
                let members = batch.into_iter().flat_map(|unit| groups[unit].iter().copied());
                let mut members: Vec<usize> = members.collect();
                if plan.grouping < Grouping::Pass {
                    // Stable: examples of equal length keep their shuffled order.
                    members.sort_by_key(|&index| plan.length(index));
                }
                plan.steps.push(Step { epoch: epoch + 1, members });
            }
        }
        Ok(plan)
    }

    /// The examples that share a step, each list in ascending order of length.
    fn groups(&self) -> Vec<Vec<usize>> {
        let all = 0..self.examples.len();
        if self.grouping == Grouping::Paths {
            return all.map(|index| vec![index]).collect();
        }
        // In the order of their first examples.
        let mut groups: Vec<Vec<usize>> = Vec::new();
        let mut places: BTreeMap<u32, usize> = BTreeMap::new();
        for index in all {
            let place = match self.examples[index].group {
                Some(group) => *places.entry(group).or_insert(groups.len()),
                None => groups.len(),
            };
            if place == groups.len() {
                groups.push(Vec::new());
            }
            groups[place].push(index);
        }
        groups.iter_mut().for_each(|group| group.sort_by_key(|&index| self.length(index)));
        groups
    }

    fn unit(&self, members: &[usize]) -> Unit {
        let lengths: Vec<usize> = members.iter().map(|&index| self.length(index)).collect();
        Unit::of(&lengths)
    }

    fn length(&self, index: usize) -> usize {
        self.examples[index].tokens.len()
    }

    /// How many shares a step has at most.
    pub fn shares(&self) -> usize {
        self.cut.shares
    }

    /// What a step's passes may not part, as ranges of its members.
    fn pieces(&self, step: usize) -> Vec<Range<usize>> {
        let members = &self.steps[step].members;
        let group = |index: usize| match self.grouping {
            Grouping::Pass => self.examples[index].group,
            Grouping::Paths | Grouping::Step => None,
        };
        let together = |&a: &usize, &b: &usize| group(a).is_some() && group(a) == group(b);
        let mut next = 0;
        let pieces = members.chunk_by(together).map(|piece| {
            next += piece.len();
            next - piece.len()..next
        });
        pieces.collect()
    }

    /// The passes of each share of a step, as ranges of its members.
    pub fn passes(&self, step: usize) -> Vec<Vec<Range<usize>>> {
        let pieces = self.pieces(step);
        let members = |pass: Range<usize>| pieces[pass.start].start..pieces[pass.end - 1].end;
        let shares = self.cut.passes(&self.units(step, &pieces)).into_iter();
        shares.map(|share| share.into_iter().map(members).collect()).collect()
    }

    /// Tokens of a step: its examples', and all that its passes compute, padding included.
    pub fn tokens(&self, step: usize) -> (usize, usize) {
        let units = self.units(step, &self.pieces(step));
        let passes = self.cut.passes(&units).concat();
        let computed = passes.into_iter().map(|pass| padded(&units[pass])).sum();
        (units.iter().map(|unit| unit.tokens).sum(), computed)
    }

    fn units(&self, step: usize, pieces: &[Range<usize>]) -> Vec<Unit> {
        let members = &self.steps[step].members;
        pieces.iter().map(|piece| self.unit(&members[piece.clone()])).collect()
    }

    pub fn report(&self, first: &StepMetrics, last: &StepMetrics) -> TrainReport {
        let counts = (0..self.steps.len()).map(|step| self.tokens(step));
        let (tokens, computed) = counts.fold((0, 0), |sum, step| (sum.0 + step.0, sum.1 + step.1));
        TrainReport {
            steps: self.steps.len(),
            examples: self.examples.len(),
            dropped_too_long: self.dropped_too_long,
            dropped_without_targets: self.dropped_without_targets,
            tokens,
            padding: (computed - tokens) as f64 / computed.max(1) as f64,
            first: first.clone(),
            last: last.clone(),
        }
    }
}
