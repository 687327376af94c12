use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::Args;

use super::arguments::{
    PolicyArguments, RecipeArguments, UsageError, check_device, fitted, print_json, print_line,
};
use espalier::compute::ComputeRecipe;
use espalier::environment::Split;
use espalier::problems;
use espalier::report::Table;
use espalier::tune::{Comparison, Searched, Tuned, tune};

/// Find the settings of [compute] under which this machine searches a policy fastest.
///
/// Doubles and halves `threads`, `concurrent_problems`, `slots` and `kv_cache_megabytes`, one after the other, while that is faster in
/// every pair of measurements, and prints the lines to write into a recipe. Results of a search depend on none of them. Of a policy that
/// another program serves, only `concurrent_problems` is tried. Let the machine rest meanwhile.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  espalier tune --checkpoint runs/countdown-s1/rounds/3/checkpoint"
)]
pub struct Arguments {
    #[command(flatten)]
    recipe: RecipeArguments,
    #[command(flatten)]
    policy: PolicyArguments,
    /// Problems, as `espalier generate` writes them [default: training problems of the recipe].
    #[arg(long, value_name = "FILE")]
    problems: Option<PathBuf>,
    /// Seconds of each measurement; half as many go before it. Take more for a policy that needs long for a problem.
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// Print what was tried and found as JSON.
    #[arg(long)]
    json: bool,
}

pub fn main(arguments: &Arguments) -> Result<()> {
    let recipe = arguments.recipe.load()?;
    let seconds = arguments.seconds;
    ensure!(
        seconds.is_finite() && seconds > 0.0,
        UsageError(anyhow::anyhow!("--seconds {seconds} must be a number above 0"))
    );
    check_device(&recipe)?;
    let (recipe, environment) = arguments.policy.start(recipe, &arguments.recipe)?;
    let problems = match &arguments.problems {
        Some(path) => problems::read(&environment, path)?,
        None => {
            let count = recipe.rounds.problems;
            problems::draw(&environment, &recipe.problems, Split::Train, 0, count, recipe.seed)?
        }
    };
    let load = |compute: &ComputeRecipe| {
        let recipe = espalier::recipe::Recipe { compute: compute.clone(), ..recipe.clone() };
        arguments.policy.load(&environment, &recipe)
    };
    let searched = Searched {
        environment: &environment,
        problems: &problems,
        config: &recipe.search,
        seed: recipe.seed,
        seconds,
        load: &load,
        net: recipe.policy.kind().local().is_some(),
    };
    let tuned = tune(&searched, &recipe.compute)?;
    if arguments.json { print_json(&tuned) } else { print_line(&told(&tuned)) }
}

fn told(tuned: &Tuned) -> String {
    let mut table = Table::new(["setting", "tried", "against", "speed", "taken"]);
    for trial in &tuned.trials {
        table.push([
            trial.key.to_owned(),
            trial.value.to_string(),
            trial.against.to_string(),
            ratio(&trial.speed),
            if trial.taken { "yes" } else { "no" }.to_owned(),
        ]);
    }
    let (unit, [before, after]) = (tuned.unit, tuned.rates);
    let Some(gain) = &tuned.gain else {
        return format!(
            "{}\nNothing is surely faster than the recipe's own: {before:.0} {unit} a second.",
            fitted(&table)
        );
    };
    let lines = changes(&tuned.before, &tuned.after);
    format!(
        "{}\n{before:.0} {unit} a second before, {after:.0} after: {} times. Write into the recipe:\n\n[compute]\n{}",
        fitted(&table),
        ratio(gain),
        lines.join("\n")
    )
}

/// The median, and the least and the greatest where there are several.
fn ratio(speed: &Comparison) -> String {
    let Comparison { median, least, most, pairs } = speed;
    if *pairs == 1 {
        format!("{median:.2}")
    } else {
        format!("{median:.2} [{least:.2}, {most:.2}]")
    }
}

/// The keys that differ, as a recipe has them.
fn changes(before: &ComputeRecipe, after: &ComputeRecipe) -> Vec<String> {
    let fields = |compute: &ComputeRecipe| {
        [
            ("threads", compute.threads),
            ("concurrent_problems", compute.concurrent_problems),
            ("slots", compute.slots),
            ("kv_cache_megabytes", compute.kv_cache_megabytes),
        ]
    };
    let pairs = fields(before).into_iter().zip(fields(after));
    let differ = pairs.filter(|(before, after)| before != after);
    differ.map(|(_, (key, value))| format!("{key} = {value}")).collect()
}
