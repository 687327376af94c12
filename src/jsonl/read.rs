//! Rows of a file, one at a time.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::iter::Peekable;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use anyhow::{Context, Error, Result, anyhow};
use serde::de::DeserializeOwned;

/// Bytes that are read at once.
const BUFFER: usize = 1 << 16;

/// The rows of a file with the numbers of their lines, which count from 1; blank lines are passed over. A row that cannot be
/// read comes as an error with file and line.
#[derive(Debug)]
pub struct Rows<T> {
    path: PathBuf,
    reader: BufReader<File>,
    line: usize,
    /// Where the last line began, and where the next one begins, in bytes.
    place: [u64; 2],
    bytes: Vec<u8>,
    row: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> Rows<T> {
    /// Opens a file.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok(Self {
            path: path.to_owned(),
            reader: BufReader::with_capacity(BUFFER, file),
            line: 0,
            place: [0; 2],
            bytes: Vec::new(),
            row: PhantomData,
        })
    }

    /// The rows without their lines.
    pub fn rows(self) -> impl Iterator<Item = Result<T>> {
        self.map(|row| row.map(|(_, row)| row))
    }

    /// Where the row that was read last begins, in bytes.
    pub(super) fn offset(&self) -> u64 {
        self.place[0]
    }

    /// The row that was read last, as it stands in the file.
    pub(super) fn text(&self) -> &[u8] {
        &self.bytes
    }

    /// Names a line of the file.
    pub(super) fn at(&self, line: usize) -> String {
        format!("{}:{line}", self.path.display())
    }

    fn parse(&self) -> Result<T> {
        serde_json::from_slice(&self.bytes)
            .map_err(|error| anyhow!("{}: {error}", self.at(self.line)))
    }
}

impl<T: DeserializeOwned> Iterator for Rows<T> {
    type Item = Result<(usize, T)>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            self.bytes.clear();
            let read = match self.reader.read_until(b'\n', &mut self.bytes) {
                Ok(0) => return None,
                Ok(read) => read,
                Err(error) => {
                    let path = self.path.display();
                    return Some(Err(Error::new(error).context(format!("cannot read {path}"))));
                }
            };
            self.line += 1;
            self.place = [self.place[1], self.place[1] + read as u64];
            if !self.bytes.iter().all(u8::is_ascii_whitespace) {
                return Some(self.parse().map(|row| (self.line, row)));
            }
        }
    }
}

/// Runs of rows that stand one after the other and have the same key.
pub fn groups<T>(
    rows: impl Iterator<Item = Result<T>>,
    same: impl Fn(&T, &T) -> bool,
) -> impl Iterator<Item = Result<Vec<T>>> {
    let mut rows: Peekable<_> = rows.peekable();
    std::iter::from_fn(move || {
        let mut group = match rows.next()? {
            Ok(first) => vec![first],
            Err(error) => return Some(Err(error)),
        };
        while let Some(Ok(row)) =
            rows.next_if(|next| next.as_ref().is_ok_and(|next| same(&group[0], next)))
        {
            group.push(row);
        }
        Some(Ok(group))
    })
}

/// Reads every row.
///
/// # Errors
/// With file and line of the first row that cannot be read; blank lines are passed over.
pub fn read<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>> {
    Rows::open(path)?.rows().collect()
}

/// Reads every row and checks beyond its form.
///
/// # Errors
/// With file and line of the first row that cannot be read or in which `check` finds a fault; blank lines are passed over.
pub fn read_checked<T: DeserializeOwned>(
    path: &Path,
    check: impl Fn(&T) -> Result<(), String>,
) -> Result<Vec<T>> {
    let mut rows = Rows::open(path)?;
    let mut all = Vec::new();
    while let Some(row) = rows.next() {
        let (line, row) = row?;
        check(&row).map_err(|fault| anyhow!("{}: {fault}", rows.at(line)))?;
        all.push(row);
    }
    Ok(all)
}

/// Reads every row with the number of its line.
///
/// # Errors
/// With file and line of the first row that cannot be read; blank lines are passed over.
pub fn read_numbered<T: DeserializeOwned>(path: &Path) -> Result<Vec<(usize, T)>> {
    Rows::open(path)?.collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_bad_row_is_named_by_file_and_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.jsonl");
        fs::write(&path, "1\n\nx\n").unwrap();
        let error = read::<u32>(&path).unwrap_err().to_string();
        assert!(error.contains("rows.jsonl:3:"), "{error}");
        fs::write(&path, "1\n\n2\n").unwrap();
        let odd = |row: &u32| (row % 2 == 1).then_some(()).ok_or(format!("{row} is even"));
        let error = read_checked(&path, odd).unwrap_err().to_string();
        assert!(error.ends_with("rows.jsonl:3: 2 is even"), "{error}");
    }

    #[test]
    fn rows_of_one_key_come_together() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.jsonl");
        fs::write(&path, "10\n11\n\n20\n12\nx\n30\n").unwrap();
        let rows = Rows::<u32>::open(&path).unwrap().rows();
        let mut groups = groups(rows, |a, b| a / 10 == b / 10);
        let mut next = || groups.next().map(|group| group.map_err(|error| error.to_string()));
        assert_eq!(next(), Some(Ok(vec![10, 11])));
        assert_eq!(next(), Some(Ok(vec![20])));
        assert_eq!(next(), Some(Ok(vec![12])));
        let error = next().unwrap().unwrap_err();
        assert!(error.contains("rows.jsonl:6: expected value"), "{error}");
        assert_eq!(next(), Some(Ok(vec![30])));
        assert_eq!(next(), None);
    }
}
