//! Append-only logs that survive a kill, a full disk and damage: each row stands behind a sum of its own.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use anyhow::{Context, Result, anyhow, ensure};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::digest::{Digesting, hex};
use super::remove;
use super::sums::Place;
use crate::usage::UsageError;

const LOG_SCHEMA: &str = "espalier.log/3";
/// Hexadecimal digits of a row's sum: the first of its SHA-256.
const SUM: usize = 16;

/// The first line of a log.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Header {
    schema: String,
    /// All that the rows depend on besides themselves.
    identity: String,
}

impl Header {
    pub(super) fn new(identity: &str) -> Self {
        Self { schema: LOG_SCHEMA.to_owned(), identity: identity.to_owned() }
    }

    /// Checks the first line of the log at `path`.
    pub(super) fn check(&self, line: &[u8], path: &Path) -> Result<()> {
        let found: Self = serde_json::from_slice(line)
            .map_err(|error| anyhow!("{}:1: not a log: {error}", path.display()))?;
        ensure!(
            found.schema == self.schema,
            "{} is a log of the form {:?}, and this version reads {LOG_SCHEMA:?}: finish it with the version that began it, or remove it",
            path.display(),
            found.schema
        );
        ensure!(
            found == *self,
            UsageError(anyhow!(
                "{} is left from a run with other settings, problems, seed or checkpoint; remove it or choose another file",
                path.display()
            ))
        );
        Ok(())
    }
}

/// Names everything in `parts` by a hash, for [`Log::open`].
///
/// # Errors
/// When it cannot be written as JSON.
pub fn identity(parts: &impl Serialize) -> Result<String> {
    let mut digest = Digesting::new(io::sink());
    serde_json::to_writer(&mut digest, parts)?;
    Ok(digest.hexadecimal())
}

/// The sum of a row.
pub(super) fn sum(digest: Sha256) -> String {
    hex(&digest.finalize()[..SUM / 2])
}

/// The sum that a line begins with, and what it is of.
pub(super) fn split_sum(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let (sum, rest) = line.split_at_checked(SUM)?;
    Some((sum, rest.strip_prefix(b" ")?))
}

/// Says that a part of a log is done again.
pub(super) fn warn_of_damage(path: &Path, byte: u64) {
    tracing::warn!(
        "{}: what stands at byte {byte} was cut short or is damaged; that part is done again",
        path.display()
    );
}

/// Appends bytes, or leaves the file as it was: after a full disk the next row must not stand behind a part of this one.
pub(super) fn append(file: &mut File, bytes: &[u8]) -> io::Result<()> {
    let end = file.stream_position()?;
    let written = file.write_all(bytes);
    if written.is_err() {
        // If this fails, too, the sums tell.
        let _ = file.set_len(end).and_then(|()| file.seek(SeekFrom::Start(end)));
    }
    written
}

/// Deletes a log whose rows are now elsewhere; one of a run's stage stays until the stage's summary is written, without which the stage
/// would be done again ([`crate::run_dir::RunDir::stage`]).
pub(super) fn retire(path: &Path) -> Result<()> {
    if Place::of(path).is_some() { Ok(()) } else { remove(path) }
}

/// An append-only log. What was appended before a kill is there afterwards; from a line on that the kill cut short, or that is damaged,
/// it begins anew when it is opened again. It belongs to one identity, so that results of other settings never mix.
#[derive(Debug)]
pub struct Log<T> {
    path: PathBuf,
    file: Mutex<File>,
    rows: PhantomData<fn(&T)>,
}

