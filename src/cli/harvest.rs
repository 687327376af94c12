use std::path::PathBuf;

use anyhow::{Result, anyhow};
use clap::Args;

use super::arguments::{
    PolicyArguments, RecipeArguments, UsageError, environment_without_steps, print_json, print_line,
};
use super::outputs::refuse_overwriting;
use espalier::environment::AnyEnvironment;
use espalier::labels::export_stepwise;
use espalier::pipeline::{self, HarvestPlan, HarvestSummary, Player};
use espalier::problems;
use espalier::recipe::Recipe;

/// Turn trees into step-labelled solutions.
///
/// Of every problem up to `labels.paths.max_correct` right and `labels.paths.max_incorrect` wrong distinct solutions are kept. A
/// step's label is its Q-value in the tree, the last step's the reward (`labels.kind = "q_value"`); or the reward of its path
/// (`outcome`); or the share of right answers among roll-outs from there (`monte_carlo`), for which --checkpoint and --problems
/// are needed. Killed and started again with the same command, it goes on after the last labelled problem.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    recipe: RecipeArguments,
    #[command(flatten)]
    policy: PolicyArguments,
    /// Trees, as `espalier search` writes them.
    #[arg(long, value_name = "FILE")]
    trees: PathBuf,
    /// The problems of the trees, where labels come from roll-outs.
    #[arg(long, value_name = "FILE")]
    problems: Option<PathBuf>,
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
    let outputs = [("--out", Some(&*arguments.out)), ("--stepwise", arguments.stepwise.as_deref())];
    let inputs =
        [("--trees", Some(&*arguments.trees)), ("--problems", arguments.problems.as_deref())];
    refuse_overwriting(&outputs, &inputs)?;
    let summary = if recipe.labels.needs_rollouts() {
        let (recipe, environment) = arguments.policy.start(recipe.clone(), &arguments.recipe)?;
        arguments.roll_out(&environment, &recipe)?
    } else {
        let environment = environment_without_steps(&recipe)?;
        pipeline::harvest(&environment, &arguments.plan(&recipe), &recipe.compute, &arguments.out)?
    };
    if let Some(path) = &arguments.stepwise {
        export_stepwise(&arguments.out, path)?;
    }
    if arguments.json {
        return print_json(&summary);
    }
    let counts = summary.counts;
    print_line(&format!(
        "{} problems, {} solved: {} right and {} wrong solutions with {} steps",
        counts.problems, counts.solved, counts.correct, counts.incorrect, counts.steps
    ))?;
    if counts.cost.rollouts > 0 {
        let cost = counts.cost;
        print_line(&format!("{} roll-outs, {} sampled tokens", cost.rollouts, cost.tokens))?;
    }
    Ok(())
}

impl Arguments {
    fn plan<'a>(&'a self, recipe: &'a Recipe) -> HarvestPlan<'a> {
        HarvestPlan { trees: &self.trees, labels: &recipe.labels, seed: recipe.seed, player: None }
    }

    fn roll_out(&self, environment: &AnyEnvironment, recipe: &Recipe) -> Result<HarvestSummary> {
        let Some(problems) = &self.problems else {
            return self.refuse("--problems FILE", "the problems of the trees");
        };
        if recipe.policy.kind().needs_checkpoint() && self.policy.checkpoint.is_none() {
            return self.refuse("--checkpoint DIR", "the policy that plays them");
        }
        let problems = problems::open(environment, problems)?;
        let policy = self.policy.load(environment, recipe)?;
        let player = Player {
            evaluator: policy.evaluator(),
            net: policy.fingerprint(),
            problems: &problems,
        };
        let plan = HarvestPlan { player: Some(player), ..self.plan(recipe) };
        pipeline::harvest(environment, &plan, &recipe.compute, &self.out)
    }

    fn refuse(&self, argument: &str, what: &str) -> Result<HarvestSummary> {
        let message =
            anyhow!("[labels]: this kind labels steps by roll-outs, which need {argument}: {what}");
        Err(UsageError(message).into())
    }
}
