use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{Args, Command};

use espalier::jsonl;

/// Write the manual: one page a command, as `man` reads them.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  espalier manual --out ~/.local/share/man/man1 && man espalier-run"
)]
pub struct Arguments {
    /// The folder to write to.
    #[arg(short, long, value_name = "DIR")]
    out: PathBuf,
}

pub fn main(arguments: &Arguments, mut program: Command) -> Result<()> {
    program.build();
    write(&program, "espalier", arguments)
}

/// The page of a command, then those of its subcommands.
fn write(command: &Command, name: &str, arguments: &Arguments) -> Result<()> {
    let mut page = Vec::new();
    // `Man` keeps the name for as long as the program runs.
    let named = command.clone().name(name.to_owned());
    clap_mangen::Man::new(named)
        .render(&mut page)
        .with_context(|| format!("the page of {name}"))?;
    jsonl::write_file(&arguments.out.join(format!("{name}.1")), &page)?;
    let subcommands = command.get_subcommands().filter(|below| !below.is_hide_set());
    for below in subcommands.filter(|below| below.get_name() != "help") {
        write(below, &format!("{name}-{}", below.get_name()), arguments)?;
    }
    Ok(())
}