impl<T: Serialize + DeserializeOwned> Log<T> {
    /// Opens or creates the log of `identity` and returns what it holds.
    ///
    /// # Errors
    /// When it cannot be opened, a row that was written whole cannot be read, or it belongs to another identity.
    pub fn open(path: &Path, identity: &str) -> Result<(Self, Vec<T>)> {
        let attempt = || -> io::Result<(File, Vec<u8>)> {
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent)?;
            }
            let mut file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(path)?;
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            Ok((file, bytes))
        };
        let cannot = || format!("cannot open {}", path.display());
        let (mut file, bytes) = attempt().with_context(cannot)?;
        let header = Header::new(identity);
        let mut lines = bytes.split_inclusive(|&byte| byte == b'\n');
        let first = lines.next().filter(|line| line.ends_with(b"\n"));
        let (mut rows, mut end) = (Vec::new(), 0);
        if let Some(first) = first {
            header.check(first, path)?;
            end = first.len();
            for (line, number) in lines.zip(2..) {
                let row = line.strip_suffix(b"\n").and_then(split_sum);
                let row = row.filter(|(sum_of, row)| {
                    *sum_of == sum(Sha256::new_with_prefix(row)).as_bytes()
                });
                let Some((_, row)) = row else {
                    warn_of_damage(path, end as u64);
                    break;
                };
                let row = serde_json::from_slice(row);
                rows.push(row.map_err(|error| anyhow!("{}:{number}: {error}", path.display()))?);
                end += line.len();
            }
        }
        file.set_len(end as u64).with_context(cannot)?;
        file.seek(SeekFrom::End(0)).with_context(cannot)?;
        let log = Self { path: path.to_owned(), file: Mutex::new(file), rows: PhantomData };
        if end == 0 {
            log.write(&[serde_json::to_vec(&header)?, vec![b'\n']].concat())?;
        }
        Ok((log, rows))
    }

    /// Appends rows with one write.
    ///
    /// # Errors
    /// When they cannot be written; the log is then as it was.
    pub fn append<'a>(&self, rows: impl IntoIterator<Item = &'a T>) -> Result<()>
    where
        T: 'a,
    {
        let mut bytes = Vec::new();
        for row in rows {
            let row = serde_json::to_vec(row)?;
            bytes.extend_from_slice(sum(Sha256::new_with_prefix(&row)).as_bytes());
            bytes.push(b' ');
            bytes.extend_from_slice(&row);
            bytes.push(b'\n');
        }
        self.write(&bytes)
    }

    /// Deletes the log, whose rows are now elsewhere; one of a run's stage stays until the stage's summary is written.
    ///
    /// # Errors
    /// When it cannot be deleted.
    pub fn retire(self) -> Result<()> {
        retire(&self.path)
    }

    /// Deletes the log, and what it holds with it.
    ///
    /// # Errors
    /// When it cannot be deleted.
    pub fn remove(self) -> Result<()> {
        remove(&self.path)
    }

    fn write(&self, bytes: &[u8]) -> Result<()> {
        // A poisoned lock means that another thread's append panicked between lines; the file is still a log.
        let mut file = self.file.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        append(&mut file, bytes)
            .with_context(|| format!("cannot append to {}", self.path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_or_damaged_line_is_dropped_and_the_log_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.jsonl");
        let (log, rows) = Log::<u32>::open(&path, "a").unwrap();
        assert!(rows.is_empty());
        log.append(&[1, 2]).unwrap();
        let whole = fs::read_to_string(&path).unwrap();
        fs::write(&path, format!("{whole}3")).unwrap();
        let (log, rows) = Log::<u32>::open(&path, "a").unwrap();
        assert_eq!(rows, [1, 2]);
        log.append(&[4, 5]).unwrap();
        assert_eq!(Log::<u32>::open(&path, "a").unwrap().1, [1, 2, 4, 5]);
        // Each bit of the rows is covered, and what stands before the damage is kept.
        let bytes = fs::read(&path).unwrap();
        let rows = bytes.iter().position(|&byte| byte == b'\n').unwrap() + 1;
        for place in rows..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[place] ^= 1;
            fs::write(&path, flipped).unwrap();
            let found = Log::<u32>::open(&path, "a").unwrap().1;
            let line = bytes[rows..place].iter().filter(|&&byte| byte == b'\n').count();
            assert_eq!(found, [1, 2, 4, 5][..line], "byte {place}");
        }
        // Cut within the first line there is nothing to lose.
        fs::write(&path, &whole[..5]).unwrap();
        assert!(Log::<u32>::open(&path, "a").unwrap().1.is_empty());
    }

    #[test]
    fn a_log_of_another_identity_or_kind_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.jsonl");
        Log::<u32>::open(&path, "a").unwrap();
        let error = Log::<u32>::open(&path, "b").unwrap_err().to_string();
        assert!(error.contains("other settings"), "{error}");
        fs::write(&path, "1\n2\n").unwrap();
        let error = Log::<u32>::open(&path, "a").unwrap_err().to_string();
        assert!(error.contains("log.jsonl:1: not a log"), "{error}");
    }
}
