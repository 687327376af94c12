//! The parts of a problem space.

use serde::{Deserialize, Serialize};

/// A part of the problem space.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Split {
    /// Six tenths; searched for training data.
    Train,
    /// Two tenths; for choosing settings.
    Validation,
    /// Two tenths; for reporting.
    Test,
}

impl Split {
    /// The split that a problem's hash puts it into.
    pub(crate) fn of_hash(hash: u64) -> Self {
        match hash % 10 {
            0 | 1 => Self::Test,
            2 | 3 => Self::Validation,
            _ => Self::Train,
        }
    }

    /// The name used in files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Validation => "validation",
            Self::Test => "test",
        }
    }
}
