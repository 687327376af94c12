//! Examples of one forward and backward pass as tensors.

use tch::{Device, Kind, Tensor};

use super::Average;
use crate::error::Result;
use crate::example::Example;

/// An example of a step, and what the step gives it.
#[derive(Debug, Clone, Copy)]
pub struct Member<'a> {
    /// The example.
    pub example: &'a Example,
    /// Log-probabilities of its learnt tokens under the policy that wrote them; empty where the objective reads none.
    pub old_log_probs: &'a [f32],
    /// The same under the frozen net that training starts from; empty where the objective reads none.
    pub reference_log_probs: &'a [f32],
    /// Seed of the run, and the step.
    pub seed: [u64; 2],
    /// Step ends of the step's examples before this one: each step end has a stream of its own.
    pub first_step_end: u64,
}

impl<'a> Member<'a> {
    /// An example alone, without log-probabilities of other nets.
    #[must_use]
    pub fn alone(example: &'a Example) -> Self {
        let none: &[f32] = &[];
        let (old_log_probs, reference_log_probs) = (none, none);
        Self { example, old_log_probs, reference_log_probs, seed: [0; 2], first_step_end: 0 }
    }
}

/// B examples, T tokens with padding on the right, P tokens that the policy learns, N step ends with a value.
#[derive(Debug)]
pub struct TensorBatch {
    /// Token ids, i64 `[B, T]`.
    pub tokens: Tensor,
    /// Rows of the flattened `[B * T]` after which the policy learns the next token, i64 `[P]`.
    pub policy_rows: Tensor,
    /// Those tokens, i64 `[P]`.
    pub policy_targets: Tensor,
    /// Their weights, f32 `[P]`.
    pub policy_weights: Tensor,
    /// The example of each, in 0..B, i64 `[P]`.
    pub policy_examples: Tensor,
    /// The numbers that the objective gave each path, K of them, f32 `[B, K]`.
    pub signals: Tensor,
    /// Log-probabilities of the targets under the policy that wrote them, f32 `[P]`; empty where the objective reads none.
    pub old_log_probs: Tensor,
    /// The same under the frozen net that training starts from, f32 `[P]`; empty where the objective reads none.
    pub reference_log_probs: Tensor,
    /// Group of each example, B of them; examples of one group are neighbours where a pass never parts a group.
    pub groups: Vec<Option<u32>>,
    /// Rows of step ends in the flattened `[B * T]`, i64 `[N]`.
    pub value_rows: Tensor,
    /// Their targets, f32 `[N]`.
    pub value_targets: Tensor,
    /// Seed of the run, number of the step end in its step, and the step: where the random numbers of a step end come from.
    pub streams: Vec<[u64; 3]>,
}

