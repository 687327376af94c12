//! JSON Lines on disk: files that are read a row at a time and appear at once, append-only logs that survive a kill, and the sums by which
//! damage is seen.

mod beside;
mod digest;
mod entries;
mod index;
mod log;
mod read;
mod sums;
mod write;

pub use beside::{is_log, log_beside};
pub use entries::EntryLog;
pub use index::Indexed;
pub use log::{Log, identity};
pub use read::{Rows, groups, read, read_checked, read_numbered};
pub use sums::{
    check as check_sums, cover as cover_sums, tidy as tidy_sums, verify as verify_sums,
};
pub use write::{Writer, remove, to_rows, write, write_file};

use serde_json::Value;

/// A text, or a number as it is written; `None` of null.
///
/// # Errors
/// The fault of a value of another kind.
pub fn text_or_number(value: &Value) -> Result<Option<String>, &'static str> {
    match value {
        Value::String(text) => Ok(Some(text.clone())),
        Value::Number(number) => Ok(Some(number.to_string())),
        Value::Null => Ok(None),
        _ => Err("is neither a text nor a number"),
    }
}
