//! The library math-verify, in a process of its own: it can hang past its own time limit and is then killed.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde::Deserialize;
use serde_json::json;

use super::grade::{Grade, Rule};
use espalier_process::Worker;

const PROGRAM: &str = include_str!("worker.py");

/// How long the library may take to be imported.
const START: Duration = Duration::from_secs(60);

/// Why math-verify cannot be asked.
#[derive(Debug, thiserror::Error)]
pub enum MathVerifyError {
    /// The interpreter does not run.
    #[error("cannot run {python}: {error}")]
    Python {
        /// The interpreter.
        python: String,
        /// What the system says.
        error: std::io::Error,
    },
    /// The interpreter runs, and the library does not.
    #[error(
        "{python} cannot import math-verify ({reason}); install it with: {python} -m pip install math-verify"
    )]
    Library {
        /// The interpreter.
        python: String,
        /// What it says.
        reason: String,
    },
}

#[derive(Debug, Deserialize)]
struct Hello {
    error: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Reply {
    equal: Option<bool>,
}

/// Asks math-verify about pairs, one at a time. Its word is never exact.
#[derive(Debug)]
pub struct MathVerify {
    python: PathBuf,
    limit: Duration,
    worker: Option<Worker>,
}

impl MathVerify {
    /// Starts a worker of this interpreter; a pair that takes longer than `limit` stays undecided.
    ///
    /// # Errors
    /// When the interpreter does not run or lacks the library.
    pub fn start(python: &Path, limit: Duration) -> Result<Self, MathVerifyError> {
        let worker = Some(start(python)?);
        Ok(Self { python: python.to_owned(), limit, worker })
    }

    /// What the library says of a pair that is undecided here. A worker that hangs or dies is replaced.
    ///
    /// # Errors
    /// When no new worker starts.
    pub fn grade(&mut self, gold: &str, prediction: &str) -> Result<Grade, MathVerifyError> {
        let mut worker = match self.worker.take() {
            Some(worker) => worker,
            None => start(&self.python)?,
        };
        let question = json!({ "gold": gold, "pred": prediction });
        let reply = worker.ask::<Reply>(&question, &[], self.limit);
        if reply.is_ok() {
            self.worker = Some(worker);
        }
        Ok(match reply.ok().and_then(|(reply, _)| reply.equal) {
            Some(equal) => Grade::new(equal, Rule::MathVerify).probable(),
            None => Grade::undecided(Rule::MathVerify),
        })
    }
}

fn start(python: &Path) -> Result<Worker, MathVerifyError> {
    let name = || python.display().to_string();
    let mut command = Command::new(python);
    command.args(["-c", PROGRAM]);
    let mut worker = Worker::start(command)
        .map_err(|error| MathVerifyError::Python { python: name(), error })?;
    let hello = worker.receive(START).ok();
    let hello = hello.and_then(|(line, _)| serde_json::from_slice::<Hello>(&line).ok());
    let reason = match hello {
        Some(Hello { error: None }) => return Ok(worker),
        Some(Hello { error: Some(reason) }) => reason,
        None => "it says nothing".to_owned(),
    };
    Err(MathVerifyError::Library { python: name(), reason })
}
