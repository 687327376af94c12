use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, ValueEnum};

use super::arguments::{fitted, print_line};
use espalier::evaluation::ROWS;
use espalier::report::{rounds_plot, rounds_table};
use espalier::run_dir::check_one_recipe;
use espalier::{jsonl, page};

/// Set runs of one recipe (several seeds) side by side: accuracy by round and decoding, with 95 % intervals over problems
/// and runs, and label quality by round. Runs of different recipes are refused.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Run directories.
    #[arg(required = true, value_name = "RUN_DIR")]
    runs: Vec<PathBuf>,
    /// The form of the table, or `svg`: accuracy by round as a plot.
    #[arg(long, default_value = "text")]
    format: Format,
    /// Write a page for a browser instead: charts, tables, recipe and the probe's trees in one file. Runs of several recipes stand
    /// side by side, each compared with the first.
    #[arg(long, value_name = "FILE", conflicts_with = "format")]
    html: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    Text,
    Markdown,
    Csv,
    /// Accuracy by round and decoding as a plot.
    Svg,
}

pub fn main(arguments: &Arguments) -> Result<()> {
    if let Some(file) = &arguments.html {
        return jsonl::write_file(file, page::report(&arguments.runs)?.html()?.as_bytes());
    }
    check_one_recipe(&arguments.runs)?;
    let table = || rounds_table(&arguments.runs, ROWS);
    let text = match arguments.format {
        Format::Text => fitted(&table()?),
        Format::Markdown => table()?.markdown(),
        Format::Csv => table()?.csv(),
        Format::Svg => rounds_plot(&arguments.runs, ROWS)?.svg()?,
    };
    print_line(text.trim_end())
}
