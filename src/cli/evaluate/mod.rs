//! `espalier evaluate`: the measures of a policy, and of the value net as a verifier of files.

mod measures;
mod process;
mod verifier;
mod votes;

use anyhow::Result;
use clap::{Args, Subcommand};

use measures::MeasureArguments;

/// Measure a policy on held-out problems, with 95 % intervals: the share of right answers by decoding and every other measure that a
/// round takes.
///
/// Decodings: `greedy`; `maj@K` (majority of K samples); `bon@K` (the best of K by value); `sbs:B1xB2` (step-level beam search with
/// B1 beams and B2 samples each); `dvts:NxM` (N independent subtrees, each of which keeps the best of M steps by value); `mcts:N` (a
/// tree of N simulations). No decoding sees the ground truth.
///
/// `process` and `votes` measure the value net on solutions that are already written.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "Example:\n  espalier evaluate --checkpoint runs/countdown-s1/rounds/3/checkpoint \
    --problems problems.jsonl --decoding greedy,maj@5,sbs:3x5,mcts:40 --seeds 3 --json"
)]
pub struct Arguments {
    #[command(subcommand)]
    kind: Option<Kind>,
    #[command(flatten)]
    measures: MeasureArguments,
}

#[derive(Debug, Subcommand)]
enum Kind {
    Process(process::Arguments),
    Votes(votes::Arguments),
}

pub fn main(arguments: &Arguments) -> Result<()> {
    match &arguments.kind {
        Some(Kind::Process(arguments)) => process::main(arguments),
        Some(Kind::Votes(arguments)) => votes::main(arguments),
        None => measures::main(&arguments.measures),
    }
}
