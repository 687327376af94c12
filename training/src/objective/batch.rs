//! Examples of one forward and backward pass as tensors.

use std::collections::HashMap;

use espalier_model::random::token_hash;
use tch::{Device, Kind, Tensor};

use super::Average;
use crate::error::Result;
use crate::example::Example;
use crate::net::{Block, Layout, PolicyValueNet};
use crate::tree::TokenTree;

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
}

impl<'a> Member<'a> {
    /// An example alone, without log-probabilities of other nets.
    #[must_use]
    pub fn alone(example: &'a Example) -> Self {
        let none: &[f32] = &[];
        Self { example, old_log_probs: none, reference_log_probs: none, seed: [0; 2] }
    }
}

/// B examples in N tokens, padding included; P tokens that the policy learns, at U places; E step ends with a value, at M places. Where
/// examples share a beginning, what they learn there is at one place.
#[derive(Debug)]
pub struct TensorBatch {
    pub(crate) layout: Layout,
    /// Places after which the policy learns the next token, i64 `[U]`.
    pub policy_places: Tensor,
    /// Of each learnt token its place's number in 0..U, i64 `[P]`.
    pub policy_index: Tensor,
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
    /// Places of step ends, i64 `[M]`.
    pub value_places: Tensor,
    /// Of each step end its place's number in 0..M, i64 `[E]`.
    pub value_index: Tensor,
    /// Their targets, f32 `[E]`.
    pub value_targets: Tensor,
    /// Their weights, f32 `[E]`.
    pub value_weights: Tensor,
    /// Where the random numbers of a step end's place come from, M of them: seed of the run, a hash of the text up to there, and the
    /// step. A place that examples share has one in any layout.
    pub streams: Vec<[u64; 3]>,
}

