use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use super::arguments::{RecipeArguments, check_training, print_json, print_line, with_environment};
use crate::environment::Split;
use crate::{pipeline, problems};

/// Train round 0: a fresh net on random legal steps, from which every solution was left out.
///
/// It knows the format afterwards and nothing of how to solve; its value head is untrained.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    recipe: RecipeArguments,
    /// Where to write the checkpoint.
    #[arg(short, long, value_name = "DIR")]
    out: PathBuf,
    /// Print the summary as JSON.
    #[arg(long)]
    json: bool,
}

pub fn main(arguments: &Arguments) -> Result<()> {
    let recipe = arguments.recipe.load()?;
    check_training(&recipe)?;
    let summary = with_environment!(recipe, environment => {
        let count = recipe.rounds.problems * recipe.rounds.count.max(1);
        let source = &recipe.problems;
        let problems =
            problems::draw(environment, source, Split::Train, 0, count, recipe.seed)?;
        pipeline::pretrain(environment, &recipe, &problems, &arguments.out)?
    });
    if arguments.json {
        return print_json(&summary);
    }
    print_line(&format!(
        "trained on {} random lines in {} steps: loss {:.4}",
        summary.policy_solutions, summary.report.steps, summary.report.last.loss
    ))
}
