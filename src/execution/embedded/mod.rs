//! The embedded interpreter: the crate monty, in processes of this program, for what it cannot stop by itself (one long operation, an
//! allocation that fails) ends the process that it is in.

mod agreed;
mod host;
mod serve;
mod sure;

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

pub use serve::serve;

use super::observation::{late, observation};
use super::pool::Pool;
use super::protocol::{Answer, Earlier, Request};
use super::state::{Kept, next_id};
use super::{CodeState, Execution, Executor, ExecutorConfig, ExecutorError, Outcome};
use espalier_process::{Fault, Worker};
use sure::Checked;

/// How long a worker takes to start at the most, in seconds; it loads all of this program.
const START: Duration = Duration::from_secs(60);
/// What a step may take beyond its limit before its process is killed.
const GRACE: Duration = Duration::from_millis(500);

/// What is observed of a step that is not run, or not to its end.
fn not_run(what: &str) -> String {
    format!("UnsupportedError: the embedded interpreter does not run {what}")
}

/// Runs code in the embedded interpreter.
#[derive(Debug)]
pub(super) struct Embedded {
    pool: Pool,
    /// Whether steps are read before they are run: see [`sure`].
    checks: bool,
    timeout: Duration,
    max_output: usize,
}

impl Embedded {
    pub fn start(
        config: &ExecutorConfig,
        program: &Path,
        checks: bool,
    ) -> Result<Self, ExecutorError> {
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
        Ok(Self { pool, checks, timeout: config.timeout(), max_output: config.max_output })
    }

    fn failed(&self, fault: Fault) -> (Outcome, String) {
        match fault {
            Fault::Late => (Outcome::Timeout, late(self.timeout)),
            Fault::Ended(_, complaint) if complaint.contains("memory allocation of") => {
                (Outcome::Memory, "MemoryError".to_owned())
            }
            // None of them says what CPython would have done.
            Fault::Ended(..) => (Outcome::Unsupported, not_run("what ends the interpreter")),
            Fault::Unreadable(_) => (Outcome::Unsupported, not_run("what it does not answer")),
        }
    }
}

impl Executor for Embedded {
    fn run(&self, state: &CodeState, code: &str) -> Result<(Execution, CodeState), ExecutorError> {
        let snippets = state.snippets();
        let id = next_id();
        let unsupported = |what: &str| {
            let (outcome, observation) = (Outcome::Unsupported, not_run(what));
            let after = state.after(id, code, outcome, Some(Kept::Nothing));
            Ok((Execution { outcome, observation, seconds: 0.0 }, after))
        };
        if snippets.iter().any(|snippet| snippet.unsupported) {
            return unsupported("what follows a step that it did not run");
        }
        let checked = |at: usize, code: &str| match self.checks {
            true => sure::checked(snippets[..at].iter().map(|snippet| &*snippet.code), code),
            false => Ok(Checked { code: code.to_owned(), may_fail: true, makes_all: false }),
        };
        let dumped = snippets.iter().rposition(|snippet| matches!(snippet.kept, Kept::Dump(_)));
        let dump: &[u8] = match dumped.map(|at| &snippets[at].kept) {
            Some(Kept::Dump(dump)) => dump,
            _ => &[],
        };
        let first = dumped.map_or(0, |at| at + 1);
        let rest = &snippets[first..];
        let earlier = rest.iter().enumerate().map(|(at, snippet)| {
            Ok(Earlier { id: snippet.id, code: checked(first + at, &snippet.code)?.code })
        });
        let request = earlier.collect::<Result<_, String>>().and_then(|path| {
            let Checked { code, may_fail, makes_all } = checked(snippets.len(), code)?;
            let timeout = self.timeout.as_secs_f64();
            Ok((Request { path, id, code, timeout, blob: dump.len() }, may_fail, makes_all))
        });
        let (request, may_fail, makes_all) = match request {
            Ok(request) => request,
            Err(what) => return unsupported(&what),
        };
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
                    ((outcome, text, start.elapsed().as_secs_f64(), Some(Kept::Nothing)), false)
                }
            })?;
        let (outcome, text) = match outcome {
            Outcome::Error if !may_fail => {
                (Outcome::Unsupported, not_run("what fails before something else may"))
            }
            // CPython makes fewer of the values, or one at a time.
            Outcome::Timeout | Outcome::Memory if makes_all => {
                (Outcome::Unsupported, not_run("values that are made one by one, so many"))
            }
            outcome => (outcome, text),
        };
        let observation = observation(&text, self.max_output);
        let after = state.after(request.id, code, outcome, kept);
        Ok((Execution { outcome, observation, seconds }, after))
    }

    fn interpreter(&self) -> String {
        "the embedded interpreter, monty 0.0.23".to_owned()
    }
}
