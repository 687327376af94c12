//! What training minimises. A new objective is a new file here.

mod alphamath;

use tch::{Device, Tensor};

use crate::{Example, PolicyValueNet, Result};

pub use alphamath::AlphaMath;

/// Distinguishes this use of the seed from others.
const DROPOUT: u64 = u64::from_le_bytes(*b"dropout\0");

/// An example of a step, and the random numbers that the step gives it.
#[derive(Debug, Clone, Copy)]
pub struct Member<'a> {
    /// The example.
    pub example: &'a Example,
    /// Seed of the run, and the step.
    pub seed: [u64; 2],
    /// Step ends of the step's examples before this one: each step end has a stream of its own.
    pub first_step_end: u64,
}

/// Examples of one forward and backward pass as tensors. B examples, T tokens with padding on the right.
#[derive(Debug)]
pub struct TensorBatch {
    /// Token ids, i64 `[B, T]`.
    pub tokens: Tensor,
    /// Rows of the flattened `[B * T]` after which the policy learns the next token, i64 `[P]`.
    pub policy_rows: Tensor,
    /// Those tokens, i64 `[P]`.
    pub policy_targets: Tensor,
    /// Rows of step ends in the flattened `[B * T]`, i64 `[N]`.
    pub value_rows: Tensor,
    /// Their targets, f32 `[N]`.
    pub value_targets: Tensor,
    /// Seed, purpose and step of the random numbers of each step end, N of them.
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
        let (mut value_rows, mut value_targets) = (Vec::new(), Vec::new());
        let mut streams = Vec::new();
        for (index, Member { example, seed: [seed, step], first_step_end }) in
            members.iter().enumerate()
        {
            let start = index * longest;
            tokens.extend(example.tokens.iter().map(|&token| i64::from(token)));
            // Position t predicts token t + 1.
            let tokens_and_mask = example.tokens.iter().zip(&example.policy_mask);
            for (position, (&token, &learned)) in tokens_and_mask.enumerate().skip(1) {
                if learned {
                    policy_rows.push((start + position - 1) as i64);
                    policy_targets.push(i64::from(token));
                }
            }
            tokens.resize(start + longest, 0);
            for (number, &(position, value)) in (*first_step_end..).zip(&example.value_targets) {
                value_rows.push((start + position) as i64);
                value_targets.push(value);
                streams.push([*seed, DROPOUT.wrapping_add(number), *step]);
            }
        }
        let ids = |ids: &[i64]| Tensor::f_from_slice(ids)?.f_to_device(device);
        Ok(Self {
            tokens: ids(&tokens)?.f_view([-1, longest.max(1) as i64])?,
            policy_rows: ids(&policy_rows)?,
            policy_targets: ids(&policy_targets)?,
            value_rows: ids(&value_rows)?,
            value_targets: Tensor::f_from_slice(&value_targets)?.f_to_device(device)?,
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
}

/// How many targets a whole batch has, of which a [`TensorBatch`] may be a share: the denominators of the means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Tokens that the policy learns.
    pub policy: usize,
    /// Step ends whose value is learned.
    pub value: usize,
}

impl Counts {
    /// The targets of these examples.
    pub fn of<'a>(examples: impl Iterator<Item = &'a Example>) -> Self {
        let mut counts = Self { policy: 0, value: 0 };
        for example in examples {
            // The first token has no token before it that could predict it.
            counts.policy += example.policy_mask.iter().skip(1).filter(|&&on| on).count();
            counts.value += example.value_targets.len();
        }
        counts
    }
}

/// A loss and the parts that it was made of, for the metrics; scalars, which are read when the step is over. The losses
/// of a batch's shares add up to the batch's.
#[derive(Debug)]
pub struct Loss {
    /// What is differentiated.
    pub total: Tensor,
    /// Share in the mean negative log-likelihood a target token, in nats; `None` without policy targets.
    pub policy: Option<Tensor>,
    /// Share in the mean squared error of the values; `None` without value targets.
    pub value: Option<Tensor>,
}

/// A loss over a batch.
pub trait Objective {
    /// The loss of a batch with final hidden states `[B * T, D]`, or of a share of one that has `whole` targets. All
    /// randomness comes from the batch's streams, so that a step can be repeated bit for bit and cut anywhere.
    ///
    /// # Errors
    /// When libtorch refuses, as when memory runs out.
    fn loss(
        &self,
        net: &PolicyValueNet,
        hidden: &Tensor,
        batch: &TensorBatch,
        whole: Counts,
    ) -> Result<Loss>;
}
