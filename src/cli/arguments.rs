//! What several subcommands share.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Error, Result};
use clap::Args;
use serde::Serialize;

use espalier::environment::AnyEnvironment;
use espalier::execution::ExecutorError;
use espalier::policy::{Policy, PolicyError};
use espalier::recipe::{self, Recipe};
pub use espalier::usage::UsageError;

/// The recipe and what overrides it.
#[derive(Debug, Args)]
pub struct RecipeArguments {
    /// Recipe file [default: the embedded configs/countdown.toml].
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Override one key of the recipe, as in `--set search.c_puct=2`; may be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub overrides: Vec<String>,
    /// Root of every random stream [default: the recipe's].
    #[arg(long)]
    pub seed: Option<u64>,
    /// Cores for inference and training; 0 takes all [default: the recipe's].
    #[arg(long)]
    pub threads: Option<usize>,
}

impl RecipeArguments {
    /// Loads the recipe.
    pub fn load(&self) -> Result<Recipe> {
        self.load_over(None)
    }

    /// Loads the recipe; where none is named, this file instead of the embedded one.
    pub fn load_over(&self, default: Option<&Path>) -> Result<Recipe> {
        let mut overrides = self.overrides.clone();
        overrides.extend(self.seed.map(|seed| format!("seed={seed}")));
        overrides.extend(self.threads.map(|threads| format!("compute.threads={threads}")));
        recipe::load(self.config.as_deref().or(default), &overrides)
            .map_err(|error| UsageError(error).into())
    }
}

/// Refuses a device that is not there, before anything is computed for it.
pub fn check_device(recipe: &Recipe) -> Result<()> {
    match espalier_torch::device::open(recipe.compute.device) {
        Ok(_) => Ok(()),
        Err(error) => Err(UsageError(error.into()).into()),
    }
}

/// The recipe's environment.
pub fn start_environment(recipe: &Recipe) -> Result<AnyEnvironment> {
    recipe.environment.start(recipe.compute.resolved_threads()).map_err(environment_error)
}

/// The recipe's environment for prompts and answers alone.
pub fn environment_without_steps(recipe: &Recipe) -> Result<AnyEnvironment> {
    recipe.environment.without_steps().map_err(environment_error)
}

fn environment_error(error: Error) -> Error {
    match error.downcast_ref::<ExecutorError>() {
        // The machine's fault: no sandbox, no worker.
        Some(
            ExecutorError::Start { .. } | ExecutorError::Worker(_) | ExecutorError::Sandbox(_),
        ) => error.context("[environment.executor]"),
        _ => UsageError(error.context("[environment]")).into(),
    }
}

/// Refuses a device that is not there, or that does not compute in the precision that training is to have.
pub fn check_training(recipe: &Recipe) -> Result<()> {
    check_device(recipe)?;
    let checked = recipe.training.check_device(recipe.compute.device);
    checked.map_err(|error| UsageError(anyhow::Error::from(error).context("[training]")).into())
}

/// The checkpoint of a policy.
#[derive(Debug, Args)]
pub struct PolicyArguments {
    /// The policy-value net of [policy] kind = "local"; the value net of a served policy ("completions"), where it has one. Other
    /// kinds have none.
    #[arg(long, value_name = "DIR")]
    pub checkpoint: Option<PathBuf>,
}

impl PolicyArguments {
    /// Loads the recipe's policy.
    pub fn load(&self, environment: &AnyEnvironment, recipe: &Recipe) -> Result<Policy> {
        let loaded =
            recipe.policy.kind().load(environment, &recipe.compute, self.checkpoint.as_deref());
        loaded.map_err(|error| match error {
            PolicyError::Usage(_) => UsageError(error.into()).into(),
            error => error.into(),
        })
    }
}

/// Writes one object a line to standard output.
pub fn print_json(value: &impl Serialize) -> Result<()> {
    print_line(&serde_json::to_string(value)?)
}

/// Writes a line to standard output.
pub fn print_line(line: &str) -> Result<()> {
    writeln!(std::io::stdout().lock(), "{line}")?;
    Ok(())
}
