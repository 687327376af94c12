//! Values on their way to a file: what was read before a kill need not be read again.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Result, ensure};
use serde::Serialize;

use crate::jsonl::{self, Log};

/// Values of a group of contexts; none for one that is longer than the net reads.
pub(super) type Group = Vec<Option<f64>>;

/// A file that a command writes at its end, and beside it (`*.log`) the values that it has read so far.
pub struct Kept<'a> {
    out: &'a Path,
    net: &'a str,
}

impl<'a> Kept<'a> {
    /// `net` is the fingerprint of what gives the values.
    #[must_use]
    pub fn new(out: &'a Path, net: &'a str) -> Self {
        Self { out, net }
    }

    fn log_path(&self) -> PathBuf {
        jsonl::log_beside(self.out)
    }

    /// The log, and the values of the first groups.
    pub(super) fn open(&self, groups: &[Vec<Arc<str>>]) -> Result<(Log<Group>, Vec<Group>)> {
        let texts: Vec<Vec<&str>> =
            groups.iter().map(|group| group.iter().map(AsRef::as_ref).collect()).collect();
        let path = self.log_path();
        let (log, read) = Log::open(&path, &jsonl::identity(&(texts, self.net))?)?;
        let fits = |(read, group): (&Group, &Vec<_>)| read.len() == group.len();
        ensure!(
            read.len() <= groups.len() && read.iter().zip(groups).all(fits),
            "{} does not fit its own solutions; remove it",
            path.display()
        );
        Ok((log, read))
    }

    /// Writes the file, and removes the values beside it.
    ///
    /// # Errors
    /// When one of them cannot be done.
    pub fn write<T: Serialize>(&self, rows: impl IntoIterator<Item = T>) -> Result<()> {
        jsonl::write(self.out, rows)?;
        jsonl::remove(&self.log_path())
    }
}
