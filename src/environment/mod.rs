//! The kinds of problem that can be searched. A new kind is a new folder here, a variant of
//! [`crate::recipe::EnvironmentRecipe`], and its exact truth in [`crate::truth`] where there is one.

pub mod countdown;
pub mod program;

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

/// A whole solution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkedSolution {
    /// What the steps continue.
    pub prompt: String,
    /// Action and observation of each step.
    pub steps: Vec<(String, String)>,
}

/// What the program needs of an environment beyond what the search needs.
pub trait Domain: Environment + Clone + Serialize {
    /// The texts that end a step when the policy writes them.
    fn stops(&self) -> Vec<String>;

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

    /// This environment as the net of a round reads it: untrained nets may be shown worked examples. The same for all by default.
    #[must_use]
    fn for_net_of_round(&self, _round: usize) -> Self {
        self.clone()
    }

    /// What solutions of a question continue where a net is trained on them; `None` (the default): what the policy read.
    ///
    /// # Errors
    /// When the prompt cannot be made.
    fn training_prompt(&self, _question: &str) -> anyhow::Result<Option<String>> {
        Ok(None)
    }

    /// The solution that a problem carries (`metadata.solution`) as steps of this environment. `None` where there is none, or
    /// none that leads to the right answer.
    ///
    /// # Errors
    /// When its steps cannot be taken, for reasons that are not theirs.
    fn worked_solution(&self, _problem: &Problem) -> anyhow::Result<Option<WorkedSolution>> {
        Ok(None)
    }
}
