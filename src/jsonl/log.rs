//! Append-only logs that survive a kill.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use anyhow::{Context, Result, anyhow, ensure};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::remove;
use crate::usage::UsageError;

const LOG_SCHEMA: &str = "espalier.log/2";

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
    let mut digest = Hashed(Sha256::new());
    serde_json::to_writer(&mut digest, parts)?;
    Ok(hex(&digest.0.finalize()))
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Hashes what is written to it.
struct Hashed(Sha256);

impl Write for Hashed {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The log that lies beside a file until the file is complete.
#[must_use]
pub fn log_beside(path: &Path) -> PathBuf {
    path.with_extension("jsonl.log")
}

/// An append-only log. What was appended before a kill is there afterwards; a line that the kill cut short is dropped when
/// the log is opened again. It belongs to one identity, so that results of other settings never mix.
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
    /// When it cannot be opened, a whole line in it cannot be read, or it belongs to another identity.
    pub fn open(path: &Path, identity: &str) -> Result<(Self, Vec<T>)> {
        let attempt = || -> std::io::Result<(File, Vec<u8>)> {
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
            let whole = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |last| last + 1);
            bytes.truncate(whole);
            file.set_len(whole as u64)?;
            file.seek(SeekFrom::End(0))?;
            Ok((file, bytes))
        };
        let (file, bytes) = attempt().with_context(|| format!("cannot open {}", path.display()))?;
        let text = String::from_utf8(bytes)
            .with_context(|| format!("{} is not UTF-8 text", path.display()))?;
        let log = Self { path: path.to_owned(), file: Mutex::new(file), rows: PhantomData };
        let header = Header::new(identity);
        let mut lines = text.lines();
        let Some(first) = lines.next() else {
            log.write(&[serde_json::to_vec(&header)?, vec![b'\n']].concat())?;
            return Ok((log, Vec::new()));
        };
        header.check(first.as_bytes(), path)?;
        let rows = lines.zip(2..).map(|(line, number)| {
            serde_json::from_str(line)
                .map_err(|error| anyhow!("{}:{number}: {error}", path.display()))
        });
        Ok((log, rows.collect::<Result<_>>()?))
    }

    /// Appends rows with one write.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn append<'a>(&self, rows: impl IntoIterator<Item = &'a T>) -> Result<()>
    where
        T: 'a,
    {
        let mut bytes = Vec::new();
        for row in rows {
            serde_json::to_writer(&mut bytes, row)?;
            bytes.push(b'\n');
        }
        self.write(&bytes)
    }

    /// Deletes the log, whose rows are now elsewhere.
    ///
    /// # Errors
    /// When it cannot be deleted.
    pub fn remove(self) -> Result<()> {
        remove(&self.path)
    }

    fn write(&self, bytes: &[u8]) -> Result<()> {
        // A poisoned lock means that another thread's append panicked between lines; the file is still a log.
        let mut file = self.file.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        file.write_all(bytes).with_context(|| format!("cannot append to {}", self.path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_last_line_is_dropped_and_the_log_goes_on() {
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
