//! Rows out of files, however they are written.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use serde_json::Value;

#[cfg(feature = "parquet")]
use super::columnar;
use super::csv;
use super::row::{Place, Row, object};
use super::shown;

/// A form of files with typed columns.
#[derive(Debug, Clone, Copy)]
pub(super) enum Columns {
    /// Parquet.
    Parquet,
    /// Arrow's IPC file, or Feather.
    ArrowFile,
    /// Arrow's IPC stream.
    ArrowStream,
}

impl Columns {
    /// Told from a file's first bytes.
    fn of(bytes: &[u8]) -> Option<Self> {
        let forms: [(&[u8], Self); 3] = [
            (b"PAR1", Self::Parquet),
            (b"ARROW1", Self::ArrowFile),
            // What stands before every message's length.
            (&[0xff; 4], Self::ArrowStream),
        ];
        forms.into_iter().find(|(first, _)| bytes.starts_with(first)).map(|(_, form)| form)
    }

    /// Its name in messages.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Parquet => "Parquet",
            Self::ArrowFile | Self::ArrowStream => "Arrow",
        }
    }
}

/// Every row of a file. Its first bytes tell Parquet and Arrow, its name tells CSV, a bracket tells a JSON array, and the place where
/// the first object ends tells one object from lines of objects.
pub(super) fn rows(path: &Path) -> Result<Vec<Row>> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let rows = match Columns::of(&bytes) {
        #[cfg(feature = "parquet")]
        Some(columns) => columnar::rows(path, columns, bytes)?,
        #[cfg(not(feature = "parquet"))]
        Some(columns) => bail!(
            "{}: it is {}, which needs a program that was built with the feature `parquet`",
            path.display(),
            columns.name()
        ),
        None => text_rows(path, bytes)?,
    };
    if rows.is_empty() {
        bail!("{} holds no rows", path.display());
    }
    Ok(rows)
}

fn text_rows(path: &Path, bytes: Vec<u8>) -> Result<Vec<Row>> {
    let text = String::from_utf8(bytes).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = 1 + valid.iter().filter(|byte| **byte == b'\n').count();
        anyhow!("{}:{line}: neither UTF-8 text nor Parquet nor Arrow", path.display())
    })?;
    let text = text.trim_start_matches('\u{feff}');
    let is_csv = path.extension().is_some_and(|end| end.eq_ignore_ascii_case("csv"));
    if is_csv {
        return csv::rows(path, text);
    }
    Ok(if text.trim_start().starts_with('[') {
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
    })
}

fn numbered(path: &Path, values: Vec<Value>) -> Vec<Row> {
    let row = |(index, value)| Row { place: Place::row(path, index + 1), fields: object(value) };
    values.into_iter().enumerate().map(row).collect()
}

fn lines(path: &Path, text: &str) -> Vec<Row> {
    let written = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let row = |(index, line)| {
        let value =
            serde_json::from_str(line).map_err(|error| format!("{error}: {}", shown::text(line)));
        Row { place: Place::line(path, index + 1), fields: value.and_then(object) }
    };
    written.map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<String>> {
        read_named("rows", text)
    }

    fn read_named(name: &str, text: &str) -> Result<Vec<String>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
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
        assert!(damaged[1].ends_with(": {\"a\""), "{damaged:?}");
        assert_eq!(damaged[2], "rows:3 the row is no object with fields: 7");
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

    #[test]
    fn csv_is_read_by_its_names() {
        let read = |text| read_named("rows.CSV", text);
        let quoted = "\u{feff}b,a\r\n1,\"x, \"\"y\"\"\nz\"\r\n2,\r\n\r\n3,{}\r\n";
        let values = [r#"rows.CSV:2 "x, \"y\"\nz""#, r#"rows.CSV:4 """#, r#"rows.CSV:6 "{}""#];
        assert_eq!(read(quoted).unwrap(), values);
        assert_eq!(read("a\n7").unwrap(), [r#"rows.CSV:2 "7""#]);
        let uneven = read("a,b\n1,2\n3\n").unwrap();
        assert_eq!(uneven[1], "rows.CSV:3 the row has 1 values for 2 fields");
        for (text, part) in [
            ("", "holds no rows"),
            ("a,b\n", "holds no rows"),
            ("a,b,a\n1,2,3\n", "rows.CSV:1: the field \"a\" is named twice"),
            ("a,b\n\"1,2\n3,4\n", "is not closed"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(part), "{text:?}: {error}");
        }
    }
}
