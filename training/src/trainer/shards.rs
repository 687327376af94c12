//! The gradient of a batch, computed in shares side by side.
//!
//! libtorch's own threads meet at the end of every operation, which costs more than it gains. Here each thread runs whole
//! forward and backward passes over its share of the batch, and the shares meet once a step. The number of shares is a
//! setting and not the number of cores, so that the same run gives the same bits on any machine.

use std::time::Instant;

use tch::Tensor;

use super::loader::Batch;
use crate::net::{Gradients, add};
use crate::objective::{Counts, Loss, Objective, TensorBatch};
use crate::{PolicyValueNet, Result};

/// A net, and what it shares with other threads: the same leaves.
#[derive(Debug)]
pub(super) struct Shards {
    nets: Vec<PolicyValueNet>,
    /// Whether the shares run side by side.
    parallel: bool,
}

/// The loss of a whole batch in numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct BatchLoss {
    pub total: f64,
    pub policy: Option<f64>,
    pub value: Option<f64>,
}

/// What came of a batch.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub loss: BatchLoss,
    /// The gradients of each share.
    pub gradients: Vec<Gradients>,
    /// Seconds in forward passes, in all shares together.
    pub forward: f64,
    /// Seconds in forward and backward passes, in all shares together.
    pub passes: f64,
}

impl Shards {
    pub fn new(net: PolicyValueNet, count: usize, threads: usize) -> Self {
        let parallel = threads > 1 && net.device() == tch::Device::Cpu;
        // One thread an operation: the shares are the parallelism.
        tch::set_num_threads(1);
        let mut nets: Vec<PolicyValueNet> = (1..count).map(|_| net.share()).collect();
        nets.insert(0, net);
        Self { nets, parallel }
    }

    pub fn net(&self) -> &PolicyValueNet {
        &self.nets[0]
    }

    /// Loss and gradients of a batch.
    ///
    /// # Errors
    /// When libtorch refuses, as when memory runs out.
    pub fn gradients(
        &mut self,
        objective: &(dyn Objective + Sync),
        batch: Batch,
    ) -> Result<Outcome> {
        let Batch { shares, whole } = batch;
        let mut outcomes: Vec<Result<Outcome>> =
            shares.iter().map(|_| Ok(Outcome::default())).collect();
        let mut tasks = self.nets.iter_mut().zip(shares).zip(&mut outcomes);
        let run = |((net, passes), outcome): ((&mut PolicyValueNet, _), &mut _)| {
            *outcome = share(net, objective, passes, whole);
        };
        if self.parallel {
            std::thread::scope(|scope| {
                let own = tasks.next();
                for task in tasks {
                    scope.spawn(move || run(task));
                }
                own.map(run);
            });
        } else {
            tasks.for_each(run);
        }
        let mut sum = Outcome::default();
        for outcome in outcomes {
            sum.add(outcome?);
        }
        Ok(sum)
    }
}

/// The passes of a share, one after the other.
fn share(
    net: &PolicyValueNet,
    objective: &(dyn Objective + Sync),
    passes: Vec<TensorBatch>,
    whole: Counts,
) -> Result<Outcome> {
    let start = Instant::now();
    let mut forward = 0.0;
    let mut sum: Gradients = net.trainable().map(|_| None).collect();
    let mut losses = Vec::with_capacity(passes.len());
    for batch in passes {
        let begin = Instant::now();
        let (loss, gradients) = net.gradients(&batch.tokens, |hidden| {
            let Loss { total, policy, value } = objective.loss(net, hidden, &batch, whole)?;
            forward += begin.elapsed().as_secs_f64();
            let parts = [Some(&total), policy.as_ref(), value.as_ref()];
            let parts = parts.map(|part| part.map(Tensor::detach));
            Ok((total, parts))
        })?;
        for (sum, gradient) in sum.iter_mut().zip(gradients) {
            add(sum, gradient)?;
        }
        losses.push(loss);
    }
    let mut loss = BatchLoss::default();
    // Read when all has been asked for: until then a GPU need not be waited for.
    for [total, policy, value] in losses {
        let number = |part: Option<Tensor>| part.map(|part| f64::try_from(&part)).transpose();
        let total = number(total)?.unwrap_or_default();
        loss.add(&BatchLoss { total, policy: number(policy)?, value: number(value)? });
    }
    Ok(Outcome { loss, gradients: vec![sum], forward, passes: start.elapsed().as_secs_f64() })
}

impl Outcome {
    fn add(&mut self, other: Self) {
        self.loss.add(&other.loss);
        self.gradients.extend(other.gradients);
        self.forward += other.forward;
        self.passes += other.passes;
    }
}

impl BatchLoss {
    fn add(&mut self, other: &Self) {
        let add = |a: Option<f64>, b: Option<f64>| match (a, b) {
            (Some(a), Some(b)) => Some(a + b),
            (a, b) => a.or(b),
        };
        self.total += other.total;
        self.policy = add(self.policy, other.policy);
        self.value = add(self.value, other.value);
    }
}
