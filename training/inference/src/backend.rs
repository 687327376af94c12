//! The seam between the scheduler and the two engines that compute: our own kernels on the CPU, or libtorch on a device.
//! It is crossed a few times a pass; below it nothing is chosen any more.

use std::cell::RefCell;
use std::sync::Arc;

use espalier_model::checkpoint::Checkpoint;
use espalier_model::device::Device;
use espalier_model::dtype::Dtype;
use espalier_model::error::Result;

#[cfg(feature = "torch")]
use super::config::InferenceConfig;
use super::config::WeightFormat;
use super::model::{Activations, Model, Pass};
use super::pages::Pool;
use super::prefix::State;
use super::sampling::{Ask, Distribution, Drawn, SamplingConfig};
use super::team::Team;
#[cfg(feature = "torch")]
use super::torch::{self, TorchModel};

/// Weights up to this size stay in the processor's caches, and every core runs passes of its own. Beyond it all cores
/// share each pass, so that the weights come from memory once for all rows.
const OWN_PASSES: usize = 32 << 20;
/// Rows of new contexts in a pass; a longer context is read alone. On the CPU a few fill the kernels and more would only
/// hold up the steps beside them; a GPU is not filled by less than this.
const CONTEXT_ROWS: usize = 96;
#[cfg(feature = "torch")]
const DEVICE_CONTEXT_ROWS: usize = 2048;

/// A net on the engine that was chosen for it.
pub(super) enum Backend {
    /// Our own kernels: the same bits whatever else is in the pass.
    Host(Box<Model>),
    /// libtorch: any device that it knows. What a row comes to depends in its last digits on the rows beside it.
    #[cfg(feature = "torch")]
    Torch(Box<TorchModel>),
}

/// What a scheduler keeps from one call to the next.
#[derive(Default)]
pub(super) struct Work {
    host: Activations,
    /// libtorch's logits `[rows, vocab_size]`, on the device.
    #[cfg(feature = "torch")]
    logits: Option<tch::Tensor>,
}

thread_local! {
    /// Logits of one row, and what is drawn from.
    static SCRATCH: RefCell<(Vec<f32>, Distribution)> = RefCell::default();
}

impl Backend {
    /// A net over our own kernels, its weights in the type that was asked for.
    pub fn host(checkpoint: &Checkpoint, weights: Option<WeightFormat>) -> Self {
        Self::Host(Box::new(Model::new(checkpoint, weights)))
    }

    /// Checks that nets can be computed on a device.
    ///
    /// # Errors
    /// [`Error::Setting`](espalier_model::error::Error::Setting) when the device is not there.
    pub fn check(device: Device) -> Result<()> {
        #[cfg(feature = "torch")]
        espalier_torch::device::open(device)?;
        #[cfg(not(feature = "torch"))]
        if device != Device::Cpu {
            return Err(Self::no_torch(device));
        }
        Ok(())
    }

    /// The refusal of a GPU by a program without libtorch.
    #[cfg(not(feature = "torch"))]
    pub fn no_torch(device: Device) -> espalier_model::error::Error {
        espalier_model::error::Error::Setting {
            field: espalier_model::device::SETTING,
            message: format!(
                "\"{device}\" needs libtorch, and this program was built without the feature torch"
            ),
        }
    }

    /// A net over libtorch.
    ///
    /// # Errors
    /// When the device is not there, or has no room for the weights.
    #[cfg(feature = "torch")]
    pub fn torch(checkpoint: &Checkpoint, config: &InferenceConfig) -> Result<Self> {
        let device = espalier_torch::device::open(config.device)?;
        Ok(Self::Torch(Box::new(TorchModel::new(checkpoint, device, config.kv_cache_dtype)?)))
    }

    /// Where the keys and values of this net lie, in the type that was asked for: on the CPU in 32 bits by default, on a
    /// device in the checkpoint's.
    pub fn pool(&self, dtype: Option<Dtype>) -> Arc<Pool> {
        match self {
            Self::Host(model) => Pool::new(model.cache, dtype.unwrap_or(Dtype::Float32)),
            #[cfg(feature = "torch")]
            Self::Torch(model) => Pool::elsewhere(model.cache, model.block_bytes()),
        }
    }

    /// How many schedulers there are on `threads` cores, and how many cores help each.
    pub fn schedulers(&self, threads: usize) -> (usize, usize) {
        match self {
            Self::Host(model) if model.bytes() <= OWN_PASSES => (threads, 1),
            Self::Host(_) => (1, threads),
            // A device runs one pass at a time; the cores draw its tokens.
            #[cfg(feature = "torch")]
            Self::Torch(_) => (1, threads),
        }
    }

