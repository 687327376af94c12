use std::path::PathBuf;

use anyhow::{Result, anyhow};
use clap::Args;

use super::arguments::{
    PolicyArguments, RecipeArguments, UsageError, environment_without_steps, policy_error,
    print_json, print_line,
};
use super::outputs::refuse_overwriting;
use espalier::environment::AnyEnvironment;
use espalier::labels::export_stepwise;
use espalier::pipeline::{self, Agreement, HarvestPlan, HarvestSummary, Judge, Player};
use espalier::policy::Policy;
use espalier::policy::prm::Judged;
use espalier::problems;
use espalier::recipe::Recipe;

/// Turn trees into step-labelled solutions.
///
/// Of every problem up to `labels.paths.max_correct` right and `labels.paths.max_incorrect` wrong distinct solutions are kept. A
/// step's label is its Q-value in the tree, the last step's the reward (`labels.kind = "q_value"`); or the reward of its path
/// (`outcome`); or the share of right answers among roll-outs from there (`monte_carlo`), for which --checkpoint and --problems
/// are needed. With --verifier a process reward model reads every step too, and a label with which it disagrees (right or wrong, at 0) gets
/// weight 0: the value head does not learn it, and TRL's form ends before it. Killed and started again with the same command, it goes on after the last labelled problem.
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
    let judge = arguments.judge(&recipe)?;
    let judge = judge
        .as_ref()
        .map(|policy| Judge { evaluator: policy.evaluator(), net: policy.fingerprint() });
    let summary = if recipe.labels.needs_rollouts() {
        let (recipe, environment) = arguments.policy.start(recipe.clone(), &arguments.recipe)?;
        arguments.roll_out(&environment, &recipe, judge)?
    } else {
        let environment = environment_without_steps(&recipe)?;
        let plan = HarvestPlan { judge, ..arguments.plan(&recipe) };
        pipeline::harvest(&environment, &plan, &recipe.compute, &arguments.out)?
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
    let Agreement { judged, agreed } = counts.agreement;
    if judged > 0 {
        let share = 100.0 * agreed as f64 / judged as f64;
        print_line(&format!(
            "the reward model agrees with {agreed} of {judged} labels ({share:.1} %)"
        ))?;
    }
    Ok(())
}

impl Arguments {
    /// The reward model that must agree, where one is named.
    fn judge(&self, recipe: &Recipe) -> Result<Option<Policy>> {
        if self.policy.verifier.is_none() {
            return Ok(None);
        }
        let policy = self.policy.policy(recipe)?;
        let Some(prm) = policy.prm() else { return Ok(None) };
        prm.verifier(Judged::Steps, &recipe.compute).map(Some).map_err(policy_error)
    }

    fn plan<'a>(&'a self, recipe: &'a Recipe) -> HarvestPlan<'a> {
        let labels = &recipe.labels;
        HarvestPlan { trees: &self.trees, labels, seed: recipe.seed, player: None, judge: None }
    }

    fn roll_out(
        &self,
        environment: &AnyEnvironment,
        recipe: &Recipe,
        judge: Option<Judge<'_>>,
    ) -> Result<HarvestSummary> {
        let Some(problems) = &self.problems else {
            return self.refuse("--problems FILE", "the problems of the trees");
        };
        if recipe.policy.kind().needs_checkpoint() && self.policy.checkpoint.is_none() {
            return self.refuse("--checkpoint DIR", "the policy that plays them");
        }
        let problems = problems::open(environment, problems)?;
        let source = self.policy.base.of_any(self.policy.checkpoint.as_deref())?;
        let loaded = recipe.policy.kind().load(environment, &recipe.compute, source);
        let policy = loaded.map_err(policy_error)?;
        let player = Player {
            evaluator: policy.evaluator(),
            net: policy.fingerprint(),
            problems: &problems,
        };
        let plan = HarvestPlan { player: Some(player), judge, ..self.plan(recipe) };
        pipeline::harvest(environment, &plan, &recipe.compute, &self.out)
    }

    fn refuse(&self, argument: &str, what: &str) -> Result<HarvestSummary> {
        let message =
            anyhow!("[labels]: this kind labels steps by roll-outs, which need {argument}: {what}");
        Err(UsageError(message).into())
    }
}
