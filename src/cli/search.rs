use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use espalier_search::TreeRecord;

use super::arguments::{PolicyArguments, RecipeArguments, UsageError, print_json, print_line};
use super::outputs::refuse_overwriting;
use espalier::jsonl::Indexed;
use espalier::spans::Span;
use espalier::{pipeline, problems};

/// Grow search trees, or what `[search] kind` says, on problems whose answers are known.
///
/// One tree a line, nodes by tag (`0` is the root, `0.2` its third child) with text, value, Q-value, prior and visits. Killed and
/// started again with the same command, it goes on after the last finished problem.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    recipe: RecipeArguments,
    #[command(flatten)]
    policy: PolicyArguments,
    /// Problems, as `espalier generate` writes them.
    #[arg(long, value_name = "FILE")]
    problems: PathBuf,
    /// Where to write the trees.
    #[arg(short, long, value_name = "FILE")]
    out: PathBuf,
    /// Search these trees further, up to the recipe's simulations in all, instead of growing new ones: with one worker a tree and
    /// the same settings, as if each had been one longer search.
    #[arg(long = "continue", value_name = "TREES")]
    before: Option<PathBuf>,
    /// Print the summary as JSON.
    #[arg(long)]
    json: bool,
}

pub fn main(arguments: &Arguments) -> Result<()> {
    let recipe = arguments.recipe.load()?;
    if arguments.before.is_some() {
        let refused = |error| UsageError(anyhow::Error::new(error).context("--continue: [search]"));
        recipe.search.settings().can_continue().map_err(refused)?;
    }
    let inputs =
        [("--problems", Some(&*arguments.problems)), ("--continue", arguments.before.as_deref())];
    refuse_overwriting(&[("--out", Some(&*arguments.out))], &inputs)?;
    let before = arguments.before.as_deref();
    let before = before
        .map(|path| Indexed::open_grouped(path, |tree: &TreeRecord| &tree.problem))
        .transpose()?;
    let (recipe, environment) = arguments.policy.start(recipe, &arguments.recipe)?;
    let problems = problems::open(&environment, &arguments.problems)?;
    let policy = arguments.policy.load(&environment, &recipe)?;
    let plan = pipeline::SearchPlan {
        problems: &problems,
        config: &recipe.search,
        budgets: None,
        trees_per_problem: recipe.rounds.trees_per_problem,
        seed: recipe.seed,
        net: policy.fingerprint(),
        before: before.as_ref(),
        harvest: None,
    };
    let compute = &recipe.compute;
    let mut summary = Span::stage(None, "search").around(|| {
        pipeline::search(&environment, policy.evaluator(), &plan, compute, &arguments.out)
    })?;
    summary.inference = policy.inference();
    if arguments.json {
        return print_json(&summary);
    }
    let failed = summary.failed.len();
    let mut without = Vec::new();
    for (count, what) in [(failed, "more failed"), (summary.context_too_long, "too long to read")] {
        if count > 0 {
            without.push(format!("{count} {what}"));
        }
    }
    let without =
        if without.is_empty() { String::new() } else { format!(" ({})", without.join(", ")) };
    print_line(&format!(
        "{} of {} problems solved{without}: {} trees, {} nodes, {} sampled tokens, {:.1} s",
        summary.solved,
        summary.problems,
        summary.trees,
        summary.nodes,
        summary.tokens,
        summary.seconds
    ))
}