    /// Prepares the calling thread for passes on so many cores.
    #[cfg(feature = "torch")]
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
            #[cfg(feature = "torch")]
            Self::Torch(_) => pass(),
        }
    }

    /// Rows of new contexts that a pass takes.
    pub fn context_rows(&self) -> usize {
        match self {
            Self::Host(_) => CONTEXT_ROWS,
            #[cfg(feature = "torch")]
            Self::Torch(_) => DEVICE_CONTEXT_ROWS,
        }
    }

    /// Positions that the net reads.
    pub fn max_length(&self) -> usize {
        match self {
            Self::Host(model) => model.max_length,
            #[cfg(feature = "torch")]
            Self::Torch(model) => model.max_length,
        }
    }

    /// Multiply-adds of the blocks' matrices for one row.
    pub fn body_cost(&self) -> usize {
        match self {
            Self::Host(model) => model.body_cost(),
            #[cfg(feature = "torch")]
            Self::Torch(model) => model.body_cost,
        }
    }

    /// Multiply-adds of the head for one row.
    pub fn head_cost(&self) -> usize {
        match self {
            Self::Host(model) => model.head_cost(),
            #[cfg(feature = "torch")]
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
            #[cfg(feature = "torch")]
            Self::Torch(model) => Ok(model.forward(pass)?),
        }
    }

    /// Computes the logits of final states, for [`Self::draw`] and [`Self::log_probs`].
    ///
    /// # Errors
    /// As [`Self::forward`].
    pub fn logits(&self, team: &Team, work: &mut Work, states: &[&[f32]]) -> Result<()> {
        match self {
            Self::Host(model) => {
                model.logits(team, &mut work.host, states);
                Ok(())
            }
            #[cfg(feature = "torch")]
            Self::Torch(model) => {
                // The device has room for one of them.
                work.logits = None;
                work.logits = Some(model.logits(states)?);
                Ok(())
            }
        }
    }

    /// Draws what is asked for after each of the states that were given to [`Self::logits`]; `None` where the logits are
    /// not finite.
    ///
    /// # Errors
    /// As [`Self::forward`].
    pub fn draw(
        &self,
        team: &Team,
        work: &Work,
        asks: &[Ask],
        sampling: SamplingConfig,
    ) -> Result<Vec<Option<Drawn>>> {
        match self {
            Self::Host(model) => {
                let host = &work.host;
                let mut drawn: Vec<Option<Drawn>> = asks.iter().map(|_| None).collect();
                let draw = |(row, (ask, drawn)): (usize, (&Ask, &mut _))| {
                    SCRATCH.with_borrow_mut(|(logits, distribution)| {
                        model.logits_of(host, row, logits);
                        let read = distribution.read(model.arch, logits, ask.temperature, sampling);
                        *drawn = read.map(|()| distribution.answer(logits, &ask.draws));
                    });
                };
                let rows = asks.iter().zip(&mut drawn).enumerate().collect();
                team.enter(|| team.each(rows, draw));
                Ok(drawn)
            }
            #[cfg(feature = "torch")]
            Self::Torch(_) => work
                .logits
                .as_ref()
                .map_or_else(|| Ok(Vec::new()), |logits| Ok(torch::draw(logits, asks, sampling)?)),
        }
    }

    /// Log-probability, at temperature 1, of a token after each of the states that were given to [`Self::logits`]; not
    /// finite where the logits are not.
    ///
    /// # Errors
    /// As [`Self::forward`].
    pub fn log_probs(&self, work: &Work, tokens: &[u32]) -> Result<Vec<f64>> {
        match self {
            Self::Host(model) => Ok(SCRATCH.with_borrow_mut(|(logits, distribution)| {
                let score = |(row, &token): (usize, &u32)| {
                    model.logits_of(&work.host, row, logits);
                    match distribution.read(model.arch, logits, 0.0, SamplingConfig::default()) {
                        Some(()) => distribution.log_prob(logits, token),
                        None => f64::NAN,
                    }
                };
                tokens.iter().enumerate().map(score).collect()
            })),
            #[cfg(feature = "torch")]
            Self::Torch(_) => work
                .logits
                .as_ref()
                .map_or_else(|| Ok(Vec::new()), |logits| Ok(torch::log_probs(logits, tokens)?)),
        }
    }
}
