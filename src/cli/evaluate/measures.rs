use std::path::PathBuf;

use anyhow::{Result, anyhow};
use clap::Args;
use espalier_search::Decoding;

use crate::arguments::{PolicyArguments, RecipeArguments, UsageError, print_json, print_table};
use crate::outputs::refuse_overwriting;
use espalier::evaluation::{MeasureRecipe, Subject, evaluate, listed_once, validate_measures};
use espalier::problems;

/// The measures of a policy on a file of problems.
#[derive(Debug, Args)]
pub struct MeasureArguments {
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
    /// A measure, as KIND or KIND:SETTINGS with the settings of `[[evaluation.measures]]` in TOML, such as `process:files = {math =
    /// "math.json"}, threshold = 0.0`; may be repeated [default: the recipe's measures; with --decoding, `decodings` alone].
    #[arg(long = "measure", value_name = "KIND[:SETTINGS]")]
    measures: Vec<String>,
    /// How often each problem is answered in each way.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    seeds: u16,
    /// Write every decoded problem, and every set of samples, to this file, one a line; killed and started again with the same
    /// command, the evaluation goes on after the last of them. Measures of files write theirs beside it.
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Print one JSON object a figure.
    #[arg(long)]
    json: bool,
}

pub fn main(arguments: &MeasureArguments) -> Result<()> {
    let Some(problems) = &arguments.problems else {
        return Err(UsageError(anyhow!("--problems FILE is needed")).into());
    };
    let recipe = arguments.recipe.load()?;
    let out = ("--out", arguments.out.as_deref());
    refuse_overwriting(&[out], &[("--problems", Some(&**problems))])?;
    let mut evaluation = recipe.evaluation.clone();
    if !arguments.decoding.is_empty() {
        listed_once(&arguments.decoding)
            .map_err(|error| UsageError(error.context("--decoding")))?;
        evaluation.decodings = arguments.decoding.clone();
    }
    evaluation.measures = measures(arguments, evaluation.measures)?;
    let (recipe, environment) = arguments.policy.start(recipe, &arguments.recipe)?;
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
        further: false,
    };
    let evaluated = evaluate(&subject, &evaluation.measures)?;
    let figures = evaluated.iter().map(|(_, figures)| figures);
    if arguments.json {
        return figures.flat_map(|figures| &figures.lines).try_for_each(print_json);
    }
    figures.filter_map(|figures| figures.table.as_ref()).try_for_each(print_table)
}

/// The measures asked for. A kind without settings has those of the recipe where it lists the kind.
fn measures(
    arguments: &MeasureArguments,
    of_recipe: Vec<MeasureRecipe>,
) -> Result<Vec<MeasureRecipe>> {
    let asked: Vec<&str> = match &arguments.measures[..] {
        [] if arguments.decoding.is_empty() => return Ok(of_recipe),
        [] => vec!["decodings"],
        asked => asked.iter().map(String::as_str).collect(),
    };
    let read = |text: &&str| match of_recipe.iter().find(|measure| measure.kind() == *text) {
        Some(measure) => Ok(measure.clone()),
        None => text.parse(),
    };
    let measures = asked.iter().map(read).collect::<Result<Vec<MeasureRecipe>>>();
    let checked = measures.and_then(|measures| {
        validate_measures(&measures)?;
        Ok(measures)
    });
    checked.map_err(|error| UsageError(error.context("--measure")).into())
}
