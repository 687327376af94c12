use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use super::arguments::{
    RecipeArguments, check_training, print_json, print_line, start_environment,
};
use espalier::pipeline::{self, Bootstrap};
use espalier::recipe::BootstrapKind;

/// Make round 0, as `[bootstrap]` says.
///
/// `random_lines`: a fresh net trained on random legal steps, from which every solution was left out; it knows the format afterwards and
/// nothing of how to solve. `checkpoint`: a copy of a pretrained net. `solutions`: a pretrained net trained on worked solutions. The value
/// head is untrained.
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
    let summary = pipeline::pretrain(&start_environment(&recipe)?, &recipe, &arguments.out)?;
    if arguments.json {
        return print_json(&summary);
    }
    let what = match summary.kind {
        BootstrapKind::Solutions => "worked solutions",
        BootstrapKind::RandomLines | BootstrapKind::Checkpoint => "random lines",
    };
    print_line(&match summary.bootstrap {
        Bootstrap::Trained(summary) => format!(
            "trained on {} {what} in {} steps: loss {:.4}",
            summary.policy_solutions, summary.report.steps, summary.report.last.loss
        ),
        Bootstrap::Taken { parameters, .. } => format!("took a net of {parameters} numbers"),
    })
}
