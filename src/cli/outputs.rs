//! Where a command writes.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow};

use super::arguments::UsageError;

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
    place(one) == place(other)
}

/// The path in full. Of one that is not there yet the folder is followed as far as it is there.
fn place(path: &Path) -> PathBuf {
    let whole = fs::canonicalize(path).ok();
    let in_folder = || {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        Some(fs::canonicalize(folder.unwrap_or(Path::new("."))).ok()?.join(path.file_name()?))
    };
    whole.or_else(in_folder).unwrap_or_else(|| path.to_owned())
}
