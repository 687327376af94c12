//! A row and its place in a file.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use super::shown;

/// A row of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    file: PathBuf,
    number: usize,
    /// Rows of JSON Lines and CSV are found by their line.
    is_line: bool,
}

impl Place {
    pub(super) fn line(file: &Path, number: usize) -> Self {
        Self { file: file.to_owned(), number, is_line: true }
    }

    pub(super) fn row(file: &Path, number: usize) -> Self {
        Self { file: file.to_owned(), number, is_line: false }
    }

    /// The line of JSON Lines and CSV, the row of other files; the first is 1.
    #[must_use]
    pub fn number(&self) -> usize {
        self.number
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let between = if self.is_line { ":" } else { ": row " };
        write!(f, "{}{between}{}", self.file.display(), self.number)
    }
}

impl Serialize for Place {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A row, or why it cannot be read.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) place: Place,
    pub(super) fields: Result<Map<String, Value>, String>,
}

/// The fields of a row.
pub(super) fn object(value: Value) -> Result<Map<String, Value>, String> {
    match value {
        Value::Object(fields) => Ok(fields),
        other => Err(format!("the row is no object with fields: {}", shown::value(&other))),
    }
}
