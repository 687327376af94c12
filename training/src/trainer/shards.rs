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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objective::AlphaMath;
    use crate::optimizer::sum_and_norm;
    use crate::trainer::plan::Plan;
    use crate::trainer::{Compute, TrainConfig, loader};
    use crate::{Adapter, Checkpoint, Device, Dtype, Example, LoraConfig, NetConfig, Tokenizer};

    const CPU: Compute = Compute { device: Device::Cpu, threads: 2 };

    fn checkpoint() -> Checkpoint {
        let net = NetConfig {
            layers: 3,
            width: 32,
            heads: 4,
            key_value_heads: 2,
            intermediate: 48,
            ..NetConfig::default()
        };
        Checkpoint::initialise(&net, Tokenizer::characters().unwrap(), 1).unwrap()
    }

    /// Forty examples of 6 to 44 tokens; every third teaches no policy, every fourth no value, and four nothing at all.
    fn examples() -> Vec<Example> {
        (0..40)
            .map(|index| {
                let length = 6 + index * 7 % 39;
                let values =
                    if index % 4 == 0 { vec![] } else { vec![(4, 0.5), (length - 1, -1.0)] };
                Example {
                    tokens: (0..length).map(|at| ((index * 31 + at * 17) % 90) as u32).collect(),
                    policy_mask: (0..length).map(|at| index % 3 > 0 && at > 2).collect(),
                    value_targets: values,
                }
            })
            .collect()
    }

    /// One step of all examples, cut as `config` says: its loss, gradients and number of passes.
    fn step(config: &TrainConfig, net: PolicyValueNet) -> (BatchLoss, Gradients, usize) {
        let (base, examples) = (checkpoint(), examples());
        let plan = Plan::new(&base, &examples, config, 7, &CPU).unwrap();
        assert_eq!(plan.steps.len(), 1);
        let batch = loader::load(&plan, 7, tch::Device::Cpu, 0).unwrap();
        let passes = batch.shares.iter().map(Vec::len).sum();
        let objective = AlphaMath { beta: 0.1, value_dropout: 0.3 };
        let outcome =
            Shards::new(net, config.shards, CPU.threads).gradients(&objective, batch).unwrap();
        let mut gradients = outcome.gradients.into_iter();
        let mut sum = gradients.next().unwrap();
        sum_and_norm(&mut sum, gradients.as_slice(), 2).unwrap();
        (outcome.loss, sum, passes)
    }

    fn whole() -> TrainConfig {
        TrainConfig { max_steps: Some(1), shards: 1, batch_tokens: 8192, ..TrainConfig::default() }
    }

    #[track_caller]
    fn assert_same(
        found: &(BatchLoss, Gradients, usize),
        expected: &(BatchLoss, Gradients, usize),
    ) {
        for (one, other) in [
            (Some(found.0.total), Some(expected.0.total)),
            (found.0.policy, expected.0.policy),
            (found.0.value, expected.0.value),
        ] {
            assert!((one.unwrap() - other.unwrap()).abs() < 1e-5, "{:?} {:?}", found.0, expected.0);
        }
        assert_eq!(found.1.len(), expected.1.len());
        for (index, (one, other)) in found.1.iter().zip(&expected.1).enumerate() {
            let (one, other) = (one.as_ref().unwrap(), other.as_ref().unwrap());
            let off = (one - other).abs().max().double_value(&[]);
            assert!(off < 1e-5, "tensor {index} is off by {off}");
            assert!(other.abs().max().double_value(&[]) > 1e-4, "tensor {index} has a gradient");
        }
    }

    #[test]
    fn a_step_is_the_same_however_it_is_cut() {
        let expected = step(&whole(), PolicyValueNet::new(&checkpoint()));
        for (shards, micro_batch_tokens) in [(1, Some(100)), (1, Some(1)), (3, None), (2, Some(90))]
        {
            let config = TrainConfig { shards, micro_batch_tokens, ..whole() };
            let found = step(&config, PolicyValueNet::new(&checkpoint()));
            assert_same(&found, &expected);
            assert!(found.2 > expected.2, "{shards} shards, {micro_batch_tokens:?}: {}", found.2);
            assert!(micro_batch_tokens != Some(1) || found.2 == 36);
        }
    }

    #[test]
    fn activation_checkpointing_gives_the_same_gradients() {
        let lora = LoraConfig { rank: 2, alpha: 4.0, target_modules: vec!["v_proj".into()] };
        let base = checkpoint();
        let mut adapter = Adapter::initialise(&base.parameters, &lora, 1).unwrap();
        // A fresh adapter's B is 0, and A has no gradient then.
        let filled = adapter.iter().map(|(name, tensor)| {
            let mut tensor = tensor.clone();
            tensor
                .values
                .iter_mut()
                .enumerate()
                .for_each(|(i, value)| *value = (i as f32).sin() * 0.1);
            (name.to_owned(), tensor)
        });
        adapter = adapter.with_tensors(filled.collect());
        let nets: [&dyn Fn() -> PolicyValueNet; 2] = [&|| PolicyValueNet::new(&base), &|| {
            PolicyValueNet::with_adapter(&base, &adapter).unwrap()
        }];
        for net in nets {
            let config = TrainConfig { micro_batch_tokens: Some(300), ..whole() };
            let expected = step(&config, net());
            let found = step(&config, net().with_activation_checkpointing(true));
            assert_same(&found, &expected);
        }
    }

    #[test]
    fn bfloat16_is_near_or_refused() {
        let net = PolicyValueNet::new(&checkpoint()).with_precision(Dtype::BFloat16);
        let net = match net {
            Ok(net) => net,
            Err(error) => {
                assert!(error.to_string().contains("AVX512-BF16"), "{error}");
                return espalier_search::testing::skipped(&format!(
                    "training in bfloat16: {error}"
                ));
            }
        };
        let (expected, found) =
            (step(&whole(), PolicyValueNet::new(&checkpoint())), step(&whole(), net));
        assert!((found.0.total - expected.0.total).abs() < 0.02, "{:?} {:?}", found.0, expected.0);
        assert_ne!(found.0, expected.0, "these are fp32's numbers");
        for (one, other) in found.1.iter().zip(&expected.1) {
            let (one, other) = (one.as_ref().unwrap(), other.as_ref().unwrap());
            assert_eq!(one.kind(), tch::Kind::Float);
            let off = (one - other).norm().double_value(&[]) / other.norm().double_value(&[]);
            assert!(off < 0.05, "{off}");
        }
    }
}
