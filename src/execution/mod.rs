//! Running the Python that a model writes: a path's code steps in order, each seeing the variables of its ancestors
//! alone.
//!
//! ```no_run
//! # use espalier_execution::{CodeState, ExecutorConfig, start};
//! # fn main() -> Result<(), espalier_execution::ExecutorError> {
//! let executor = start(&ExecutorConfig::default())?;
//! let (_, parent) = executor.run(&CodeState::default(), "x = 6")?;
//! let (left, _) = executor.run(&parent, "x * 7")?;
//! let (right, _) = executor.run(&parent, "x + 1")?; // a sibling: it sees `x`, not what the other did
//! assert_eq!((left.observation.as_str(), right.observation.as_str()), ("42", "7"));
//! # Ok(())
//! # }
//! ```
//!
//! An [`Executor`] is shared by many threads; code runs in worker processes, at most `workers` at once, and other calls wait. Whatever
//! the code does, it ends within its limits as an [`Execution`], and its worker is replaced if it is lost. An [`ExecutorError`] is
//! about the machine (no worker can be started), never about the code.
//!
//! A [`CodeState`] is what the environment keeps in each of its states. Workers keep interpreter states beside it, so that a
//! step needs only be added to them: a dump of the embedded interpreter, a process to fork for CPython. Where such a state is gone or was
//! too large to keep, the path's earlier steps are run again, without those that were stopped at a limit, as in AlphaMath's own code.
#![forbid(unsafe_code)]

mod config;
#[cfg(feature = "cpython")]
mod cpython;
mod embedded;
mod observation;
mod pool;
mod protocol;
mod sandbox;
mod state;
pub mod worker;

use std::fmt;
use std::path::{Path, PathBuf};

use espalier_search::ConfigError;
use serde::{Deserialize, Serialize};

pub use config::{ExecutorConfig, ExecutorKind};
pub use state::CodeState;

#[cfg(feature = "cpython")]
use cpython::Cpython;
use embedded::Embedded;

/// Runs code steps.
pub trait Executor: fmt::Debug + Send + Sync {
    /// Runs `code` after the steps of `state`, and returns what came of it with the state after it.
    ///
    /// Code that raised an exception leaves what it did before; code that was stopped at a limit or ended its interpreter leaves
    /// nothing.
    ///
    /// # Errors
    /// When no worker can be started.
    fn run(&self, state: &CodeState, code: &str) -> Result<(Execution, CodeState), ExecutorError>;

    /// Who runs the code, with its version: what comes out may depend on it.
    fn interpreter(&self) -> String;
}

/// The outcome of a code step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Execution {
    /// How it ended.
    pub outcome: Outcome,
    /// What it printed, and the last expression's value unless that is None; `Type: message` of what ended it otherwise. At most
    /// [`ExecutorConfig::max_output`] characters and the mark of the cut; memory addresses are 0x0.
    pub observation: String,
    /// Wall time of this step alone, in seconds.
    pub seconds: f64,
}

/// How a code step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It ran to its end.
    Ok,
    /// It raised an exception, did not parse, or ended its interpreter.
    Error,
    /// It was stopped at its time limit.
    Timeout,
    /// It was stopped at its memory limit.
    Memory,
    /// It printed too much.
    OutputLimit,
    /// It needs what the interpreter does not have. Nothing is known of the step: no ground for calling it wrong.
    Unsupported,
}

impl Outcome {
    /// Whether the step's effects last: otherwise its descendants start from its parent's state.
    #[must_use]
    pub fn leaves_state(self) -> bool {
        matches!(self, Self::Ok | Self::Error | Self::Unsupported)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

/// Why code cannot be run here.
#[derive(Debug, thiserror::Error)]
pub enum ExecutorError {
    /// A setting is unusable.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// This program's own file, which the workers run, is not known.
    #[error("this program's own file is not known: {0}")]
    Program(std::io::Error),
    /// A process cannot be started.
    #[error("cannot start {}: {source}", program.display())]
    Start {
        /// What was to run.
        program: PathBuf,
        /// Why it does not.
        source: std::io::Error,
    },
    /// The Python interpreter does not tell where it lies.
    #[error("python = {python:?} cannot be used: {message}")]
    Python {
        /// As it stands in the settings.
        python: String,
        /// What it said.
        message: String,
    },
    /// A worker ended before it was ready.
    #[error("no worker can be started: {0}")]
    Worker(String),
    /// No sandbox, no run.
    #[error(
        "the sandbox for Python cannot be set up: {0}\nkind = \"embedded\" needs none; unsafe_no_sandbox = true runs model-written \
         code with all your rights"
    )]
    Sandbox(String),
}

/// Starts the executor that the settings name. One worker starts at once, so that a fault is reported here.
///
/// Workers run this program's own file: a program that embeds this crate uses [`start_with`].
///
/// # Errors
/// When a setting is unusable, Python or the sandbox is missing.
pub fn start(config: &ExecutorConfig) -> Result<Box<dyn Executor>, ExecutorError> {
    start_with(config, &std::env::current_exe().map_err(ExecutorError::Program)?)
}

/// Starts the executor with workers of the `espalier` program at `program`. [`ExecutorKind::Auto`] is CPython where it can be started,
/// and the embedded interpreter, said aloud, elsewhere.
///
/// # Errors
/// As [`start`].
pub fn start_with(
    config: &ExecutorConfig,
    program: &Path,
) -> Result<Box<dyn Executor>, ExecutorError> {
    config.validate()?;
    Ok(match config.kind {
        ExecutorKind::Embedded => Box::new(Embedded::start(config, program, true)?),
        #[cfg(feature = "cpython")]
        ExecutorKind::Cpython => Box::new(Cpython::start(config, program)?),
        #[cfg(not(feature = "cpython"))]
        ExecutorKind::Cpython => return Err(config::no_cpython().into()),
        #[cfg(feature = "cpython")]
        ExecutorKind::Auto => match Cpython::start(config, program) {
            Ok(cpython) => Box::new(cpython),
            Err(error @ (ExecutorError::Sandbox(_) | ExecutorError::Python { .. })) => {
                tracing::warn!(
                    "code runs in the embedded interpreter, which leaves steps out that it may run otherwise than CPython: {error}"
                );
                Box::new(Embedded::start(config, program, true)?)
            }
            Err(error) => return Err(error),
        },
        #[cfg(not(feature = "cpython"))]
        ExecutorKind::Auto => Box::new(Embedded::start(config, program, true)?),
    })
}

/// As [`start_with`] the embedded interpreter, which then runs whatever it is given, right or not: to see that nothing gets out of it.
///
/// # Errors
/// As [`start`].
pub fn start_unchecked(
    config: &ExecutorConfig,
    program: &Path,
) -> Result<Box<dyn Executor>, ExecutorError> {
    config.validate()?;
    Ok(Box::new(Embedded::start(config, program, false)?))
}
