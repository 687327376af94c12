//! The library math-verify, in a process of its own: it can hang past its own time limit and is then killed.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde::Deserialize;
use serde_json::json;

use super::grade::{Grade, Rule};

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

#[derive(Debug)]
struct Worker {
    child: Child,
    input: ChildStdin,
    lines: Receiver<String>,
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl MathVerify {
    /// Starts a worker of this interpreter; a pair that takes longer than `limit` stays undecided.
    ///
    /// # Errors
    /// When the interpreter does not run or lacks the library.
    pub fn start(python: &Path, limit: Duration) -> Result<Self, MathVerifyError> {
        let worker = Some(Worker::start(python)?);
        Ok(Self { python: python.to_owned(), limit, worker })
    }

    /// What the library says of a pair that is undecided here. A worker that hangs or dies is replaced.
    ///
    /// # Errors
    /// When no new worker starts.
    pub fn grade(&mut self, gold: &str, prediction: &str) -> Result<Grade, MathVerifyError> {
        let mut worker = match self.worker.take() {
            Some(worker) => worker,
            None => Worker::start(&self.python)?,
        };
        let reply = worker.ask(gold, prediction, self.limit);
        if reply.is_some() {
            self.worker = Some(worker);
        }
        Ok(match reply.and_then(|reply| reply.equal) {
            Some(equal) => Grade::new(equal, Rule::MathVerify).probable(),
            None => Grade::undecided(Rule::MathVerify),
        })
    }
}

impl Worker {
    fn start(python: &Path) -> Result<Self, MathVerifyError> {
        let name = || python.display().to_string();
        let fault = |error| MathVerifyError::Python { python: name(), error };
        let mut child = Command::new(python)
            .args(["-c", PROGRAM])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(fault)?;
        let pipes = (child.stdin.take(), child.stdout.take());
        let (Some(input), Some(output)) = pipes else {
            return Err(fault(std::io::ErrorKind::BrokenPipe.into()));
        };
        let (send, lines) = channel();
        // The thread ends with the process, whose end closes the pipe.
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if send.send(line).is_err() {
                    break;
                }
            }
        });
        let worker = Self { child, input, lines };
        let hello = worker.lines.recv_timeout(START).ok();
        let hello = hello.and_then(|line| serde_json::from_str::<Hello>(&line).ok());
        match hello {
            Some(Hello { error: None }) => Ok(worker),
            Some(Hello { error: Some(reason) }) => {
                Err(MathVerifyError::Library { python: name(), reason })
            }
            None => Err(MathVerifyError::Library {
                python: name(),
                reason: "it says nothing".to_owned(),
            }),
        }
    }

    /// `None` when the worker does not answer in time and must be dropped.
    fn ask(&mut self, gold: &str, prediction: &str, limit: Duration) -> Option<Reply> {
        let question = json!({ "gold": gold, "pred": prediction });
        writeln!(self.input, "{question}").ok()?;
        let line = self.lines.recv_timeout(limit).ok()?;
        serde_json::from_str(&line).ok()
    }
}
