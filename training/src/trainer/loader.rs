//! The loader thread: pads examples and copies them to the device while the step before is computed.

use crossbeam::channel::{Receiver, bounded};
use std::ops::Range;
use std::thread::Scope;
use tch::Device;

use super::frozen::Frozen;
use super::plan::{Plan, Row, StepTokens, lengths};
use crate::batches::blocks;
use crate::error::Result;
use crate::objective::{Counts, Member, TensorBatch};

/// Batches that are ready before they are needed.
const AHEAD: usize = 2;

/// A step's batch in tensors.
#[derive(Debug)]
pub(super) struct Batch {
    /// Passes of each share.
    pub shares: Vec<Vec<TensorBatch>>,
    /// Targets of the whole batch.
    pub whole: Counts,
    /// Its tokens.
    pub tokens: StepTokens,
}

/// Starts the thread that loads the batches of the steps from `first` on, in order. It ends when the receiver is dropped.
pub(super) fn start<'scope>(
    scope: &'scope Scope<'scope, '_>,
    plan: &'scope Plan<'_>,
    frozen: &'scope Frozen,
    seed: u64,
    device: Device,
    first: usize,
) -> Receiver<Result<Batch>> {
    let (sender, receiver) = bounded(AHEAD);
    scope.spawn(move || {
        for step in first..plan.steps() {
            if sender.send(load(plan, frozen, seed, device, step)).is_err() {
                return;
            }
        }
    });
    receiver
}

/// Loads the batch of a step.
pub(super) fn load(
    plan: &Plan<'_>,
    frozen: &Frozen,
    seed: u64,
    device: Device,
    step: usize,
) -> Result<Batch> {
    let rows = plan.rows(step);
    let read = |row: &Row| row.members.iter().map(|&index| plan.example(index as usize)).collect();
    let examples = rows.iter().map(read).collect::<Result<Vec<Vec<_>>>>()?;
    let members: Vec<Vec<Member<'_>>> = rows
        .iter()
        .zip(&examples)
        .map(|(row, examples)| {
            let members = row.members.iter().zip(examples);
            let members = members.map(|(&index, example)| Member {
                example,
                old_log_probs: frozen.old(index as usize, example),
                reference_log_probs: frozen.reference(index as usize),
                seed: [seed, step as u64],
            });
            members.collect()
        })
        .collect();
    let pass = |pass: Range<usize>| {
        let start = pass.start;
        let blocks = blocks(&lengths(&rows[pass])).into_iter();
        let blocks: Vec<_> =
            blocks.map(|block| &members[start + block.start..start + block.end]).collect();
        TensorBatch::new(&blocks, device)
    };
    let share = |passes: Vec<_>| passes.into_iter().map(pass).collect::<Result<Vec<_>>>();
    let passes = plan.passes(&rows);
    let tokens = plan.tokens_of(&rows, &passes);
    let shares = passes.into_iter().map(share).collect::<Result<_>>()?;
    let whole = Counts::of(members.iter().flatten().map(|member| member.example));
    Ok(Batch { shares, whole, tokens })
}
