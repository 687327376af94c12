//! The loader thread: pads examples and copies them to the device while the step before is computed.

use crossbeam::channel::{Receiver, bounded};
use std::thread::Scope;
use tch::Device;

use super::frozen::Frozen;
use super::plan::Plan;
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
    let mut step_ends = 0;
    let mut members = Vec::new();
    let indices = plan.members(step);
    let examples =
        indices.iter().map(|&index| plan.example(index as usize)).collect::<Result<Vec<_>>>()?;
    for (&index, example) in indices.iter().zip(&examples) {
        let index = index as usize;
        members.push(Member {
            example,
            old_log_probs: frozen.old(index, example),
            reference_log_probs: frozen.reference(index),
            seed: [seed, step as u64],
            first_step_end: step_ends,
        });
        step_ends += example.value_targets.len() as u64;
    }
    let pass = |range: std::ops::Range<usize>| TensorBatch::new(&members[range], device);
    let share = |passes: Vec<_>| passes.into_iter().map(pass).collect::<Result<Vec<_>>>();
    let shares = plan.passes(&indices).into_iter().map(share).collect::<Result<_>>()?;
    let whole = Counts::of(members.iter().map(|member| member.example));
    Ok(Batch { shares, whole })
}
