use anyhow::{Context, Result, anyhow, bail};
use clap::Args;
use espalier_search::{Cut, Decoding, Environment, decode};
use serde_json::json;

use super::arguments::{PolicyArguments, RecipeArguments, UsageError, print_json, print_line};
use espalier::interrupt::Work;
use espalier::policy::LimitWatch;
use espalier::report::Table;

/// Solve one problem and show the chosen steps with their Q-value, value and visits.
#[derive(Debug, Args)]
#[command(after_help = "Example (countdown: the target, then the numbers):\n  \
    espalier solve \"26: 3 5 7\" --checkpoint runs/countdown-s1/rounds/3/checkpoint")]
pub struct Arguments {
    #[command(flatten)]
    recipe: RecipeArguments,
    /// The problem.
    problem: String,
    #[command(flatten)]
    policy: PolicyArguments,
    /// How to decode.
    #[arg(long, default_value = "mcts:40")]
    decoding: Decoding,
    /// Print the solution as JSON.
    #[arg(long)]
    json: bool,
}

pub fn main(arguments: &Arguments) -> Result<()> {
    let recipe = arguments.recipe.load()?;
    let (recipe, environment) = arguments.policy.start(recipe, &arguments.recipe)?;
    let problem = environment
        .read_problem(&arguments.problem)
        .map_err(|message| UsageError(anyhow!(message)))?;
    let policy = arguments.policy.load(&environment, &recipe)?;
    let evaluator = LimitWatch::new(policy.evaluator());
    let config = &recipe.evaluation.decode;
    let work = Work::begin();
    let outcome = decode(
        arguments.decoding,
        &environment,
        &evaluator,
        &problem,
        config,
        recipe.seed,
        work.cancel(),
    );
    work.check(|| "there is no answer yet".to_owned())?;
    let outcome = outcome.with_context(|| format!("cannot solve {:?}", arguments.problem))?;
    if outcome.cut == Some(Cut::ContextTooLong) && outcome.tokens == 0 {
        bail!("the problem cannot be read: {}", evaluator.context());
    }
    evaluator.warn_of_steps(outcome.steps_truncated);
    let known = !problem.answer.is_empty();
    let graded = |answer: &String| {
        environment.verdict(&problem, answer, environment.reward(&problem, answer))
    };
    let verdict = outcome.answer.as_ref().filter(|_| known).map(graded);
    let right = verdict.flatten();
    let cut = match (&outcome.answer, verdict) {
        (None, _) => outcome.cut,
        (Some(_), Some(None)) => Some(Cut::UndecidedAnswer),
        (Some(_), _) => None,
    };
    if arguments.json {
        return print_json(&json!({
            "schema": "espalier.solution_shown/1",
            "problem": problem,
            "decoding": arguments.decoding.to_string(),
            "answer": outcome.answer,
            "correct": right,
            "cut": cut,
            "steps_truncated": outcome.steps_truncated,
            "steps": outcome.solution,
            "tokens": outcome.tokens,
            "simulations": outcome.simulations,
        }));
    }
    let mut table = Table::new(["step", "prior", "Q", "value", "visits"]);
    let number = |value: Option<f64>| value.map_or("–".into(), |value| format!("{value:.3}"));
    for step in &outcome.solution {
        table.push([
            format!("{}{}", step.action, step.observation.trim_end()),
            format!("{:.3}", step.prior),
            number(step.q),
            number(step.value),
            step.visits.map_or("–".into(), |visits| visits.to_string()),
        ]);
    }
    print_line(&table.text())?;
    let verdict = match (right, &outcome.answer) {
        (Some(true), _) => "right".to_owned(),
        (Some(false), _) => "wrong".to_owned(),
        (None, Some(_)) => match cut {
            Some(cut) => cut.to_string(),
            None => "no right answer is known".to_owned(),
        },
        (None, None) => match cut {
            Some(cut) => format!("none found: {cut}"),
            None => "none found".to_owned(),
        },
    };
    let answer = outcome.answer.as_deref().unwrap_or("–");
    print_line(&format!("answer {answer} ({verdict}), {} sampled tokens", outcome.tokens))
}
