//! The embedded interpreter: the crate monty, in processes of this program, for what it cannot stop by itself (one long operation, an
//! allocation that fails) ends the process that it is in.

mod gaps;
mod serve;

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

pub use serve::serve;

use super::observation::{late, observation};
use super::pool::Pool;
use super::protocol::{Answer, Request};
use super::state::Kept;
use super::{CodeState, Execution, Executor, ExecutorConfig, ExecutorError, Outcome};
use espalier_process::{Fault, Worker};

/// How long a worker takes to start at the most, in seconds; it loads all of this program.
const START: Duration = Duration::from_secs(60);
/// What a step may take beyond its limit before its process is killed.
const GRACE: Duration = Duration::from_millis(500);

/// Runs code in the embedded interpreter.
#[derive(Debug)]
pub(super) struct Embedded {
    pool: Pool,
    timeout: Duration,
    max_output: usize,
}

impl Embedded {
    pub fn start(config: &ExecutorConfig, program: &Path) -> Result<Self, ExecutorError> {
        let (program, memory) = (program.to_owned(), config.memory_megabytes.to_string());
        let start = move || {
            let mut command = Command::new(&program);
            command.args(["code-worker", "embedded", "--memory-megabytes", &memory]);
            // A failed allocation is reported without a walk up the stack, which would take longer than the step.
            command.env("RUST_BACKTRACE", "0").process_group(0);
            let mut worker = Worker::start(command)
                .map_err(|source| ExecutorError::Start { program: program.clone(), source })?;
            worker.receive(START).map_err(|fault| ExecutorError::Worker(format!("{fault:?}")))?;
            Ok(worker)
        };
        let pool = Pool::new(config.resolved_workers(), start)?;
        Ok(Self { pool, timeout: config.timeout(), max_output: config.max_output })
    }

    fn failed(&self, fault: Fault) -> (Outcome, String) {
        match fault {
            Fault::Late => (Outcome::Timeout, late(self.timeout)),
            Fault::Ended(_, complaint) if complaint.contains("memory allocation of") => {
                (Outcome::Memory, "MemoryError".to_owned())
            }
            Fault::Ended(_, complaint) if complaint.contains("overflowed its stack") => {
                (Outcome::Error, "RecursionError: maximum recursion depth exceeded".to_owned())
            }
            Fault::Ended(..) => (Outcome::Error, "InterpreterError: it ended".to_owned()),
            Fault::Unreadable(_) => (Outcome::Error, "InterpreterError: no answer".to_owned()),
        }
    }
}

impl Executor for Embedded {
    fn run(&self, state: &CodeState, code: &str) -> Result<(Execution, CodeState), ExecutorError> {
        let snippets = state.snippets();
        let dumped = snippets.iter().rposition(|snippet| matches!(snippet.kept, Kept::Dump(_)));
        let dump: &[u8] = match dumped.map(|at| &snippets[at].kept) {
            Some(Kept::Dump(dump)) => dump,
            _ => &[],
        };
        let rest = &snippets[dumped.map_or(0, |at| at + 1)..];
        let request = Request::new(rest, code, self.timeout, dump.len());
        // Each step has the time limit for itself; the one that must not wait is the last.
        let longest = (self.timeout + GRACE).saturating_mul(rest.len() as u32 + 1);
        let start = std::time::Instant::now();
        let (outcome, text, seconds, kept) =
            self.pool.with(None, |_, worker| match worker.ask(&request, dump, longest) {
                Ok((Answer { outcome, observation, seconds, .. }, dump)) => {
                    let kept =
                        if dump.is_empty() { Kept::Nothing } else { Kept::Dump(dump.into()) };
                    ((outcome, observation, seconds, Some(kept)), true)
                }
                Err(fault) => {
                    let (outcome, text) = self.failed(fault);
                    ((outcome, text, start.elapsed().as_secs_f64(), None), false)
                }
            })?;
        let observation = observation(&text, self.max_output);
        // What an earlier step was not able to define may be what this one misses.
        let doubtful = snippets.iter().any(|snippet| snippet.unsupported);
        let outcome = match outcome {
            Outcome::Error if doubtful => Outcome::Unsupported,
            outcome => outcome,
        };
        let after = state.after(request.id, code, outcome, kept);
        Ok((Execution { outcome, observation, seconds }, after))
    }
}
