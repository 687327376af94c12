//! The user's mistake, as against a fault while running.

use anyhow::Error;

/// What was asked for cannot be done as it was asked: wrong usage or recipe, known before anything ran. The program ends with exit
/// status 2; any other error is one of running, status 3.
#[derive(Debug, thiserror::Error)]
#[error("{0:#}")]
pub struct UsageError(pub Error);
