use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use espalier_search::LabelledSolution;

use super::arguments::{RecipeArguments, check_training, print_json, print_line};
use espalier::{jsonl, pipeline};

/// Train policy and value net on step-labelled solutions.
///
/// The policy learns the steps of right solutions, the value head the labels of all (AlphaMath's objective). A run that was killed
/// goes on from its last saved state.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    recipe: RecipeArguments,
    /// The net to start from.
    #[arg(long, value_name = "DIR")]
    checkpoint: PathBuf,
    /// Labelled solutions, as `espalier harvest` writes them; may be repeated.
    #[arg(long, required = true, value_name = "FILE")]
    labels: Vec<PathBuf>,
    /// Where to write the new checkpoint.
    #[arg(short, long, value_name = "DIR")]
    out: PathBuf,
    /// Print the summary as JSON.
    #[arg(long)]
    json: bool,
}

pub fn main(arguments: &Arguments) -> Result<()> {
    let recipe = arguments.recipe.load()?;
    check_training(&recipe)?;
    let mut solutions: Vec<LabelledSolution> = Vec::new();
    for path in &arguments.labels {
        solutions.extend(jsonl::read(path)?);
    }
    let summary = pipeline::train(
        &arguments.checkpoint,
        &solutions,
        &recipe.training,
        recipe.seed,
        recipe.compute.training(),
        &arguments.out,
    )?;
    if arguments.json {
        return print_json(&summary);
    }
    print_line(&format!(
        "trained on {} solutions, {} of them right, in {} steps: loss {:.4}",
        summary.value_solutions,
        summary.policy_solutions,
        summary.report.steps,
        summary.report.last.loss
    ))
}
