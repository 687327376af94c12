use std::path::PathBuf;

use anyhow::{Result, anyhow};
use clap::Args;
use espalier_search::Decoding;

use crate::arguments::{
    PolicyArguments, RecipeArguments, UsageError, print_json, print_line, start_environment,
};
use espalier::report::Table;
use espalier::{pipeline, problems};

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
    let decodings = if arguments.decoding.is_empty() {
        &recipe.evaluation.decodings
    } else {
        &arguments.decoding
    };
    let environment = start_environment(&recipe)?;
    let problems = problems::read(&environment, problems)?;
    let policy = arguments.policy.load(&environment, &recipe)?;
    let plan = pipeline::EvaluationPlan {
        problems: &problems,
        decodings,
        config: &recipe.evaluation.decode,
        seeds: usize::from(arguments.seeds),
        seed: recipe.seed,
        net: policy.fingerprint(),
    };
    let out = arguments.out.as_deref();
    let results =
        pipeline::evaluate(&environment, policy.evaluator(), &plan, &recipe.compute, out)?;
    if arguments.json {
        return results.iter().try_for_each(print_json);
    }
    let mut table = Table::new([
        "decoding",
        "% right",
        "95 % interval",
        "n",
        "seeds",
        "tokens a problem",
        "seconds",
    ]);
    for result in &results {
        table.push([
            result.decoding.clone(),
            format!("{:.1}", 100.0 * result.accuracy),
            format!("[{:.1}, {:.1}]", 100.0 * result.low, 100.0 * result.high),
            result.n.to_string(),
            result.seeds.to_string(),
            format!("{:.1}", result.tokens_per_problem),
            result.seconds.map_or("–".into(), |seconds| format!("{seconds:.1}")),
        ]);
    }
    print_line(&table.text())
}