impl TensorBatch {
    /// Pads examples to the longest.
    ///
    /// # Errors
    /// When the device has no room.
    pub fn new(members: &[Member<'_>], device: Device) -> Result<Self> {
        let lengths = members.iter().map(|member| member.example.tokens.len());
        let longest = lengths.max().unwrap_or(0);
        let mut tokens: Vec<i64> = Vec::with_capacity(members.len() * longest);
        let (mut policy_rows, mut policy_targets) = (Vec::new(), Vec::new());
        let (mut policy_weights, mut policy_examples) = (Vec::new(), Vec::new());
        let (mut value_rows, mut value_targets) = (Vec::new(), Vec::new());
        let mut streams = Vec::new();
        for (index, member) in members.iter().enumerate() {
            let Member { example, seed: [seed, step], first_step_end, .. } = member;
            let start = index * longest;
            tokens.extend(example.tokens.iter().map(|&token| i64::from(token)));
            for (position, weight) in example.learnt() {
                // Position t predicts token t + 1.
                policy_rows.push((start + position - 1) as i64);
                policy_targets.push(i64::from(example.tokens[position]));
                policy_weights.push(weight);
                policy_examples.push(index as i64);
            }
            tokens.resize(start + longest, 0);
            for (number, &(position, value)) in (*first_step_end..).zip(&example.value_targets) {
                value_rows.push((start + position) as i64);
                value_targets.push(value);
                streams.push([*seed, number, *step]);
            }
        }
        let signals = members.iter().flat_map(|member| member.example.signals.iter().copied());
        let signals: Vec<f32> = signals.collect();
        let width = signals.len() / members.len().max(1);
        let flat = |of: &dyn Fn(&Member<'_>) -> Vec<f32>| members.iter().flat_map(of).collect();
        let old: Vec<f32> = flat(&|member| member.old_log_probs.to_vec());
        let reference: Vec<f32> = flat(&|member| member.reference_log_probs.to_vec());
        let ids = |ids: &[i64]| Tensor::f_from_slice(ids)?.f_to_device(device);
        let numbers = |numbers: &[f32]| Tensor::f_from_slice(numbers)?.f_to_device(device);
        Ok(Self {
            tokens: ids(&tokens)?.f_view([-1, longest.max(1) as i64])?,
            policy_rows: ids(&policy_rows)?,
            policy_targets: ids(&policy_targets)?,
            policy_weights: numbers(&policy_weights)?,
            policy_examples: ids(&policy_examples)?,
            signals: numbers(&signals)?.f_view([members.len() as i64, width as i64])?,
            old_log_probs: numbers(&old)?,
            reference_log_probs: numbers(&reference)?,
            groups: members.iter().map(|member| member.example.group).collect(),
            value_rows: ids(&value_rows)?,
            value_targets: numbers(&value_targets)?,
            streams,
        })
    }

    /// How many tokens the policy learns, P.
    #[must_use]
    pub fn policy_count(&self) -> usize {
        self.policy_targets.numel()
    }

    /// How many step ends the value head learns, N.
    #[must_use]
    pub fn value_count(&self) -> usize {
        self.streams.len()
    }

    /// A signal of each learnt token's path, f32 `[P]`; `index` counts from 0 in the order of
    /// [`PathTargets::signals`](super::PathTargets::signals).
    ///
    /// # Errors
    /// When libtorch refuses, as when there is no such signal.
    pub fn signal(&self, index: usize) -> Result<Tensor> {
        Ok(self.signals.f_select(1, index as i64)?.f_index_select(0, &self.policy_examples)?)
    }

    /// The share of this pass in the weighted mean of numbers of the learnt tokens, `[P]`, over the whole batch, a scalar.
    ///
    /// # Errors
    /// When libtorch refuses, as when memory runs out.
    pub fn mean(&self, numbers: &Tensor, average: Average, whole: Counts) -> Result<Tensor> {
        let count = match average {
            Average::Tokens => whole.policy,
            Average::Paths => whole.paths,
        };
        let sum = numbers.f_mul(&self.policy_weights)?.f_sum(Kind::Float)?;
        Ok(sum.f_mul_scalar(1.0 / count as f64)?)
    }

    /// Sums numbers of the learnt tokens, `[P]`, over each example: `[B]`.
    ///
    /// # Errors
    /// When libtorch refuses, as when memory runs out.
    pub fn sum_by_example(&self, numbers: &Tensor) -> Result<Tensor> {
        let zeros =
            Tensor::f_zeros([self.groups.len() as i64], (numbers.kind(), numbers.device()))?;
        Ok(zeros.f_index_add(0, &self.policy_examples, numbers)?)
    }
}

/// What a whole batch holds, of which a [`TensorBatch`] may be a share: the denominators of the means. Losses that divide by
/// these add up to the batch's however it is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Tokens that the policy learns.
    pub policy: usize,
    /// Examples with such a token.
    pub paths: usize,
    /// Groups with such an example; an example without a group is one of its own.
    pub groups: usize,
    /// Step ends whose value is learned.
    pub value: usize,
}

impl Counts {
    /// What these examples hold.
    pub fn of<'a>(examples: impl Iterator<Item = &'a Example>) -> Self {
        let mut counts = Self::default();
        let mut groups = Vec::new();
        for example in examples {
            let learnt = example.policy_count();
            counts.policy += learnt;
            counts.value += example.value_targets.len();
            if learnt > 0 {
                counts.paths += 1;
                match example.group {
                    Some(group) => groups.push(group),
                    None => counts.groups += 1,
                }
            }
        }
        groups.sort_unstable();
        groups.dedup();
        counts.groups += groups.len();
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objective::PolicySpan;
    use crate::objective::testing::assert_near;

    /// An example of 5 tokens, 10 to 14, of which the policy learns some with a weight.
    fn example(learnt: std::ops::Range<u32>, weight: f32, group: Option<u32>) -> Example {
        Example {
            tokens: (10..15).collect(),
            policy: vec![PolicySpan { tokens: learnt, weight }],
            signals: vec![weight, -weight],
            group,
            ..Example::default()
        }
    }

    #[test]
    fn every_learnt_token_has_its_row_weight_path_and_signals() {
        let examples = [example(3..5, 0.5, None), example(1..2, 2.0, None)];
        let members: Vec<Member<'_>> = examples.iter().map(Member::alone).collect();
        let batch = TensorBatch::new(&members, Device::Cpu).unwrap();
        let ids = |tensor: &Tensor| Vec::<i64>::try_from(tensor).unwrap();
        assert_eq!(ids(&batch.policy_rows), [2, 3, 5]);
        assert_eq!(ids(&batch.policy_targets), [13, 14, 11]);
        assert_eq!(ids(&batch.policy_examples), [0, 0, 1]);
        let numbers = |tensor: Tensor| -> Vec<f64> {
            Vec::<f64>::try_from(&tensor.to_kind(Kind::Double).view([-1])).unwrap()
        };
        assert_near(&numbers(batch.signal(1).unwrap()), &[-0.5, -0.5, -2.0]);
        let of_tokens = Tensor::from_slice(&[1f32, 2.0, 4.0]);
        assert_near(&numbers(batch.sum_by_example(&of_tokens).unwrap()), &[3.0, 4.0]);
        let whole = Counts { policy: 10, paths: 5, ..Counts::default() };
        let mean = |average| numbers(batch.mean(&of_tokens, average, whole).unwrap());
        assert_near(&mean(Average::Tokens), &[0.95]);
        assert_near(&mean(Average::Paths), &[1.9]);
    }

    #[test]
    fn paths_without_targets_and_groups_are_counted_once() {
        let none = Example { policy: vec![], ..example(1..2, 1.0, Some(3)) };
        let examples = [
            example(3..5, 1.0, Some(1)),
            example(1..2, 1.0, Some(1)),
            none,
            example(1..2, 1.0, None),
        ];
        let counts = Counts::of(examples.iter());
        assert_eq!(counts, Counts { policy: 4, paths: 3, groups: 2, value: 0 });
    }
}
