use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use super::arguments::print_line;
use espalier::upgrade::upgrade;

/// Convert files of an earlier version: trees, labels, or a whole run directory.
///
/// Files are rewritten in place, each whole or not at all. A run directory's recipe gets the new names of its keys; stages that were
/// cut short begin again. A form that is newer than this version is refused.
#[derive(Debug, Args)]
pub struct Arguments {
    /// A trees or labels file, or a run directory.
    path: PathBuf,
}

pub fn main(arguments: &Arguments) -> Result<()> {
    let done = upgrade(&arguments.path)?;
    if done.is_empty() {
        return print_line(&format!("{} is of the newest form", arguments.path.display()));
    }
    done.iter().try_for_each(|line| print_line(line))
}
