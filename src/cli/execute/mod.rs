mod paths;

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use serde_json::json;

use super::arguments::{UsageError, print_json, print_line};
use espalier::execution::{
    CodeState, Execution, Executor, ExecutorConfig, ExecutorError, ExecutorKind, start,
};

/// Run Python files as the code steps of one path: each sees the variables of those before it.
///
/// A step that is stopped at a limit leaves nothing behind. What becomes of a step is data and no failure: exit status 0.
/// With --paths, many paths are run, and where a row says what CPython makes of its steps, the two are compared.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    espalier execute --executor cpython --timeout-seconds 5 define.py use.py --json\n  \
    espalier execute --executor embedded --paths steps.jsonl")]
pub struct Arguments {
    /// The steps, in order.
    #[arg(required_unless_present = "paths", conflicts_with = "paths", value_name = "FILE.py")]
    files: Vec<PathBuf>,
    /// Paths, one a line: {"id": "p", "steps": ["x = 1", "x"], "cpython": [{"outcome": "ok", "observation": ""}, ...]}, `cpython` where it is known.
    #[arg(long, value_name = "FILE.jsonl")]
    paths: Option<PathBuf>,
    /// The interpreter: built in and without sympy, or the machine's own in a sandbox.
    #[arg(long, value_enum, default_value_t = ExecutorConfig::default().kind)]
    executor: ExecutorKind,
    /// Longest run of a step.
    #[arg(long, default_value_t = ExecutorConfig::default().timeout_seconds)]
    timeout_seconds: f64,
    /// Memory that a step may take, in MiB.
    #[arg(long, default_value_t = ExecutorConfig::default().memory_megabytes)]
    memory_megabytes: u64,
    /// Longest observation in characters; the middle of a longer one is left out.
    #[arg(long, default_value_t = ExecutorConfig::default().max_output)]
    max_output: usize,
    /// The machine's own interpreter.
    #[arg(long, default_value_t = ExecutorConfig::default().python)]
    python: String,
    /// Run the machine's own interpreter without a sandbox: code then has all your rights.
    #[arg(long)]
    unsafe_no_sandbox: bool,
    /// Print one JSON object a step.
    #[arg(long)]
    json: bool,
}

impl Arguments {
    fn config(&self) -> ExecutorConfig {
        ExecutorConfig {
            kind: self.executor,
            timeout_seconds: self.timeout_seconds,
            memory_megabytes: self.memory_megabytes,
            max_output: self.max_output,
            workers: 1,
            python: self.python.clone(),
            unsafe_no_sandbox: self.unsafe_no_sandbox,
            ..ExecutorConfig::default()
        }
    }
}

fn started(config: &ExecutorConfig) -> Result<Box<dyn Executor>> {
    start(config).map_err(|error| match error {
        ExecutorError::Config(_) | ExecutorError::Python { .. } => UsageError(error.into()).into(),
        error => anyhow::Error::from(error),
    })
}

pub fn main(arguments: &Arguments) -> Result<()> {
    if let Some(file) = &arguments.paths {
        return paths::main(file, &arguments.config(), arguments.json);
    }
    let read = |path: &PathBuf| {
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
    };
    let steps = arguments.files.iter().map(read).collect::<Result<Vec<String>>>()?;
    let executor = started(&arguments.config())?;
    let mut state = CodeState::default();
    for (file, code) in arguments.files.iter().zip(&steps) {
        let (execution, after) = executor.run(&state, code)?;
        state = after;
        let Execution { outcome, observation, seconds } = execution;
        if arguments.json {
            print_json(&json!({
                "schema": "espalier.execution/1",
                "file": file,
                "outcome": outcome,
                "observation": observation,
                "seconds": seconds,
            }))?;
        } else {
            print_line(&format!("{}: {outcome}, {seconds:.3} s", file.display()))?;
            observation.lines().try_for_each(|line| print_line(&format!("  {line}")))?;
        }
    }
    Ok(())
}
