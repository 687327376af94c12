use std::path::PathBuf;

use anyhow::{Result, anyhow};
use clap::Args;

use super::arguments::{
    RecipeArguments, UsageError, check_training, print_json, print_line, start_environment,
};
use espalier::pipeline;
use espalier::run_dir::RunDir;

/// Run the whole loop of a recipe: search, harvest, train, evaluate, round after round.
///
/// A run is a directory; killed at any moment and started again with the same command, it goes on where it was and loses no
/// finished problem. At its end it prints the table of accuracy by round and decoding, which is also in the directory.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  espalier run --seed 2\n  espalier run --config configs/countdown.toml \
    --set rounds.count=1 --run-dir runs/short"
)]
pub struct Arguments {
    #[command(flatten)]
    recipe: RecipeArguments,
    /// The run directory [default: runs/NAME-sSEED].
    #[arg(long, value_name = "DIR")]
    run_dir: Option<PathBuf>,
    /// Run nothing: check the recipe and say what memory it takes and what its first batches look like. Neither the checkpoint nor the
    /// device need be there, if `[net]` gives the shape.
    #[arg(long)]
    dry_run: bool,
    /// Print the dry run as JSON.
    #[arg(long, requires = "dry_run")]
    json: bool,
}

pub fn main(arguments: &Arguments) -> Result<()> {
    let recipe = arguments.recipe.load()?;
    recipe.check_old_log_probs().map_err(UsageError)?;
    if arguments.dry_run {
        let report = pipeline::dry_run(&recipe).map_err(UsageError)?;
        return if arguments.json { print_json(&report) } else { print_line(&report.to_string()) };
    }
    if let Some(reason) = recipe.policy.kind().untrainable() {
        return Err(UsageError(anyhow!(reason)).into());
    }
    check_training(&recipe)?;
    let path = arguments
        .run_dir
        .clone()
        .unwrap_or_else(|| PathBuf::from("runs").join(format!("{}-s{}", recipe.name, recipe.seed)));
    // The environment first: where it cannot be set up nothing is begun.
    let environment = start_environment(&recipe)?;
    let run = RunDir::open(&path, &recipe)?;
    let table = pipeline::run(&environment, &recipe, &run)?;
    print_line(&table.text())
}
