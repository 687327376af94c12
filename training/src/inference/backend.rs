//! The seam between the scheduler and the two engines that compute: our own kernels on the CPU, or libtorch on a device.
//! It is crossed a few times a pass; below it nothing is chosen any more.

use std::sync::Arc;

use pulp::Arch;

use super::config::InferenceConfig;
use super::model::{Activations, Model, Pass};
use super::pages::Pool;
use super::prefix::State;
use super::team::Team;
use super::torch::TorchModel;
use crate::{Checkpoint, Dtype, Result};

/// Weights up to this size stay in the processor's caches, and every core runs passes of its own. Beyond it all cores
/// share each pass, so that the weights come from memory once for all rows.
const OWN_PASSES: usize = 32 << 20;
/// Rows of new contexts in a pass; a longer context is read alone. On the CPU a few fill the kernels and more would only
/// hold up the steps beside them; a GPU is not filled by less than this.
const CONTEXT_ROWS: usize = 96;
const DEVICE_CONTEXT_ROWS: usize = 2048;

/// A net on the engine that was chosen for it.
pub(super) enum Backend {
    /// Our own kernels: the same bits whatever else is in the pass.
    Host(Box<Model>),
    /// libtorch: any device that it knows. What a row comes to depends in its last digits on the rows beside it.
    Torch(Box<TorchModel>),
}

/// What a scheduler keeps from one call to the next.
#[derive(Default)]
pub(super) struct Work {
    host: Activations,
    /// libtorch's logits `[rows, vocab_size]`.
    logits: Vec<f32>,
}

impl Backend {
    /// A net over libtorch.
    ///
    /// # Errors
    /// When the device is not there, or has no room for the weights.
    pub fn torch(checkpoint: &Checkpoint, config: &InferenceConfig) -> Result<Self> {
        let device = config.device.open()?;
        Ok(Self::Torch(Box::new(TorchModel::new(checkpoint, device, config.kv_cache_dtype)?)))
    }

    /// Where the keys and values of this net lie, in the type that was asked for: on the CPU in 32 bits by default, on a
    /// device in the checkpoint's.
    pub fn pool(&self, dtype: Option<Dtype>) -> Arc<Pool> {
        match self {
            Self::Host(model) => Pool::new(model.cache, dtype.unwrap_or(Dtype::Float32)),
            Self::Torch(model) => Pool::elsewhere(model.cache, model.block_bytes()),
        }
    }

    /// How many schedulers there are on `threads` cores, and how many cores help each.
    pub fn schedulers(&self, threads: usize) -> (usize, usize) {
        match self {
            Self::Host(model) if model.bytes() <= OWN_PASSES => (threads, 1),
            // A device runs one pass at a time; the cores draw its tokens.
            Self::Host(_) | Self::Torch(_) => (1, threads),
        }
    }

    /// Prepares the calling thread for passes on so many cores.
    pub fn attach(&self, threads: usize) {
        if let Self::Torch(_) = self {
            // Of libtorch's operations on the CPU; a team's own threads take no part in them.
            tch::set_num_threads(i32::try_from(threads).unwrap_or(i32::MAX));
        }
    }

    /// Runs a pass where its engine wants it: among the team's threads, or on the scheduler's own, for which libtorch keeps
    /// handles and workspaces on the device.
    pub fn enter<R: Send>(&self, team: &Team, pass: impl FnOnce() -> R + Send) -> R {
        match self {
            Self::Host(_) => team.enter(pass),
            Self::Torch(_) => pass(),
        }
    }

    /// Rows of new contexts that a pass takes.
    pub fn context_rows(&self) -> usize {
        match self {
            Self::Host(_) => CONTEXT_ROWS,
            Self::Torch(_) => DEVICE_CONTEXT_ROWS,
        }
    }

    /// The kernels that draw tokens from logits.
    pub fn arch(&self) -> Arch {
        match self {
            Self::Host(model) => model.arch,
            Self::Torch(model) => model.arch,
        }
    }

    /// Positions that the net reads.
    pub fn max_length(&self) -> usize {
        match self {
            Self::Host(model) => model.max_length,
            Self::Torch(model) => model.max_length,
        }
    }

    /// Multiply-adds of the blocks' matrices for one row.
    pub fn body_cost(&self) -> usize {
        match self {
            Self::Host(model) => model.body_cost(),
            Self::Torch(model) => model.body_cost,
        }
    }

    /// Multiply-adds of the head for one row.
    pub fn head_cost(&self) -> usize {
        match self {
            Self::Host(model) => model.head_cost(),
            Self::Torch(model) => model.head_cost,
        }
    }

    /// Runs a pass: the final states of each context's wanted rows, then of the groups' rows.
    ///
    /// # Errors
    /// When the device refuses, most likely for want of memory.
    pub fn forward(&self, team: &Team, work: &mut Work, pass: &mut Pass<'_>) -> Result<Vec<State>> {
        match self {
            Self::Host(model) => {
                model.forward(team, &mut work.host, pass);
                let rows = 0..pass.sequences.iter().map(|sequence| sequence.wanted).sum();
                Ok(rows.map(|row| model.state(&work.host, row)).collect())
            }
            Self::Torch(model) => model.forward(pass),
        }
    }

    /// Computes the logits of final states, for [`Self::logits_of`].
    ///
    /// # Errors
    /// As [`Self::forward`].
    pub fn logits(&self, team: &Team, work: &mut Work, states: &[&[f32]]) -> Result<()> {
        match self {
            Self::Host(model) => {
                model.logits(team, &mut work.host, states);
                Ok(())
            }
            Self::Torch(model) => model.logits(states, &mut work.logits),
        }
    }

    /// Logits `[vocab_size]` of one of the states that were given to [`Self::logits`].
    pub fn logits_of(&self, work: &Work, row: usize, out: &mut Vec<f32>) {
        match self {
            Self::Host(model) => model.logits_of(&work.host, row, out),
            Self::Torch(model) => {
                out.clear();
                out.extend_from_slice(&work.logits[row * model.vocab_size..][..model.vocab_size]);
            }
        }
    }

    /// The value in [-1, 1] of a final state.
    pub fn value(&self, state: &[f32]) -> f32 {
        match self {
            Self::Host(model) => model.value_head.value(state),
            Self::Torch(model) => model.value_head.value(state),
        }
    }
}
