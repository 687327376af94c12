use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use super::arguments::{PolicyArguments, UsageError, print_json, print_table, start_environment};
use espalier::pipeline::{Ablation, ablate};

/// Measure a grid of search settings on a fixed policy: accuracy with intervals, tokens, simulations and time for every cell.
///
/// The result directory holds the table as text, Markdown and CSV and a plot; killed and started again with the same command, the
/// ablation goes on at the first unfinished cell.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The ablation, as in configs/ablations/.
    file: PathBuf,
    #[command(flatten)]
    policy: PolicyArguments,
    /// The result directory [default: runs/ablation-NAME].
    #[arg(short, long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Override one key of the ablation's recipe; may be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// Print one JSON object a cell.
    #[arg(long)]
    json: bool,
}

pub fn main(arguments: &Arguments) -> Result<()> {
    let (ablation, mut cells) =
        Ablation::read(&arguments.file, &arguments.overrides).map_err(UsageError)?;
    let out = arguments
        .out
        .clone()
        .unwrap_or_else(|| PathBuf::from("runs").join(format!("ablation-{}", ablation.name)));
    let round = arguments.policy.ask(&mut cells[0], &arguments.overrides, true)?;
    let environment = start_environment(&cells[0])?.for_net_of_round(round);
    let policy = arguments.policy.load(&environment, &cells[0])?;
    let (table, measured) = ablate(&environment, &ablation, &cells, &policy, &out)?;
    if arguments.json {
        return measured.iter().try_for_each(print_json);
    }
    print_table(&table)
}
