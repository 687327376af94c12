//! Rows out of files, however they are written.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use serde_json::Value;

#[cfg(feature = "parquet")]
use super::parquet;
use super::row::{Place, Row, object};

/// The first bytes of a Parquet file.
const PARQUET: &[u8] = b"PAR1";

/// Every row of a file. Its first bytes tell Parquet, a bracket tells a JSON array, and the place where the first object ends tells one
/// object from lines of objects.
pub(super) fn rows(path: &Path) -> Result<Vec<Row>> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    if bytes.starts_with(PARQUET) {
        #[cfg(feature = "parquet")]
        return parquet::rows(path);
        #[cfg(not(feature = "parquet"))]
        bail!(
            "{}: it is Parquet, which needs a program that was built with the feature `parquet`",
            path.display()
        );
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = 1 + valid.iter().filter(|byte| **byte == b'\n').count();
        anyhow!("{}:{line}: neither UTF-8 text nor Parquet", path.display())
    })?;
    let text = text.trim_start_matches('\u{feff}');
    let rows = if text.trim_start().starts_with('[') {
        let values: Vec<Value> = serde_json::from_str(text)
            .map_err(|error| anyhow!("{}:{}: {error}", path.display(), error.line()))?;
        numbered(path, values)
    } else {
        // An object on a line of its own is JSON Lines already.
        let whole = text.trim().contains('\n').then(|| serde_json::from_str(text).ok());
        match whole.flatten() {
            Some(object @ Value::Object(_)) => numbered(path, vec![object]),
            _ => lines(path, text),
        }
    };
    if rows.is_empty() {
        bail!("{} holds no rows", path.display());
    }
    Ok(rows)
}

fn numbered(path: &Path, values: Vec<Value>) -> Vec<Row> {
    let row = |(index, value)| Row { place: Place::row(path, index + 1), fields: object(value) };
    values.into_iter().enumerate().map(row).collect()
}

fn lines(path: &Path, text: &str) -> Vec<Row> {
    let written = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let row = |(index, line)| {
        let value = serde_json::from_str(line).map_err(|error| error.to_string());
        Row { place: Place::line(path, index + 1), fields: value.and_then(object) }
    };
    written.map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<String>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows");
        fs::write(&path, text).unwrap();
        let name = format!("{}/", folder.path().display());
        let shown = |row: Row| {
            let content = match row.fields {
                Ok(fields) => fields["a"].to_string(),
                Err(cause) => cause,
            };
            format!("{} {content}", row.place.to_string().replace(&name, ""))
        };
        Ok(rows(&path)?.into_iter().map(shown).collect())
    }

    #[test]
    fn lines_arrays_and_single_objects_are_told_apart() {
        assert_eq!(read("{\"a\": 1}\n\n{\"a\": 2}\n").unwrap(), ["rows:1 1", "rows:3 2"]);
        assert_eq!(
            read("\u{feff}[{\"a\": 1},\n {\"a\": 2}]").unwrap(),
            ["rows: row 1 1", "rows: row 2 2"]
        );
        assert_eq!(read("{\n  \"a\": 1\n}\n").unwrap(), ["rows: row 1 1"]);
        assert_eq!(read("{\"a\": 1}\n").unwrap(), ["rows:1 1"]);
        let damaged = read("{\"a\": 1}\n{\"a\"\n7\n").unwrap();
        assert_eq!(damaged[0], "rows:1 1");
        assert!(damaged[1].starts_with("rows:2 EOF"), "{damaged:?}");
        assert_eq!(damaged[2], "rows:3 the row is no object with fields");
    }

    #[test]
    fn what_is_no_table_is_refused_with_its_line() {
        for (text, part) in
            [("", "holds no rows"), (" \n", "holds no rows"), ("[{\"a\": 1},\n", "rows:2: EOF")]
        {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(part), "{text:?}: {error}");
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows");
        fs::write(&path, b"{}\n\xff\xfe").unwrap();
        assert!(rows(&path).unwrap_err().to_string().contains("rows:2: neither UTF-8"));
    }
}
