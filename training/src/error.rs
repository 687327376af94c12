//! What can go wrong with training.

use espalier_model::error::Error as ModelError;
use espalier_torch::error::Error as TorchError;

/// This crate's error. Every variant carries the values that a person needs to find the cause.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A checkpoint, a tokenizer or another file of a model is not what it should be.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// libtorch refused.
    #[error("libtorch: {0}")]
    Torch(#[from] tch::TchError),
    /// A setting is outside its range.
    #[error("setting {field}: {message}")]
    Setting {
        /// Name of the setting.
        field: &'static str,
        /// What is wrong with it.
        message: String,
    },
    /// An example cannot be used for training.
    #[error("example {index}: {message}")]
    Example {
        /// Position in the list of examples.
        index: usize,
        /// What is wrong with it.
        message: String,
    },
    /// Training diverged.
    #[error("step {step}: the loss is {loss}; lower the learning rate")]
    Diverged {
        /// Optimiser step, counted from 1.
        step: usize,
        /// The loss.
        loss: f64,
    },
    /// The progress callback asked to stop; the last saved state is kept and training resumes from it.
    #[error("training was stopped after step {step}")]
    Stopped {
        /// Optimiser step, counted from 1.
        step: usize,
    },
}

/// `Result` with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl From<TorchError> for Error {
    fn from(error: TorchError) -> Self {
        match error {
            TorchError::Model(error) => Self::Model(error),
            TorchError::Torch(error) => Self::Torch(error),
        }
    }
}
