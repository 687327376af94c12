use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use super::arguments::{RecipeArguments, environment_without_steps, print_json};
use espalier::environment::Split;
use espalier::{jsonl, problems};

/// Write problems, one `{id, question, answer, metadata}` a line.
///
/// The splits are disjoint whatever the seed and the difficulty: a problem's own numbers decide which split it is in.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  espalier generate --split test --count 400 --out problems.jsonl\n  \
    espalier generate --split train --count 50 --set 'problems.numbers=[4, 4]' --set problems.max_value=30"
)]
pub struct Arguments {
    #[command(flatten)]
    recipe: RecipeArguments,
    /// Which part of the problem space.
    #[arg(long, default_value = "train")]
    split: Split,
    /// How many problems.
    #[arg(long, default_value_t = 100)]
    count: usize,
    /// Where to write them [default: standard output].
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub fn main(arguments: &Arguments) -> Result<()> {
    let recipe = arguments.recipe.load()?;
    let problems = problems::draw(
        &environment_without_steps(&recipe)?,
        &recipe.problems,
        arguments.split,
        0,
        arguments.count,
        recipe.seed,
    )?;
    match &arguments.out {
        Some(path) => jsonl::write(path, &problems)?,
        None => problems.iter().try_for_each(print_json)?,
    }
    tracing::info!("{} problems of the {} split", problems.len(), arguments.split.name());
    Ok(())
}
