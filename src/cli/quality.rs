use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Args;
use serde_json::json;

use super::arguments::{RecipeArguments, environment_without_steps, print_json, print_line};
use espalier::{pipeline, problems};

/// Measure labels against the exact truth, where the environment knows it.
///
/// The area under the ROC curve of the labels of distinct states that do not end their paths: the chance that a state from which
/// the problem can still be solved has a higher label than one from which it cannot.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    recipe: RecipeArguments,
    /// Labelled solutions, as `espalier harvest` writes them.
    #[arg(long, value_name = "FILE")]
    labels: PathBuf,
    /// Their problems.
    #[arg(long, value_name = "FILE")]
    problems: PathBuf,
    /// Print the area as JSON.
    #[arg(long)]
    json: bool,
}

pub fn main(arguments: &Arguments) -> Result<()> {
    let recipe = arguments.recipe.load()?;
    let environment = environment_without_steps(&recipe)?;
    let problems = problems::open(&environment, &arguments.problems)?;
    let auc = pipeline::label_auc(&environment, &problems, &arguments.labels)?;
    if arguments.json {
        return print_json(&json!({ "schema": "espalier.quality/1", "q_auc": auc }));
    }
    let Some(auc) = auc else {
        bail!("no area: the truth is not known in this environment, or all states are of one kind");
    };
    print_line(&format!(
        "AUC {:.3} [{:.3}, {:.3}] of {} states, {} of them solvable",
        auc.auc, auc.low, auc.high, auc.n, auc.positives
    ))
}
