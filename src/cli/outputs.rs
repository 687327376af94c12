//! Where a command writes.

use std::path::Path;

use anyhow::{Result, anyhow};

use super::arguments::UsageError;
use espalier::place::in_full;

/// A file or folder by the argument that names it.
pub type Named<'a> = (&'a str, Option<&'a Path>);

/// Refuses to write where an input is read from, or where something else is written: what is there would be lost.
pub fn refuse_overwriting(outputs: &[Named<'_>], inputs: &[Named<'_>]) -> Result<()> {
    for (index, (output, written)) in outputs.iter().enumerate() {
        let Some(written) = written else { continue };
        for (other, path) in outputs[..index].iter().chain(inputs) {
            if path.is_some_and(|path| same_file(path, written)) {
                let path = written.display();
                let error = anyhow!(
                    "{output}: {path} is {other} as well, and would be lost; name another path"
                );
                return Err(UsageError(error).into());
            }
        }
    }
    Ok(())
}

/// Whether two paths lead to one place.
pub fn same_file(one: &Path, other: &Path) -> bool {
    in_full(one) == in_full(other)
}
