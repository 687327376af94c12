//! What can go wrong with libtorch.

use espalier_model::error::Error as ModelError;

/// This crate's error.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A setting or a file is not what it should be.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// libtorch refused.
    #[error("libtorch: {0}")]
    Torch(#[from] tch::TchError),
}

/// `Result` with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl From<Error> for ModelError {
    fn from(error: Error) -> Self {
        match error {
            Error::Model(error) => error,
            Error::Torch(error) => Self::Torch(Box::new(error)),
        }
    }
}
