//! The machine's own Python: a pool of workers, each with its forks in a sandbox of its own.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::json;

use super::config::PRINT_LIMIT;
use super::observation::{late, observation};
use super::pool::Pool;
use super::protocol::{Answer, Request};
use super::sandbox::Sandbox;
use super::state::Kept;
use super::{CodeState, Execution, Executor, ExecutorConfig, ExecutorError, Outcome};
use espalier_process::{Fault, Worker};

const PROBE: &str = include_str!("probe.py");
const WORKER: &str = concat!(include_str!("step.py"), "\n\n", include_str!("worker.py"));
/// How long a worker takes to start at the most.
const START: Duration = Duration::from_secs(120);
/// How much later than the worker itself this side gives up.
const GRACE: Duration = Duration::from_secs(60);

/// Runs code in CPython.
#[derive(Debug)]
pub(super) struct Cpython {
    pool: Pool,
    name: String,
    timeout: Duration,
    max_output: usize,
}

/// Where an interpreter lies.
#[derive(Debug, Deserialize)]
struct Interpreter {
    version: (u32, u32),
    /// Its name with the whole version, and sympy's.
    release: String,
    executable: PathBuf,
    path: Vec<PathBuf>,
    roots: Vec<PathBuf>,
}

/// A worker's first message.
#[derive(Debug, Deserialize)]
struct Ready {
    gap: Option<String>,
}

impl Cpython {
    pub fn start(config: &ExecutorConfig, program: &Path) -> Result<Self, ExecutorError> {
        let interpreter = Interpreter::of(&config.python)?;
        let name = interpreter.release.clone();
        let (settings, program) = (config.clone(), program.to_owned());
        if config.unsafe_no_sandbox {
            tracing::warn!("unsafe_no_sandbox: model-written code runs with all your rights");
        }
        let start = move || start(&interpreter, &settings, &program);
        let pool = Pool::new(config.resolved_workers(), start)?;
        Ok(Self { pool, name, timeout: config.timeout(), max_output: config.max_output })
    }
}

impl Interpreter {
    fn of(python: &str) -> Result<Self, ExecutorError> {
        let failed = |message: String| ExecutorError::Python { python: python.to_owned(), message };
        let output = Command::new(python)
            .args(["-s", "-c", PROBE])
            .stdin(std::process::Stdio::null())
            .output()
            .map_err(|error| failed(error.to_string()))?;
        let interpreter: Self = serde_json::from_slice(&output.stdout).map_err(|_| {
            let errors = String::from_utf8_lossy(&output.stderr);
            failed(format!("{} {}", output.status, errors.trim()))
        })?;
        if interpreter.version < (3, 9) {
            let (major, minor) = interpreter.version;
            return Err(failed(format!("it is Python {major}.{minor}; 3.9 or newer is needed")));
        }
        Ok(interpreter)
    }
}

fn start(
    interpreter: &Interpreter,
    config: &ExecutorConfig,
    program: &Path,
) -> Result<Worker, ExecutorError> {
    let settings = json!({
        "sandboxed": !config.unsafe_no_sandbox,
        "path": interpreter.path,
        "memory": config.memory_bytes(),
        "max_output": config.max_output,
        "print_limit": PRINT_LIMIT,
        "live_states": config.live_states,
    });
    let sandbox = Sandbox {
        executable: interpreter.executable.clone(),
        // What lies in site-packages is found by its path alone, and the files that would load more there make a fork longer.
        arguments: ["-s", "-S", "-B", "-c", WORKER, &settings.to_string()]
            .map(str::to_owned)
            .to_vec(),
        roots: interpreter.roots.clone(),
        // The states, those that ended below a state that has not noticed yet, two spares, the one that has loaded sympy, and a few that
        // a step may start.
        processes: 2 * config.live_states as u64 + 19,
    };
    let (program, mut command) = match config.unsafe_no_sandbox {
        true => (&*interpreter.executable, sandbox.bare_command()),
        false => (program, sandbox.command(program)),
    };
    command.process_group(0);
    let mut worker = Worker::start(command)
        .map_err(|source| ExecutorError::Start { program: program.to_owned(), source })?;
    let failed =
        if config.unsafe_no_sandbox { ExecutorError::Worker } else { ExecutorError::Sandbox };
    let (line, _) = worker.receive(START).map_err(|fault| {
        failed(match fault {
            Fault::Late => format!("no answer within {} s", START.as_secs()),
            Fault::Ended(_, complaint) if !complaint.is_empty() => complaint,
            Fault::Ended(status, _) => format!("the worker ended: {status:?}"),
            Fault::Unreadable(what) => what,
        })
    })?;
    let ready: Ready = serde_json::from_slice(&line).map_err(|error| failed(error.to_string()))?;
    if let Some(gap) = ready.gap {
        return Err(ExecutorError::Sandbox(gap));
    }
    Ok(worker)
}

impl Executor for Cpython {
    fn run(&self, state: &CodeState, code: &str) -> Result<(Execution, CodeState), ExecutorError> {
        let snippets = state.snippets();
        let preferred = snippets.iter().rev().find_map(|snippet| match snippet.kept {
            Kept::Process { worker } => Some(worker),
            Kept::Nothing | Kept::Dump(_) => None,
        });
        let request = Request::new(snippets, code, self.timeout);
        let longest = self.timeout.saturating_mul(snippets.len() as u32 + 1) + GRACE;
        let start = Instant::now();
        let ask = || {
            self.pool.with(preferred, |index, worker| match worker.ask(&request, &[], longest) {
                Ok((answer, _)) => (Ok((answer, index)), true),
                Err(fault) => (Err(fault), false),
            })
        };
        let answer = match ask()? {
            // A step ends with its own process. That the worker is gone may be the doing of an earlier one.
            Err(Fault::Ended(_, complaint)) => {
                tracing::warn!("a Python worker ended and is replaced: {complaint}");
                ask()?
            }
            answer => answer,
        };
        let (outcome, text, seconds, kept) = match answer {
            Ok((Answer { outcome, observation, seconds, lost, .. }, worker)) => {
                (outcome, observation, seconds, (!lost).then_some(Kept::Process { worker }))
            }
            Err(fault) => {
                let (outcome, text) = match fault {
                    Fault::Late => (Outcome::Timeout, late(self.timeout)),
                    Fault::Ended(..) | Fault::Unreadable(_) => {
                        (Outcome::Error, "InterpreterError: the interpreter ended".to_owned())
                    }
                };
                (outcome, text, start.elapsed().as_secs_f64(), None)
            }
        };
        let observation = observation(&text, self.max_output);
        let after = state.after(request.id, code, outcome, kept);
        Ok((Execution { outcome, observation, seconds }, after))
    }

    fn interpreter(&self) -> String {
        self.name.clone()
    }
}
