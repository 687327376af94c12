//! The gradient of a batch, computed in shards side by side.
//!
//! libtorch's own threads meet at the end of every operation, which costs a small net more than it gains. Here each
//! thread runs a whole forward and backward pass over its share of the batch, and the shares meet once a step. The
//! number of shards is a setting and not the number of cores, so that the same run gives the same bits on any machine.

use tch::Tensor;

use crate::objective::{Counts, Loss, Objective, TensorBatch};
use crate::random::stream;
use crate::{Example, PolicyValueNet};

/// Distinguishes this use of the seed from others.
const PURPOSE: u64 = u64::from_le_bytes(*b"dropout\0");

/// A net and its replicas: the same numbers, gradients of their own.
#[derive(Debug)]
pub(super) struct Shards {
    nets: Vec<PolicyValueNet>,
    threads: usize,
}

/// The loss of a whole batch in numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct BatchLoss {
    pub total: f64,
    pub policy: Option<f64>,
    pub value: Option<f64>,
}

impl Shards {
    pub fn new(net: PolicyValueNet, count: usize, threads: usize) -> Self {
        // One thread an operation: the shards are the parallelism.
        tch::set_num_threads(1);
        let mut nets: Vec<PolicyValueNet> = (1..count).map(|_| net.replica()).collect();
        nets.insert(0, net);
        Self { nets, threads }
    }

    /// The net that the others share their numbers with.
    pub fn net(&self) -> &PolicyValueNet {
        &self.nets[0]
    }

    /// Loss and gradient of a batch; the gradients in the order of [`PolicyValueNet::trainable`], `None` where the loss
    /// does not depend on the tensor. All randomness comes from `seed` and `step`.
    pub fn gradients(
        &mut self,
        objective: &(dyn Objective + Sync),
        examples: &[&Example],
        seed: u64,
        step: usize,
    ) -> (BatchLoss, Vec<Option<Tensor>>) {
        let whole = Counts::of(examples.iter().copied());
        let size = examples.len().div_ceil(self.nets.len()).max(1);
        let work = |net: &mut PolicyValueNet, index: usize, share: &[&Example]| {
            let mut rng = stream(seed, [PURPOSE.wrapping_add(index as u64), step as u64]);
            net.clear_gradients();
            let batch = TensorBatch::new(share.iter().copied());
            let Loss { total, policy, value } = objective.loss(net, &batch, whole, &mut rng);
            total.backward();
            BatchLoss { total: total.double_value(&[]), policy, value }
        };
        let shares = examples.chunks(size);
        let mut losses = Vec::with_capacity(self.nets.len());
        let used = shares.len();
        let tasks = self.nets.iter_mut().zip(shares).enumerate();
        if self.threads > 1 {
            losses.resize(used, BatchLoss::default());
            std::thread::scope(|scope| {
                for ((index, (net, share)), loss) in tasks.zip(&mut losses) {
                    scope.spawn(move || *loss = work(net, index, share));
                }
            });
        } else {
            losses.extend(tasks.map(|(index, (net, share))| work(net, index, share)));
        }
        (losses.iter().fold(BatchLoss::default(), BatchLoss::plus), self.sum(used))
    }

    /// Adds up the first `used` nets' gradients, in their order.
    fn sum(&self, used: usize) -> Vec<Option<Tensor>> {
        let mut sums: Vec<Option<Tensor>> = self.nets[0].trainable().map(|_| None).collect();
        for net in &self.nets[..used] {
            for (sum, (_, tensor)) in sums.iter_mut().zip(net.trainable()) {
                let gradient = tensor.grad();
                if gradient.defined() {
                    *sum = Some(match sum.take() {
                        Some(sum) => sum + gradient,
                        None => gradient.copy(),
                    });
                }
            }
        }
        sums
    }
}

impl BatchLoss {
    fn plus(self, other: &Self) -> Self {
        let add = |a: Option<f64>, b: Option<f64>| match (a, b) {
            (Some(a), Some(b)) => Some(a + b),
            (a, b) => a.or(b),
        };
        Self {
            total: self.total + other.total,
            policy: add(self.policy, other.policy),
            value: add(self.value, other.value),
        }
    }
}
