use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use espalier_search::Decoding;

use super::arguments::{print_json, print_table};
use espalier::evaluation::{compare, comparison_table};

/// Compare evaluations of the same problems, problem by problem: the difference in right answers, with its 95 % interval.
///
/// Reads what `espalier evaluate --out` writes, and each round of a run as `evaluation.jsonl`. Several files are several runs (seeds), the first compared
/// with the first after --base, and so on.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  espalier compare runs/a/rounds/3/evaluation.jsonl --base runs/a/rounds/1/evaluation.jsonl\n  \
    espalier compare runs/a/rounds/3/evaluation.jsonl --base-decoding greedy"
)]
pub struct Arguments {
    /// Evaluations.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Evaluations that they are compared with [default: the same, by --base-decoding].
    #[arg(long, num_args = 1.., value_name = "FILE", required_unless_present = "base_decoding")]
    base: Vec<PathBuf>,
    /// Decodings to compare, separated by commas [default: all that every file has].
    #[arg(long, value_delimiter = ',', value_name = "DECODING")]
    decoding: Vec<Decoding>,
    /// The decoding that all are compared with [default: each with itself].
    #[arg(long, value_name = "DECODING")]
    base_decoding: Option<Decoding>,
    /// Print one JSON object a decoding.
    #[arg(long)]
    json: bool,
}

pub fn main(arguments: &Arguments) -> Result<()> {
    let base = if arguments.base.is_empty() { &arguments.files } else { &arguments.base };
    let decodings: Vec<String> = arguments.decoding.iter().map(ToString::to_string).collect();
    let base_decoding = arguments.base_decoding.map(|decoding| decoding.to_string());
    let rows = compare(&arguments.files, base, &decodings, base_decoding.as_deref())?;
    if arguments.json {
        return rows.iter().try_for_each(print_json);
    }
    print_table(&comparison_table(&rows))
}
