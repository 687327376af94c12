//! Model-written code: what a path's steps see of each other, and what hostile ones cannot do.

mod agreement;
mod command_line;
mod hostile;
mod programs;
mod steps;

use std::path::Path;
use std::process::{Command, Stdio};

use espalier::execution::{
    CodeState, Execution, Executor, ExecutorConfig, ExecutorKind, start_with,
};

use espalier::search::testing::skipped;

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_espalier");

/// An embedded executor, and one of CPython where that can be.
pub fn executors(config: &ExecutorConfig) -> Vec<Box<dyn Executor>> {
    let embedded = ExecutorConfig { kind: ExecutorKind::Embedded, ..config.clone() };
    let embedded = start_with(&embedded, Path::new(PROGRAM)).unwrap();
    [Some(embedded), cpython(config)].into_iter().flatten().collect()
}

/// An executor of CPython; `None`, said aloud, where the system forbids namespaces to every program.
pub fn cpython(config: &ExecutorConfig) -> Option<Box<dyn Executor>> {
    let config = ExecutorConfig { kind: ExecutorKind::Cpython, python: python(), ..config.clone() };
    match start_with(&config, Path::new(PROGRAM)) {
        Ok(executor) => Some(executor),
        Err(error) if !namespaces() => {
            skipped(&format!("Python's sandbox: {error}"));
            None
        }
        Err(error) => panic!("{error}"),
    }
}

/// An interpreter with sympy where `make peers` has fetched it.
pub fn python() -> String {
    let peers = concat!(env!("CARGO_MANIFEST_DIR"), "/.peers/bin/python");
    let has_sympy = |python: &str| {
        let mut command = Command::new(python);
        command.args(["-c", "import sympy"]).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    if has_sympy(peers) { peers.to_owned() } else { "python3".to_owned() }
}

/// Whether another program can make the namespaces of a sandbox.
fn namespaces() -> bool {
    let mut command = Command::new("unshare");
    command.args(["-Urmpnf", "true"]).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Runs steps one after the other: all that came of them, and the state after the last.
pub fn path(executor: &dyn Executor, steps: &[&str]) -> (Vec<Execution>, CodeState) {
    let mut state = CodeState::default();
    let mut executions = Vec::new();
    for code in steps {
        let (execution, after) = executor.run(&state, code).unwrap();
        executions.push(execution);
        state = after;
    }
    (executions, state)
}