impl TensorBatch {
    /// A pass over examples each of which is a row alone, padded to the longest.
    ///
    /// # Errors
    /// When the device has no room.
    pub fn padded(members: &[Member<'_>], device: Device) -> Result<Self> {
        let rows: Vec<Vec<Member<'_>>> = members.iter().map(|&member| vec![member]).collect();
        Self::new(&[&rows], device)
    }

    /// A pass over blocks of rows, each padded to the longest of its block. A row is a tree of its examples.
    ///
    /// # Errors
    /// When the device has no room.
    pub fn new(blocks: &[&[Vec<Member<'_>>]], device: Device) -> Result<Self> {
        let mut lists = Lists::default();
        for rows in blocks {
            lists.block(rows)?;
        }
        let ids = |ids: &[i64]| Tensor::f_from_slice(ids)?.f_to_device(device);
        let numbers = |numbers: &[f32]| Tensor::f_from_slice(numbers)?.f_to_device(device);
        let width = lists.signals.len() / lists.groups.len().max(1);
        let examples = lists.groups.len() as i64;
        let mut blocks = std::mem::take(&mut lists.blocks);
        for block in &mut blocks {
            block.ends = block.ends.take().map(|ends| ends.f_to_device(device)).transpose()?;
        }
        Ok(Self {
            layout: Layout {
                tokens: ids(&lists.tokens)?,
                positions: ids(&lists.positions)?,
                blocks,
                longest: lists.longest,
            },
            policy_places: ids(&lists.policy.places)?,
            policy_index: ids(&lists.policy.index)?,
            policy_targets: ids(&lists.policy_targets)?,
            policy_weights: numbers(&lists.policy_weights)?,
            policy_examples: ids(&lists.policy_examples)?,
            signals: numbers(&lists.signals)?.f_view([examples, width as i64])?,
            old_log_probs: numbers(&lists.old)?,
            reference_log_probs: numbers(&lists.reference)?,
            groups: lists.groups,
            value_places: ids(&lists.value.places)?,
            value_index: ids(&lists.value.index)?,
            value_targets: numbers(&lists.value_targets)?,
            value_weights: numbers(&lists.value_weights)?,
            streams: lists.streams,
        })
    }

    /// A net's final hidden states `[N, D]` of the batch's tokens.
    ///
    /// # Errors
    /// When libtorch refuses, as when memory runs out.
    pub fn hidden_states(&self, net: &PolicyValueNet) -> Result<Tensor> {
        net.states(&self.layout)
    }

    /// How many tokens are computed, N.
    #[must_use]
    pub fn tokens(&self) -> usize {
        self.layout.tokens.numel()
    }

    /// How many tokens the policy learns, P.
    #[must_use]
    pub fn policy_count(&self) -> usize {
        self.policy_targets.numel()
    }

    /// How many step ends the value head learns, E.
    #[must_use]
    pub fn value_count(&self) -> usize {
        self.value_targets.numel()
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

/// What becomes a batch's tensors.
#[derive(Default)]
struct Lists {
    tokens: Vec<i64>,
    positions: Vec<i64>,
    blocks: Vec<Block>,
    longest: usize,
    policy: Places,
    policy_targets: Vec<i64>,
    policy_weights: Vec<f32>,
    policy_examples: Vec<i64>,
    signals: Vec<f32>,
    old: Vec<f32>,
    reference: Vec<f32>,
    groups: Vec<Option<u32>>,
    value: Places,
    value_targets: Vec<f32>,
    value_weights: Vec<f32>,
    streams: Vec<[u64; 3]>,
}

/// Different places, and which of them each entry has.
#[derive(Default)]
struct Places {
    places: Vec<i64>,
    index: Vec<i64>,
    known: HashMap<i64, i64>,
}

impl Places {
    /// Adds an entry, and says whether its place is new.
    fn push(&mut self, place: i64) -> bool {
        let next = self.places.len() as i64;
        let number = *self.known.entry(place).or_insert(next);
        self.index.push(number);
        if number == next {
            self.places.push(place);
        }
        number == next
    }
}

impl Lists {
    fn block(&mut self, rows: &[Vec<Member<'_>>]) -> Result<()> {
        let tree = |row: &Vec<Member<'_>>| {
            let paths: Vec<&[u32]> =
                row.iter().map(|member| member.example.tokens.as_slice()).collect();
            TokenTree::new(&paths)
        };
        let trees: Vec<TokenTree> = rows.iter().map(tree).collect();
        let length = trees.iter().map(|tree| tree.tokens.len()).max().unwrap_or(0);
        let paths = trees.iter().all(TokenTree::is_path);
        let mut ends = Vec::new();
        for (tree, row) in trees.iter().zip(rows) {
            let start = self.tokens.len();
            for (member, places) in row.iter().zip(&tree.places) {
                self.member(member, start, places);
            }
            self.tokens.extend(tree.tokens.iter().map(|&token| i64::from(token)));
            self.positions.extend(tree.depths.iter().map(|&depth| i64::from(depth)));
            // Padding sees itself alone.
            self.tokens.resize(start + length, 0);
            self.positions.resize(start + length, 0);
            if !paths {
                ends.extend(tree.ends.iter().map(|&end| i64::from(end)));
                ends.extend((tree.tokens.len()..length).map(|place| place as i64 + 1));
            }
            self.longest = self.longest.max(tree.places.iter().map(Vec::len).max().unwrap_or(0));
        }
        let (rows, length) = (rows.len() as i64, length as i64);
        let ends = (!paths).then(|| Tensor::f_from_slice(&ends)?.f_view([rows, length]));
        self.blocks.push(Block { rows, length, ends: ends.transpose()? });
        Ok(())
    }

    /// An example whose tokens lie at these places from `start` on.
    fn member(&mut self, member: &Member<'_>, start: usize, places: &[u32]) {
        let Member { example, old_log_probs, reference_log_probs, seed: [seed, step] } = member;
        let at = |position: usize| start as i64 + i64::from(places[position]);
        for (position, weight) in example.learnt() {
            // Position t predicts token t + 1.
            self.policy.push(at(position - 1));
            self.policy_targets.push(i64::from(example.tokens[position]));
            self.policy_weights.push(weight);
            self.policy_examples.push(self.groups.len() as i64);
        }
        for (&(position, value), weight) in
            example.value_targets.iter().zip(example.value_weights())
        {
            if self.value.push(at(position)) {
                self.streams.push([*seed, token_hash(&example.tokens[..=position]), *step]);
            }
            self.value_targets.push(value);
            self.value_weights.push(weight);
        }
        self.signals.extend_from_slice(&example.signals);
        self.old.extend_from_slice(old_log_probs);
        self.reference.extend_from_slice(reference_log_probs);
        self.groups.push(example.group);
    }
}

/// What a whole batch holds, of which a [`TensorBatch`] may be a share: the denominators of the means. Losses that divide by
/// these add up to the batch's however it is cut.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Counts {
    /// Tokens that the policy learns.
    pub policy: usize,
    /// Examples with such a token.
    pub paths: usize,
    /// Groups with such an example; an example without a group is one of its own.
    pub groups: usize,
    /// Step ends whose value is learned, each as much as it weighs.
    pub value: f64,
}

impl Counts {
    /// What these examples hold.
    pub fn of<'a>(examples: impl Iterator<Item = &'a Example>) -> Self {
        let mut counts = Self::default();
        let mut groups = Vec::new();
        for example in examples {
            let learnt = example.policy_count();
            counts.policy += learnt;
            counts.value += example.value_weights().map(f64::from).sum::<f64>();
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
        let batch = TensorBatch::padded(&members, Device::Cpu).unwrap();
        let ids = |tensor: &Tensor| Vec::<i64>::try_from(tensor).unwrap();
        assert_eq!(ids(&batch.policy_places), [2, 3, 5]);
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
        assert_eq!(counts, Counts { policy: 4, paths: 3, groups: 2, value: 0.0 });
    }
}
