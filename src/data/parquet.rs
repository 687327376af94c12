//! Rows of Parquet files, through the record reader: Arrow's arrays would be many times the code for tables of texts.

use std::cell::Cell;
use std::fs::File;
use std::panic::{self, UnwindSafe};
use std::path::Path;
use std::sync::Once;

use anyhow::{Context, Result, anyhow, bail};
use parquet::file::reader::SerializedFileReader;

use super::row::{Place, Row, object};

/// Every row. A damaged page ends the file: where the next row begins is not known.
pub(super) fn rows(path: &Path) -> Result<Vec<Row>> {
    // The reader answers most damage with an error, but not all of it.
    match quietly(|| read(path)) {
        Some(rows) => rows,
        None => bail!("{}: the Parquet file is damaged", path.display()),
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

fn read(path: &Path) -> Result<Vec<Row>> {
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let reader = SerializedFileReader::new(file)
        .with_context(|| format!("{}: cannot read it as Parquet", path.display()))?;
    let mut rows = Vec::new();
    for (index, row) in reader.into_iter().enumerate() {
        let place = Place::row(path, index + 1);
        let row = row.map_err(|error| anyhow!("{place}: {error}"))?;
        rows.push(Row { fields: object(row.to_json_value()), place });
    }
    if rows.is_empty() {
        bail!("{} holds no rows", path.display());
    }
    Ok(rows)
}
