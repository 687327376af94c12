use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, ValueEnum};
use espalier_training::{Checkpoint, Compute};

use super::arguments::{
    BaseArguments, RecipeArguments, check_device, check_training, print_json, print_table,
};
use espalier::bench::inference::InferenceOptions;
use espalier::bench::training::TrainingOptions;
use espalier::bench::{self, Case};
use espalier::compute::ComputeRecipe;
use espalier::recipe::Recipe;
use espalier::report::Table;

/// Time the engine on this machine: inference alone, training alone, code steps alone.
///
/// Machines are noisy: compare rows of one run. Each row is the median of several repetitions.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    recipe: RecipeArguments,
    /// What to time [default: everything].
    #[arg(value_enum)]
    what: Vec<What>,
    /// The net for inference and training [default: a fresh one of the recipe's shape].
    #[arg(long, value_name = "DIR")]
    checkpoint: Option<PathBuf>,
    #[command(flatten)]
    base: BaseArguments,
    /// Repetitions of each case.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    repetitions: u16,
    /// In `inference` and `training`, only as many threads as the recipe says, not one as well.
    #[arg(long)]
    all_threads: bool,
    #[command(flatten)]
    inference: InferenceOptions,
    #[command(flatten)]
    training: TrainingOptions,
    /// Print one JSON object a case.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    /// Contexts read, steps written, a search of AlphaMath's shape: tokens a second.
    Inference,
    /// Optimiser steps of the trainer: tokens a second.
    Training,
    /// Code steps in both interpreters: steps a second.
    Execution,
}

impl Arguments {
    /// The numbers of threads to time with, most first.
    fn threads(&self, recipe: &Recipe) -> Vec<usize> {
        let mut threads = bench::counts(recipe.compute.resolved_threads());
        threads.reverse();
        if self.all_threads {
            threads.truncate(1);
        }
        threads
    }
}

pub fn main(arguments: &Arguments) -> Result<()> {
    let recipe = arguments.recipe.load()?;
    let wanted = |what| arguments.what.is_empty() || arguments.what.contains(&what);
    let repetitions = usize::from(arguments.repetitions);
    let mut cases: Vec<Case> = Vec::new();
    if wanted(What::Execution) {
        let threads = recipe.compute.resolved_threads();
        cases.extend(bench::execution::execution(threads, repetitions)?);
    }
    print_cases(&cases, arguments.json)?;
    if wanted(What::Inference) || wanted(What::Training) {
        check_device(&recipe)?;
        let net = bench::net(&recipe, arguments.base.of_any(arguments.checkpoint.as_deref())?)?;
        if wanted(What::Inference) {
            inference(arguments, &recipe, &net)?;
        }
        if wanted(What::Training) {
            training(arguments, &recipe, &net)?;
        }
    }
    Ok(())
}

fn inference(arguments: &Arguments, recipe: &Recipe, net: &Checkpoint) -> Result<()> {
    let repetitions = usize::from(arguments.repetitions);
    let mut rows = Vec::new();
    for threads in arguments.threads(recipe) {
        let compute = ComputeRecipe { threads, ..recipe.compute.clone() };
        let base = recipe.policy.local().inference(&compute, Vec::new());
        bench::inference::inference(net, &base, &arguments.inference, repetitions, |row| {
            if arguments.json {
                print_json(&row)?;
            }
            rows.push(row);
            Ok(())
        })?;
    }
    if arguments.json { Ok(()) } else { print_table(&inference_table(&rows)) }
}

fn training(arguments: &Arguments, recipe: &Recipe, net: &Checkpoint) -> Result<()> {
    check_training(recipe)?;
    let mut rows = Vec::new();
    for threads in arguments.threads(recipe) {
        let compute = Compute { threads, ..recipe.compute.training() };
        bench::training::training(net, recipe, compute, &arguments.training, |row| {
            if arguments.json {
                print_json(&row)?;
            }
            rows.push(row);
            Ok(())
        })?;
    }
    if arguments.json { Ok(()) } else { print_table(&training_table(&rows)) }
}

fn print_cases(cases: &[Case], json: bool) -> Result<()> {
    if cases.is_empty() {
        return Ok(());
    }
    if json {
        return cases.iter().try_for_each(print_json);
    }
    let mut table = Table::new(["bench", "case", "threads", "per second", "unit", "median s"]);
    for case in cases {
        table.push([
            case.bench.to_owned(),
            case.case.clone(),
            case.threads.to_string(),
            format!("{:.0}", case.per_second),
            case.unit.to_owned(),
            format!("{:.4}", case.seconds),
        ]);
    }
    print_table(&table)
}

fn inference_table(rows: &[bench::inference::Row]) -> Table {
    let header = [
        "case",
        "device",
        "batch",
        "threads",
        "tokens/s",
        "min",
        "max",
        "occupancy",
        "forward",
        "GEMM",
    ];
    let mut table = Table::new(header);
    for row in rows {
        table.push([
            row.case.to_string(),
            row.device.to_string(),
            row.batch.to_string(),
            row.threads.to_string(),
            format!("{:.0}", row.tokens_per_second),
            format!("{:.0}", row.tokens_per_second_min),
            format!("{:.0}", row.tokens_per_second_max),
            row.occupancy.map_or("–".to_owned(), |occupancy| format!("{occupancy:.3}")),
            format!("{:.2}", row.forward_share),
            format!("{:.2}", row.gemm_share),
        ]);
    }
    table
}

fn training_table(rows: &[bench::training::Row]) -> Table {
    let header = [
        "case",
        "device",
        "precision",
        "batch",
        "threads",
        "tokens/s",
        "min",
        "max",
        "padding",
        "forward",
        "backward",
        "optimizer",
    ];
    let mut table = Table::new(header);
    for row in rows {
        table.push([
            row.case.to_string(),
            row.device.to_string(),
            row.precision.name().to_owned(),
            row.batch_tokens.to_string(),
            row.threads.to_string(),
            format!("{:.0}", row.tokens_per_second),
            format!("{:.0}", row.tokens_per_second_min),
            format!("{:.0}", row.tokens_per_second_max),
            format!("{:.3}", row.padding),
            format!("{:.2}", row.forward_share),
            format!("{:.2}", row.backward_share),
            format!("{:.2}", row.optimizer_share),
        ]);
    }
    table
}
