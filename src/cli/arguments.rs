//! What several subcommands share.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Error, Result, anyhow};
use clap::Args;
use serde::Serialize;

use espalier::environment::AnyEnvironment;
use espalier::execution::ExecutorError;
use espalier::form::{Asked, Form};
use espalier::policy::prm::{FormRecipe, Preset, PrmRecipe};
use espalier::policy::{Policy, PolicyError, PolicyRecipe};
use espalier::recipe::{self, Recipe};
use espalier::report::Table;
pub use espalier::usage::UsageError;
use espalier_training::Source;

use super::terminal::Terminal;

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

/// Takes over how a checkpoint's net is asked, where it says so, into the recipe's `[environment]`, and returns the round whose net it is,
/// `None` where it does not say. Keys that `overrides` set stay as they are, and all do where the recipe was `named` and is of another kind
/// of environment. What is not used is told.
pub fn ask_as_trained(
    source: Source<'_>,
    recipe: &mut Recipe,
    overrides: &[String],
    named: bool,
) -> Result<Option<usize>> {
    let Some(form) = Form::read(source)? else { return Ok(None) };
    let set = overrides.iter().filter_map(|text| text.trim().strip_prefix("environment."));
    let keep: Vec<&str> =
        set.filter_map(|key| key.split(['.', '=']).next()).map(str::trim).collect();
    let Asked { environment, overruled } = form.asked(&recipe.environment, &keep)?;
    let place = source.path.display();
    if let Some(kind) = overruled.iter().find(|change| change.key == "kind").filter(|_| named) {
        let told = kind.between("in the recipe", &format!("where the net of {place} was trained"));
        tracing::warn!("[environment] {told}; the net is asked as the recipe says");
        return Ok(None);
    }
    if named && !overruled.is_empty() {
        let keys: Vec<&str> = overruled.iter().map(|change| &*change.key).collect();
        tracing::warn!(
            "the net of {place} is asked as it was trained, not as the recipe says in [environment] {}; \
             --set or --as-round takes the recipe's",
            keys.join(", ")
        );
    }
    recipe.environment = environment;
    Ok(Some(form.round))
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
    /// Ask the net as the recipe asks those of round N, instead of as its checkpoint says that it was trained.
    #[arg(long, value_name = "N")]
    pub as_round: Option<usize>,
    /// A process reward model that values states instead: its folder. `[policy.value]` has its other settings.
    #[arg(long, value_name = "DIR", requires = "form")]
    pub verifier: Option<PathBuf>,
    /// How the reward model is asked and read.
    #[arg(long, value_enum, requires = "verifier")]
    pub form: Option<Preset>,
    #[command(flatten)]
    pub base: BaseArguments,
}

/// The base of an adapter.
#[derive(Debug, Args)]
pub struct BaseArguments {
    /// The base model of the adapter whose folder is named as the net, where the adapter does not say where it is: a folder, or a GGUF
    /// file.
    #[arg(long, value_name = "PATH")]
    base: Option<PathBuf>,
}

impl BaseArguments {
    /// The net of a path.
    pub fn of<'a>(&'a self, path: &'a Path) -> Source<'a> {
        Source { path, base: self.base.as_deref() }
    }

    /// The net of a path, where one is named.
    pub fn of_any<'a>(&'a self, path: Option<&'a Path>) -> Result<Option<Source<'a>>> {
        match (path, &self.base) {
            (Some(path), _) => Ok(Some(self.of(path))),
            (None, None) => Ok(None),
            (None, Some(_)) => Err(UsageError(anyhow!(
                "--base names the base of an adapter, which --checkpoint must name"
            ))
            .into()),
        }
    }
}

