//! Files that lie beside a file while it is being made.

use std::path::{Path, PathBuf};

const LOG: &str = "log";
const PARTIAL: &str = "partial";

/// The log that lies beside a file until the file is complete.
#[must_use]
pub fn log_beside(path: &Path) -> PathBuf {
    path.with_extension(format!("jsonl.{LOG}"))
}

/// Whether a file is a log by its name.
#[must_use]
pub fn is_log(path: &Path) -> bool {
    ends_with(path, LOG)
}

/// The file itself until it is whole.
pub(super) fn partial_beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{PARTIAL}"));
    path.with_file_name(name)
}

/// Whether a file is one that is not whole, by its name.
pub(super) fn is_partial(path: &Path) -> bool {
    ends_with(path, PARTIAL)
}

fn ends_with(path: &Path, ending: &str) -> bool {
    path.extension().is_some_and(|found| found == ending)
}
