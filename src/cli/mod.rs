//! The command line: one file a subcommand. Data goes to standard output, logs and progress to standard error.
#![forbid(unsafe_code)]

mod ablate;
mod arguments;
mod bench;
mod code_worker;
mod compare;
mod completions;
mod data;
#[cfg(test)]
mod documents;
mod evaluate;
mod execute;
mod export;
mod generate;
mod grade;
mod harvest;
mod import;
mod inspect;
mod log;
mod manual;
mod outputs;
mod pretrain;
mod push;
mod quality;
mod recipe;
mod report;
mod run;
mod score;
mod search;
mod solve;
#[cfg(feature = "otel")]
mod traces;
mod train;
mod tune;
mod upgrade;
mod watch;

use std::process::ExitCode;

use anyhow::Result;
use clap::{CommandFactory, Parser, Subcommand};

use arguments::UsageError;
use espalier::interrupt::{self, Interrupted};
use espalier::usage::told;

/// Teach a model to reason by searching.
///
/// `espalier run` does the whole loop: round 0 trains a policy on random legal steps; every later round grows search trees on
/// training problems, harvests each step's Q-value as its label, trains policy and value net on the labels, and measures the net
/// on held-out problems. The other commands do one stage each and read and write the same files.
///
/// Exit status: 0 done, 2 wrong usage or recipe, 3 failed while running, 130 and 143 stopped by SIGINT and SIGTERM.
#[derive(Debug, Parser)]
#[command(name = "espalier", version, max_term_width = 110)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Log more (-v) or everything (-vv).
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
    /// Log warnings alone.
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Arguments),
    Recipe(recipe::Arguments),
    Generate(generate::Arguments),
    Data(data::Arguments),
    Pretrain(pretrain::Arguments),
    Search(search::Arguments),
    Harvest(harvest::Arguments),
    Quality(quality::Arguments),
    Train(train::Arguments),
    Evaluate(Box<evaluate::Arguments>),
    Solve(solve::Arguments),
    Score(score::Arguments),
    Report(report::Arguments),
    Compare(compare::Arguments),
    Ablate(ablate::Arguments),
    Bench(bench::Arguments),
    Tune(tune::Arguments),
    Watch(watch::Arguments),
    Inspect(inspect::Arguments),
    Import(import::Arguments),
    Export(export::Arguments),
    Push(push::Arguments),
    Execute(execute::Arguments),
    #[command(hide = true)]
    CodeWorker(code_worker::Arguments),
    Grade(grade::Arguments),
    Upgrade(upgrade::Arguments),
    Completions(completions::Arguments),
    Manual(manual::Arguments),
}

/// Parses the command line and does what it says.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let level = match (cli.quiet, cli.verbose) {
        (true, _) => "warn",
        (false, 0) => "info",
        (false, 1) => "debug",
        (false, _) => "trace",
    };
    // Workers are part of a program that tells its own spans.
    let is_worker = matches!(cli.command, Command::CodeWorker(_));
    log::begin(level, !is_worker);
    // Workers end with the pipes of the program that started them.
    if !is_worker && let Err(error) = interrupt::watch() {
        tracing::warn!("SIGINT and SIGTERM end the program at once: {error}");
    }
    let result = dispatch(cli.command);
    #[cfg(feature = "otel")]
    traces::end();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("espalier: {}", told(&error));
            ExitCode::from(status(&error))
        }
    }
}

fn status(error: &anyhow::Error) -> u8 {
    match error.downcast_ref::<Interrupted>() {
        Some(interrupted) => interrupted.status(),
        None if error.is::<UsageError>() => 2,
        None => 3,
    }
}

fn dispatch(command: Command) -> Result<()> {
    match command {
        Command::Run(arguments) => run::main(&arguments),
        Command::Recipe(arguments) => recipe::main(&arguments),
        Command::Generate(arguments) => generate::main(&arguments),
        Command::Data(arguments) => data::main(&arguments),
        Command::Pretrain(arguments) => pretrain::main(&arguments),
        Command::Search(arguments) => search::main(&arguments),
        Command::Harvest(arguments) => harvest::main(&arguments),
        Command::Quality(arguments) => quality::main(&arguments),
        Command::Train(arguments) => train::main(&arguments),
        Command::Evaluate(arguments) => evaluate::main(&arguments),
        Command::Solve(arguments) => solve::main(&arguments),
        Command::Score(arguments) => score::main(&arguments),
        Command::Report(arguments) => report::main(&arguments),
        Command::Compare(arguments) => compare::main(&arguments),
        Command::Ablate(arguments) => ablate::main(&arguments),
        Command::Bench(arguments) => bench::main(&arguments),
        Command::Tune(arguments) => tune::main(&arguments),
        Command::Watch(arguments) => watch::main(&arguments),
        Command::Inspect(arguments) => inspect::main(&arguments),
        Command::Import(arguments) => import::main(&arguments),
        Command::Export(arguments) => export::main(&arguments),
        Command::Push(arguments) => push::main(&arguments),
        Command::Execute(arguments) => execute::main(&arguments),
        Command::CodeWorker(arguments) => code_worker::main(&arguments),
        Command::Grade(arguments) => grade::main(&arguments),
        Command::Upgrade(arguments) => upgrade::main(&arguments),
        Command::Completions(arguments) => completions::main(&arguments, Cli::command()),
        Command::Manual(arguments) => manual::main(&arguments, Cli::command()),
    }
}

/// `espalier ... | head` is no failure.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<std::io::Error>()
        .is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