impl PolicyArguments {
    /// Puts the environment in which the policy is asked into the recipe, and returns the round for whose nets it is. Without a word
    /// from the checkpoint that is the recipe's for round 0.
    pub fn ask(&self, recipe: &mut Recipe, overrides: &[String], named: bool) -> Result<usize> {
        let net = self.base.of_any(self.checkpoint.as_deref())?;
        let net = net.filter(|_| recipe.policy.kind().needs_checkpoint());
        match (self.as_round, net) {
            (Some(round), _) => Ok(round),
            (None, Some(net)) => {
                Ok(ask_as_trained(net, recipe, overrides, named)?.unwrap_or_default())
            }
            (None, None) => Ok(0),
        }
    }

    /// Starts the environment in which the policy is asked, and returns it with the recipe that has it.
    pub fn start(
        &self,
        recipe: Recipe,
        arguments: &RecipeArguments,
    ) -> Result<(Recipe, AnyEnvironment)> {
        self.start_by(start_environment, recipe, arguments)
    }

    /// As [`Self::start`], started by `start`.
    pub fn start_by(
        &self,
        start: impl FnOnce(&Recipe) -> Result<AnyEnvironment>,
        mut recipe: Recipe,
        arguments: &RecipeArguments,
    ) -> Result<(Recipe, AnyEnvironment)> {
        let round = self.ask(&mut recipe, &arguments.overrides, arguments.config.is_some())?;
        let environment = start(&recipe)?.for_net_of_round(round);
        Ok((recipe, environment))
    }

    /// The recipe's policy, with values by the reward model that is named here.
    pub fn policy(&self, recipe: &Recipe) -> Result<PolicyRecipe> {
        let mut policy = recipe.policy.clone();
        if let Some(path) = &self.verifier {
            let form = FormRecipe { preset: self.form, ..FormRecipe::default() };
            let prm = PrmRecipe { path: Some(path.clone()), form, ..PrmRecipe::default() };
            policy.value_by(prm).map_err(policy_error)?;
            policy.kind().validate().map_err(|error| UsageError(anyhow!("[policy] {error}")))?;
        }
        Ok(policy)
    }

    /// Loads the recipe's policy.
    pub fn load(&self, environment: &AnyEnvironment, recipe: &Recipe) -> Result<Policy> {
        let policy = self.policy(recipe)?;
        let source = self.base.of_any(self.checkpoint.as_deref())?;
        let loaded = policy.kind().load(environment, &recipe.compute, source);
        loaded.map_err(policy_error)
    }
}

/// A fault of the command line is told as one.
pub fn policy_error(error: PolicyError) -> Error {
    match error {
        PolicyError::Usage(_) => UsageError(error.into()).into(),
        error => error.into(),
    }
}

/// The text of an option with `\n`, `\t` and `\\` as they are written on a command line.
pub fn unescape(option: &str, text: &str) -> Result<String, UsageError> {
    let wrong = || UsageError(anyhow!("{option} {text:?}: after \\ write n, t or \\"));
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        plain.push(match character {
            '\\' => match characters.next().ok_or_else(wrong)? {
                'n' => '\n',
                't' => '\t',
                '\\' => '\\',
                _ => return Err(wrong()),
            },
            other => other,
        });
    }
    Ok(plain)
}

/// Writes one object a line to standard output.
pub fn print_json(value: &impl Serialize) -> Result<()> {
    print_line(&serde_json::to_string(value)?)
}

/// Writes a table to standard output, no wider than the terminal there.
pub fn print_table(table: &Table) -> Result<()> {
    print_line(&fitted(table))
}

/// A table as [`print_table`] writes it.
pub fn fitted(table: &Table) -> String {
    Terminal::of_output().map_or_else(|| table.text(), |terminal| table.text_within(terminal.width))
}

/// Writes a line to standard output.
pub fn print_line(line: &str) -> Result<()> {
    writeln!(std::io::stdout().lock(), "{line}")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::unescape;

    #[test]
    fn escapes_are_read() {
        assert_eq!(unescape("--stop", "a\\n\\t\\\\n").unwrap(), "a\n\t\\n");
        for wrong in ["\\x", "\\"] {
            let error = unescape("--stop", wrong).unwrap_err().to_string();
            assert!(error.contains("--stop") && error.contains("write n, t or"), "{error}");
        }
    }
}
