//! Rows of CSV files (RFC 4180): the first line names the fields, and every value is a text.

use std::path::Path;

use anyhow::{Result, anyhow, bail};
use csv::{Position, ReaderBuilder, StringRecord};
use serde_json::Value;

use super::row::{Place, Row};

/// Every row; one with more or fewer values than there are names is bad.
pub(super) fn rows(path: &Path, text: &str) -> Result<Vec<Row>> {
    // Those around a value and those doubled in it come in pairs; without one the rest of the file would be one value.
    if text.matches('"').count() % 2 == 1 {
        bail!("{}: a quoted value is not closed, or a quote in it is not doubled", path.display());
    }
    let mut reader = ReaderBuilder::new().flexible(true).from_reader(text.as_bytes());
    let in_file = |error: csv::Error| anyhow!("{}: {error}", path.display());
    let names = reader.headers().map_err(in_file)?.clone();
    let twice = names
        .iter()
        .enumerate()
        .find(|(at, name)| names.iter().take(*at).any(|other| other == *name));
    if let Some((_, name)) = twice {
        bail!("{}:1: the field {name:?} is named twice", path.display());
    }
    let (mut counted, mut line) = (0, 1);
    let row = |record: Result<StringRecord, csv::Error>| {
        let record = record.map_err(in_file)?;
        // The reader counts a line when it has read on behind its end.
        let byte = record.position().map_or(0, Position::byte) as usize;
        let start = text.len() - text[byte..].trim_start_matches(['\r', '\n']).len();
        line += text[counted..start].matches('\n').count();
        counted = start;
        let fields = if record.len() == names.len() {
            let values = record.iter().map(Value::from);
            Ok(names.iter().map(str::to_owned).zip(values).collect())
        } else {
            Err(format!("the row has {} values for {} fields", record.len(), names.len()))
        };
        Ok(Row { place: Place::line(path, line), fields })
    };
    reader.into_records().map(row).collect()
}
