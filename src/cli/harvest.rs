use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use super::arguments::{RecipeArguments, environment_without_steps, print_json, print_line};
use espalier::pipeline;
use espalier::recipe::LabelsRecipe;

/// Turn trees into step-labelled solutions.
///
/// Of every problem up to `labels.max_correct` right and `labels.max_incorrect` wrong distinct solutions are kept; a step's label
/// is its Q-value in the tree, the last step's the reward.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    recipe: RecipeArguments,
    /// Trees, as `espalier search` writes them.
    #[arg(long, value_name = "FILE")]
    trees: PathBuf,
    /// Where to write the labelled solutions, one a line.
    #[arg(short, long, value_name = "FILE")]
    out: PathBuf,
    /// Also write TRL's stepwise form: `prompt`, `completions`, `labels`.
    #[arg(long, value_name = "FILE")]
    stepwise: Option<PathBuf>,
    /// Print the summary as JSON.
    #[arg(long)]
    json: bool,
}

pub fn main(arguments: &Arguments) -> Result<()> {
    let recipe = arguments.recipe.load()?;
    let LabelsRecipe::QValue(config) = &recipe.labels;
    let summary = pipeline::harvest(
        &environment_without_steps(&recipe)?,
        &arguments.trees,
        config,
        recipe.seed,
        &arguments.out,
        arguments.stepwise.as_deref(),
    )?;
    if arguments.json {
        return print_json(&summary);
    }
    print_line(&format!(
        "{} problems, {} solved: {} right and {} wrong solutions with {} steps",
        summary.problems, summary.solved, summary.correct, summary.incorrect, summary.steps
    ))
}
