//! The gradient of a batch, computed in shares side by side.
//!
//! libtorch's own threads meet at the end of every operation, which costs more than it gains. Here each thread runs whole
//! forward and backward passes over its share of the batch, and the shares meet once a step. The number of shares is a
//! setting and not the number of cores, so that the same run gives the same bits on any machine.

use std::collections::BTreeMap;
use std::time::Instant;

use super::loader::Batch;
use crate::error::Result;
use crate::net::{Gradients, PolicyValueNet, add};
use crate::objective::{Counts, Loss, Objective, TensorBatch};
use crate::side_by_side::side_by_side;

/// A net, and what it shares with other threads: the same leaves.
#[derive(Debug)]
pub(super) struct Shards {
    nets: Vec<PolicyValueNet>,
    /// Whether the shares run side by side.
    parallel: bool,
}

/// The loss of a whole batch in numbers.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct BatchLoss {
    pub total: f64,
    pub parts: BTreeMap<String, f64>,
}

/// The results of a batch.
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
    pub fn gradients(&mut self, objective: &dyn Objective, batch: Batch) -> Result<Outcome> {
        let Batch { shares, whole, .. } = batch;
        let tasks = self.nets.iter_mut().zip(shares);
        let run = |(net, passes): (&mut PolicyValueNet, _)| share(net, objective, passes, whole);
        let outcomes: Vec<Result<Outcome>> =
            if self.parallel { side_by_side(tasks, run) } else { tasks.map(run).collect() };
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
    objective: &dyn Objective,
    passes: Vec<TensorBatch>,
    whole: Counts,
) -> Result<Outcome> {
    let start = Instant::now();
    let mut forward = 0.0;
    let mut sum: Gradients = net.trainable().map(|_| None).collect();
    let mut losses = Vec::with_capacity(passes.len());
    for batch in passes {
        let begin = Instant::now();
        let (loss, gradients) = net.gradients(&batch.layout, |hidden| {
            let Loss { total, parts } = objective.loss(net, hidden, &batch, whole)?;
            forward += begin.elapsed().as_secs_f64();
            let parts = parts.into_iter().map(|(name, part)| (name, part.detach())).collect();
            Ok((total.shallow_clone(), Loss { total: total.detach(), parts }))
        })?;
        for (sum, gradient) in sum.iter_mut().zip(gradients) {
            add(sum, gradient)?;
        }
        losses.push(loss);
    }
    let mut loss = BatchLoss::default();
    // Read when all has been asked for: until then a GPU need not be waited for.
    for Loss { total, parts } in losses {
        let parts =
            parts.into_iter().map(|(name, part)| Ok((name.to_owned(), f64::try_from(&part)?)));
        loss.add(BatchLoss { total: f64::try_from(&total)?, parts: parts.collect::<Result<_>>()? });
    }
    Ok(Outcome { loss, gradients: vec![sum], forward, passes: start.elapsed().as_secs_f64() })
}

impl Outcome {
    fn add(&mut self, other: Self) {
        self.loss.add(other.loss);
        self.gradients.extend(other.gradients);
        self.forward += other.forward;
        self.passes += other.passes;
    }
}

impl BatchLoss {
    fn add(&mut self, other: Self) {
        self.total += other.total;
        for (name, part) in other.parts {
            self.parts.entry(name).and_modify(|sum| *sum += part).or_insert(part);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use espalier_model::checkpoint::Checkpoint;
    use espalier_model::config::{LoraConfig, NetConfig};
    use espalier_model::device::Device;
    use espalier_model::dtype::Dtype;
    use espalier_model::lora::Adapter;
    use espalier_model::tokenizer::{Tokenizer, Tokens};

    use crate::example::Example;
    use crate::objective::{AlphaMath, PolicySpan};
    use crate::optimizer::sum_and_norm;
    use crate::trainer::frozen::Frozen;
    use crate::trainer::plan::Plan;
    use crate::trainer::{Compute, Job, TrainConfig, loader};

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
        Checkpoint::initialise(&net, Tokenizer::fresh(Tokens::Characters).unwrap(), 1).unwrap()
    }

    /// Forty examples of 6 to 44 tokens, of which four at a time begin alike; every third teaches no policy, every fourth no value, and four
    /// nothing at all.
    fn examples() -> Vec<Example> {
        (0..40)
            .map(|index| {
                let length = 6 + index * 7 % 39;
                let values =
                    if index % 4 == 0 { vec![] } else { vec![(4, 0.5), (length - 1, -1.0)] };
                Example {
                    tokens: (0..length)
                        .map(|at| {
                            let text = if at < 5 { index / 4 } else { index };
                            ((text * 31 + at * 17) % 90) as u32
                        })
                        .collect(),
                    group: Some(index as u32 / 4),
                    policy: match index % 3 {
                        0 => vec![],
                        _ => vec![PolicySpan { tokens: 3..length as u32, weight: 1.0 }],
                    },
                    value_targets: values,
                    ..Example::default()
                }
            })
            .collect()
    }

    /// One step of all examples, cut as `config` says: its loss, gradients and number of passes.
    fn step(config: &TrainConfig, net: PolicyValueNet) -> (BatchLoss, Gradients, usize) {
        let (base, examples) = (checkpoint(), examples());
        let objective = AlphaMath { value_dropout: 0.3, ..AlphaMath::default() };
        let job = Job {
            base: &base,
            examples: &examples,
            objective: &objective,
            config,
            seed: 7,
            compute: CPU,
        };
        let plan = Plan::new(&job).unwrap();
        assert_eq!(plan.steps(), 1);
        let frozen = Frozen::new(&job, &plan).unwrap();
        let batch = loader::load(&plan, &frozen, 7, tch::Device::Cpu, 0).unwrap();
        let passes = batch.shares.iter().map(Vec::len).sum();
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
        assert!((found.0.total - expected.0.total).abs() < 1e-5, "{:?} {:?}", found.0, expected.0);
        assert!(found.0.parts.keys().eq(["policy_loss", "value_loss"]), "{:?}", found.0);
        for (name, part) in &expected.0.parts {
            assert!((found.0.parts[name] - part).abs() < 1e-5, "{:?} {:?}", found.0, expected.0);
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
            let packed =
                step(&TrainConfig { packed: true, ..config }, PolicyValueNet::new(&checkpoint()));
            assert_same(&packed, &expected);
            assert!(micro_batch_tokens != Some(100) || packed.2 > 4, "{} passes", packed.2);
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
