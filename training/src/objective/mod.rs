//! What training minimises. A new objective is a new file here.

mod alphamath;

use rand_chacha::ChaCha8Rng;
use tch::Tensor;

use crate::{Example, PolicyValueNet};

pub use alphamath::AlphaMath;

/// Target of positions that the policy does not learn; cross-entropy skips it.
const IGNORED: i64 = -100;

/// Examples of one step as tensors. B examples, T tokens with padding on the right.
#[derive(Debug)]
pub struct TensorBatch {
    /// Token ids, i64 `[B, T]`.
    pub tokens: Tensor,
    /// The next token where the policy learns it and -100 elsewhere, i64 `[B * T]`.
    pub policy_targets: Tensor,
    /// How many positions of `policy_targets` are learned.
    pub policy_count: usize,
    /// Rows of step ends in the flattened `[B * T]`, i64 `[N]`.
    pub value_rows: Tensor,
    /// Their targets, f32 `[N]`.
    pub value_targets: Tensor,
    /// N.
    pub value_count: usize,
}

impl TensorBatch {
    /// Pads examples to the longest.
    #[must_use]
    pub fn new<'a>(examples: impl Iterator<Item = &'a Example> + Clone) -> Self {
        let longest = examples.clone().map(|example| example.tokens.len()).max().unwrap_or(0);
        let (mut tokens, mut targets) = (Vec::new(), Vec::new());
        let (mut rows, mut values) = (Vec::new(), Vec::new());
        for (index, example) in examples.enumerate() {
            let start = index * longest;
            tokens.extend(example.tokens.iter().map(|&token| i64::from(token)));
            tokens.resize(start + longest, 0);
            // Position t predicts token t + 1.
            let learned = example.tokens.iter().zip(&example.policy_mask).skip(1);
            targets.extend(learned.map(|(&id, &on)| if on { i64::from(id) } else { IGNORED }));
            targets.resize(start + longest, IGNORED);
            for &(position, value) in &example.value_targets {
                rows.push((start + position) as i64);
                values.push(value);
            }
        }
        Self {
            tokens: Tensor::from_slice(&tokens).view([-1, longest.max(1) as i64]),
            policy_count: targets.iter().filter(|&&target| target != IGNORED).count(),
            policy_targets: Tensor::from_slice(&targets),
            value_count: rows.len(),
            value_rows: Tensor::from_slice(&rows),
            value_targets: Tensor::from_slice(&values),
        }
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

/// A loss and the parts that it was made of, for the metrics. The losses of a batch's shares add up to the batch's.
#[derive(Debug)]
pub struct Loss {
    /// What is differentiated, a scalar.
    pub total: Tensor,
    /// Share in the mean negative log-likelihood a target token, in nats; `None` without policy targets.
    pub policy: Option<f64>,
    /// Share in the mean squared error of the values; `None` without value targets.
    pub value: Option<f64>,
}

/// A loss over a batch.
pub trait Objective {
    /// The loss of a batch, or of a share of one that has `whole` targets. All randomness comes from `rng`, so that a
    /// step can be repeated bit for bit.
    fn loss(
        &self,
        net: &PolicyValueNet,
        batch: &TensorBatch,
        whole: Counts,
        rng: &mut ChaCha8Rng,
    ) -> Loss;
}
