//! The kinds of problem that can be searched. A new kind is a new folder here, a variant of
//! [`crate::recipe::EnvironmentRecipe`], and its exact truth in [`crate::truth`] where there is one.

pub mod countdown;

use espalier_search::{Environment, Problem, ProblemError};
use rand_chacha::ChaCha8Rng;
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

/// What the program needs of an environment beyond what the search needs.
pub trait Domain: Environment + Serialize {
    /// The characters that end a step when the policy writes them.
    fn stops(&self) -> &'static [char];

    /// Reads a problem that a user typed.
    ///
    /// # Errors
    /// With the expected form, when it is not of that form.
    fn read_problem(&self, text: &str) -> Result<Problem, String>;

    /// The split that a problem belongs to. Decided by the problem itself, so that splits are disjoint whatever the
    /// file, seed or order that problems come in.
    ///
    /// # Errors
    /// When the problem lacks what the environment needs.
    fn split(&self, problem: &Problem) -> Result<Split, ProblemError>;

    /// A uniformly random legal action: what round 0 is trained on. `None` where there is none.
    fn random_action(&self, state: &Self::State, rng: &mut ChaCha8Rng) -> Option<String>;
}
