use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use super::arguments::{
    BaseArguments, RecipeArguments, ask_as_trained, check_training, print_json, print_line,
};
use super::outputs::refuse_overwriting;
use espalier::form::Form;
use espalier::pipeline::{self, TrainSummary};

/// Train policy and value net on step-labelled solutions.
///
/// The recipe's objective says what is learnt from them. AlphaMath's: the policy learns the steps of right solutions, the value head
/// the labels of all. A run that was killed goes on from its last saved state.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    recipe: RecipeArguments,
    /// The net to start from.
    #[arg(long, value_name = "DIR")]
    checkpoint: PathBuf,
    #[command(flatten)]
    base: BaseArguments,
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
    let mut recipe = arguments.recipe.load()?;
    check_training(&recipe)?;
    let Arguments { checkpoint, labels, out, .. } = arguments;
    let mut inputs = vec![("--checkpoint", Some(&**checkpoint))];
    inputs.extend(labels.iter().map(|file| ("--labels", Some(&**file))));
    refuse_overwriting(&[("--out", Some(&**out))], &inputs)?;
    let (overrides, named) = (&arguments.recipe.overrides, arguments.recipe.config.is_some());
    let source = arguments.base.of(checkpoint);
    let base = ask_as_trained(source, &mut recipe, overrides, named)?;
    let form = Form::new(&recipe.environment, base.unwrap_or_default() + 1)?;
    let summary = pipeline::train(source, labels, &recipe, recipe.seed, &form, out)?;
    if arguments.json {
        return print_json(&summary);
    }
    let TrainSummary { policy_solutions, value_solutions, report, .. } = summary;
    let parts = report.last.parts.iter().map(|(name, part)| format!(", {name} {part:.4}"));
    print_line(&format!(
        "{}: the policy learnt from {policy_solutions} solutions, the value head from {value_solutions}, in {} steps: loss {:.4}{}",
        recipe.objective.kind(),
        report.steps,
        report.last.loss,
        parts.collect::<String>()
    ))
}
