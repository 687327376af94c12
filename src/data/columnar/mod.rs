//! Rows of files with typed columns.

mod arrow;
mod cell;
mod claims;
mod parquet;

use std::path::Path;

use anyhow::{Result, bail};
use espalier_quiet::quietly;

use super::container::Columns;
use super::row::Row;

/// The most bytes that the columns of a file of this length may have once they are decompressed: no table of texts gives more.
fn most_bytes(length: usize) -> u64 {
    (16 << 20) + 1000 * length as u64
}

/// The most values of a column: equal ones take next to nothing.
fn most_values(length: usize) -> u64 {
    1000 + 64 * length as u64
}

/// The most rows: problems differ, so that each takes a byte.
fn most_rows(length: usize) -> usize {
    1000 + length
}

/// Every row of a file that holds these bytes.
pub(super) fn rows(path: &Path, columns: Columns, bytes: Vec<u8>) -> Result<Vec<Row>> {
    let read = || match columns {
        Columns::Parquet => parquet::read(path, bytes),
        Columns::ArrowFile => arrow::read_file(path, &bytes),
        Columns::ArrowStream => arrow::read_stream(path, &bytes),
    };
    // The readers answer most damage with an error, but not all of it.
    match quietly(read) {
        Some(rows) => rows,
        None => bail!("{}: the {} file is damaged", path.display(), columns.name()),
    }
}
