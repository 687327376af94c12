use std::path::PathBuf;

use anyhow::{Result, anyhow};
use clap::Args;
use espalier_search::Decoding;

use crate::arguments::{
    PolicyArguments, RecipeArguments, UsageError, print_json, print_line, start_environment,
};
use espalier::evaluation::{Subject, evaluate};
use espalier::problems;

/// How a policy is measured by decodings.
#[derive(Debug, Args)]
pub struct DecodingArguments {
    #[command(flatten)]
    recipe: RecipeArguments,
    #[command(flatten)]
    policy: PolicyArguments,
    /// Problems, as `espalier generate` writes them.
    // An option, for the subcommands do without it.
    #[arg(long, value_name = "FILE", required = true)]
    problems: Option<PathBuf>,
    /// Ways to decode, separated by commas [default: the recipe's].
    #[arg(long, value_delimiter = ',', value_name = "DECODING")]
    decoding: Vec<Decoding>,
    /// How often each problem is decoded in each way.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    seeds: u16,
    /// Write every decoded problem to this file, one a line; killed and started again with the same command, the evaluation
    /// goes on after the last of them.
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Print one JSON object a decoding.
    #[arg(long)]
    json: bool,
}

pub fn main(arguments: &DecodingArguments) -> Result<()> {
    let Some(problems) = &arguments.problems else {
        return Err(UsageError(anyhow!("--problems FILE is needed")).into());
    };
    let recipe = arguments.recipe.load()?;
    let mut evaluation = recipe.evaluation.clone();
    if !arguments.decoding.is_empty() {
        evaluation.decodings = arguments.decoding.clone();
    }
    let environment = start_environment(&recipe)?;
    let problems = problems::read(&environment, problems)?;
    let policy = arguments.policy.load(&environment, &recipe)?;
    let subject = Subject {
        environment: &environment,
        evaluator: policy.evaluator(),
        net: policy.fingerprint(),
        problems: &problems,
        recipe: &evaluation,
        seeds: usize::from(arguments.seeds),
        seed: recipe.seed,
        concurrent_problems: recipe.compute.concurrent_problems,
        out: arguments.out.as_deref(),
    };
    let evaluated = evaluate(&subject, &evaluation.measures)?;
    let figures = evaluated.iter().map(|(_, figures)| figures);
    if arguments.json {
        return figures.flat_map(|figures| &figures.lines).try_for_each(print_json);
    }
    figures
        .filter_map(|figures| figures.table.as_ref())
        .try_for_each(|table| print_line(&table.text()))
}
