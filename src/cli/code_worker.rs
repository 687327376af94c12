use anyhow::Result;
use clap::{Args, Subcommand};

use espalier::execution::worker;

/// A process that runs foreign code, as `espalier` starts it.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(subcommand)]
    kind: Kind,
}

#[derive(Debug, Subcommand)]
enum Kind {
    /// Answer steps with the embedded interpreter.
    Embedded {
        #[arg(long)]
        memory_megabytes: u64,
    },
    /// Enter the sandbox described in JSON and run its command.
    Sandbox { description: String },
}

pub fn main(arguments: &Arguments) -> Result<()> {
    match &arguments.kind {
        Kind::Embedded { memory_megabytes } => worker::embedded(*memory_megabytes),
        Kind::Sandbox { description } => worker::sandbox(description),
    }
}
