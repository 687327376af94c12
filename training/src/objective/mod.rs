//! What training minimises. An objective is one file here: its settings, what it learns from a problem's solutions, and its
//! loss. It is registered by its `mod` line and its line in [`ObjectiveConfig`].

mod batch;
mod path;
#[cfg(test)]
mod testing;

mod alphamath;
mod grpo;
mod nft;
mod sft;

use std::fmt;

use serde::{Deserialize, Serialize};
use tch::Tensor;

use crate::error::Result;
use crate::net::PolicyValueNet;

pub use batch::{Counts, Member, TensorBatch};
pub use path::{
    Average, LabelledPath, PathStep, PathTargets, PolicySpan, PolicyTargets, Sampled, StepTargets,
    Unlearnt,
};

/// Makes [`ObjectiveConfig`] of a line a kind.
macro_rules! objectives {
    ($($kind:literal: $module:ident::$settings:ident),+ $(,)?) => {
        $(pub use $module::$settings;)+

        /// The recipe's `[objective]` section: a kind and its settings.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "kind")]
        pub enum ObjectiveConfig {
            $(
                #[doc = concat!("`kind = \"", $kind, "\"`: `", stringify!($settings), "`.")]
                #[serde(rename = $kind)]
                $settings($settings),
            )+
        }

        impl ObjectiveConfig {
            /// The name in recipes.
            #[must_use]
            pub fn kind(&self) -> &'static str {
                match self {
                    $(Self::$settings(_) => $kind,)+
                }
            }

            /// The objective with these settings.
            #[must_use]
            pub fn build(&self) -> Box<dyn Objective> {
                match self {
                    $(Self::$settings(settings) => Box::new(settings.clone()),)+
                }
            }
        }
    };
}

objectives! {
    "alphamath": alphamath::AlphaMath,
    "grpo": grpo::Grpo,
    "nft": nft::Nft,
    "sft": sft::Sft,
}

impl Default for ObjectiveConfig {
    fn default() -> Self {
        Self::AlphaMath(AlphaMath::default())
    }
}

/// A loss over batches of solutions. Its `Debug` form names the kind and every setting: a saved state is resumed only by a run
/// whose objective has the same one.
pub trait Objective: fmt::Debug + Send + Sync {
    /// Checks every setting's range.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::error::Error::Setting) with the first that is outside its range.
    fn validate(&self) -> Result<()>;

    /// What is learned from the paths of one problem, an entry a path.
    ///
    /// # Errors
    /// When these paths teach nothing, with the reason.
    fn targets(&self, paths: &[LabelledPath<'_>]) -> Result<Vec<PathTargets>, Unlearnt>;

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

    /// Whether the value head learns from labels. Only then are there paths that teach nothing else.
    fn learns_values(&self) -> bool {
        false
    }

    /// Whether a setting leaves observations out of a likelihood that would have them: the policy then does not learn to write
    /// what the environment appends.
    fn leaves_observations_out(&self) -> bool {
        false
    }

    /// What steps and passes may not part.
    fn grouping(&self) -> Grouping {
        Grouping::Paths
    }

    /// The log-probabilities that the loss reads beside the trained net's own.
    fn log_probs(&self) -> LogProbs {
        LogProbs::default()
    }
}

/// What an optimiser step, and a forward and backward pass, may not part. A group with more tokens than a step's or a pass's
/// limit is a step or a pass alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grouping {
    /// Paths are independent of one another.
    Paths,
    /// The paths of a problem share a step. Its passes may part them: the loss is a sum over paths.
    Step,
    /// The paths of a problem share a pass too: the loss joins them, as that of pairs does.
    Pass,
}

/// Log-probabilities of the learnt tokens under other nets than the trained one, fixed before training begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LogProbs {
    /// Under the policy that wrote the paths: the sampler's own where the labels carry them, else computed by the net that training
    /// starts from, which is exact when that net wrote them.
    pub old: bool,
    /// Under the net that training starts from.
    pub reference: bool,
}

/// A loss and the named parts that it was made of, for the metrics; scalars, which are read when the step is over. The losses of
/// a batch's shares add up to the batch's, and so do its parts.
#[derive(Debug)]
pub struct Loss {
    /// What is differentiated.
    pub total: Tensor,
    /// Name in the metrics and number; a part that the share has nothing of is left out.
    pub parts: Vec<(&'static str, Tensor)>,
}

/// Log-probabilities in nats of a batch's targets, fp32 `[P]`, from final hidden states `[B * T, D]`.
///
/// # Errors
/// When libtorch refuses, as when memory runs out.
pub fn log_probs(net: &PolicyValueNet, hidden: &Tensor, batch: &TensorBatch) -> Result<Tensor> {
    chosen(&net.logits(&rows(hidden, &batch.policy_places)?)?, batch)
}

/// Log-probabilities of a batch's targets, fp32 `[P]`, from the logits of their places, `[U, V]`.
fn chosen(logits: &Tensor, batch: &TensorBatch) -> Result<Tensor> {
    let all = logits.f_log_softmax(-1, tch::Kind::Float)?;
    let vocabulary = all.size().last().copied().unwrap_or(1);
    let index = batch.policy_index.f_mul_scalar(vocabulary)?.f_add(&batch.policy_targets)?;
    Ok(all.f_view([-1])?.f_index_select(0, &index)?)
}

/// Rows of final hidden states. The rows alone that have targets are read: a language model's head is as much work as a fifth
/// of its blocks. An embedding is a selection of rows whose backward pass is quick.
pub(crate) fn rows(hidden: &Tensor, rows: &Tensor) -> Result<Tensor> {
    Ok(Tensor::f_embedding(hidden, rows, -1, false, false)?)
}
