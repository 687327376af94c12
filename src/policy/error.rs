//! Why a policy cannot be loaded.

use std::path::PathBuf;

/// Why a policy cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// The command line and the recipe do not fit together.
    #[error("{0}")]
    Usage(String),
    /// A checkpoint folder cannot be read.
    #[error("cannot load the checkpoint {}: {source}", path.display())]
    Checkpoint {
        /// The folder.
        path: PathBuf,
        /// Its fault.
        source: espalier_model::error::Error,
    },
    /// A server cannot be what the recipe asks it to be.
    #[error("{0}")]
    Server(String),
    /// The settings cannot be named by a hash.
    #[error("cannot write the policy's settings: {0}")]
    Settings(String),
}
