use anyhow::Result;
use clap::{Args, Command};
use clap_complete::Shell;

use super::arguments::print_line;

/// Print a shell's completions of commands and options.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  espalier completions bash > ~/.local/share/bash-completion/completions/espalier"
)]
pub struct Arguments {
    /// The shell.
    shell: Shell,
}

pub fn main(arguments: &Arguments, mut program: Command) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut program, "espalier", &mut script);
    print_line(String::from_utf8(script)?.trim_end())
}
