//! Rows of files with typed columns.

mod arrow;
mod cell;
mod parquet;

use std::cell::Cell;
use std::panic::{self, UnwindSafe};
use std::path::Path;
use std::sync::Once;

use anyhow::{Result, bail};

use super::container::Columns;
use super::row::Row;

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

/// The result of the work; `None` where it panics, without printing the panic.
fn quietly<T>(work: impl FnOnce() -> T + UnwindSafe) -> Option<T> {
    thread_local! {
        static QUIET: Cell<bool> = const { Cell::new(false) };
    }
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            if !QUIET.get() {
                before(panic);
            }
        }));
    });
    QUIET.set(true);
    let result = panic::catch_unwind(work);
    QUIET.set(false);
    result.ok()
}
