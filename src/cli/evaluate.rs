use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use espalier_search::Decoding;

use super::arguments::{
    PolicyArguments, RecipeArguments, print_json, print_line, with_environment,
};
use crate::report::Table;
use crate::{pipeline, problems};

/// Measure a policy on held-out problems: the share of right answers by decoding, with a 95 % interval.
///
/// Decodings: `greedy`; `maj@K` (majority of K samples); `bon@K` (the best of K by value); `sbs:B1xB2` (step-level beam search with
/// B1 beams and B2 samples each); `mcts:N` (a tree of N simulations). No decoding sees the ground truth.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  espalier evaluate --checkpoint runs/countdown-s1/rounds/3/checkpoint \
    --problems problems.jsonl --decoding greedy,maj@5,sbs:3x5,mcts:40 --seeds 3 --json"
)]
pub struct Arguments {
    #[command(flatten)]
    recipe: RecipeArguments,
    #[command(flatten)]
    policy: PolicyArguments,
    /// Problems, as `espalier generate` writes them.
    #[arg(long, value_name = "FILE")]
    problems: PathBuf,
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

pub fn main(arguments: &Arguments) -> Result<()> {
    let recipe = arguments.recipe.load()?;
    let decodings = if arguments.decoding.is_empty() {
        &recipe.evaluation.decodings
    } else {
        &arguments.decoding
    };
    let results = with_environment!(recipe, environment => {
        let problems = problems::read(environment, &arguments.problems)?;
        let policy = arguments.policy.load(environment, &recipe)?;
        let plan = pipeline::EvaluationPlan {
            problems: &problems,
            decodings,
            config: &recipe.evaluation.decode,
            seeds: usize::from(arguments.seeds),
            seed: recipe.seed,
            net: policy.fingerprint(),
        };
        let out = arguments.out.as_deref();
        pipeline::evaluate(environment, policy.evaluator(), &plan, &recipe.compute, out)?
    });
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
