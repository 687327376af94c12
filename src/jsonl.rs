//! JSON Lines on disk: whole files that appear at once, and append-only logs that survive a kill.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use anyhow::{Context, Result, anyhow, ensure};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

const LOG_SCHEMA: &str = "espalier.log/1";

/// Reads every row.
///
/// # Errors
/// With file and line of the first row that cannot be read; blank lines are passed over.
pub fn read<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>> {
    read_checked(path, |_| Ok(()))
}

/// Reads every row and checks what serde cannot see.
///
/// # Errors
/// With file and line of the first row that cannot be read or that `check` finds fault with; blank lines are passed over.
pub fn read_checked<T: DeserializeOwned>(
    path: &Path,
    check: impl Fn(&T) -> Result<(), String>,
) -> Result<Vec<T>> {
    let rows = parse(&text(path)?, path, 1, check)?;
    Ok(rows.into_iter().map(|(_, row)| row).collect())
}

/// Reads every row with the number of its line.
///
/// # Errors
/// With file and line of the first row that cannot be read; blank lines are passed over.
pub fn read_numbered<T: DeserializeOwned>(path: &Path) -> Result<Vec<(usize, T)>> {
    parse(&text(path)?, path, 1, |_| Ok(()))
}

fn text(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

/// Reads and checks rows, the first of which is on line `first_line` of the file; each comes with its line.
fn parse<T: DeserializeOwned>(
    text: &str,
    path: &Path,
    first_line: usize,
    check: impl Fn(&T) -> Result<(), String>,
) -> Result<Vec<(usize, T)>> {
    let mut rows = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        let at = || format!("{}:{}", path.display(), first_line + index);
        let row = serde_json::from_str(line).map_err(|error| anyhow!("{}: {error}", at()))?;
        check(&row).map_err(|fault| anyhow!("{}: {fault}", at()))?;
        rows.push((first_line + index, row));
    }
    Ok(rows)
}

/// Writes all rows as one file that is there whole or not at all.
///
/// # Errors
/// When the file cannot be written.
pub fn write<T: Serialize>(path: &Path, rows: impl IntoIterator<Item = T>) -> Result<()> {
    let mut bytes = Vec::new();
    for row in rows {
        serde_json::to_writer(&mut bytes, &row)?;
        bytes.push(b'\n');
    }
    write_file(path, &bytes)
}

/// Writes a file that is there whole or not at all: a temporary file beside it, synced, then renamed.
///
/// # Errors
/// When the file cannot be written.
pub fn write_file(path: &Path, bytes: &[u8]) -> Result<()> {
    let attempt = || -> std::io::Result<()> {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".partial");
        let partial = path.with_file_name(name);
        let mut file = File::create(&partial)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&partial, path)
    };
    attempt().with_context(|| format!("cannot write {}", path.display()))
}

/// Deletes a file.
///
/// # Errors
/// When it cannot be deleted.
pub fn remove(path: &Path) -> Result<()> {
    fs::remove_file(path).with_context(|| format!("cannot remove {}", path.display()))
}

/// The first line of a log.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    schema: String,
    /// What the rows depend on besides what they say themselves.
    identity: String,
}

/// Names everything in `parts` by a hash, for [`Log::open`].
///
/// # Errors
/// When it cannot be written as JSON.
pub fn identity(parts: &impl Serialize) -> Result<String> {
    let digest = Sha256::digest(serde_json::to_vec(parts)?);
    Ok(digest.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The log of what is still to come into a file, beside it.
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
        let header = Header { schema: LOG_SCHEMA.to_owned(), identity: identity.to_owned() };
        let Some((first, rows)) = text.split_once('\n') else {
            log.write(&[serde_json::to_vec(&header)?, vec![b'\n']].concat())?;
            return Ok((log, Vec::new()));
        };
        let found: Header = serde_json::from_str(first)
            .map_err(|error| anyhow!("{}:1: not a log: {error}", path.display()))?;
        ensure!(
            found == header,
            "{} is left from a run with other settings, problems, seed or checkpoint; remove it or choose another file",
            path.display()
        );
        let rows = parse(rows, path, 2, |_| Ok(()))?;
        Ok((log, rows.into_iter().map(|(_, row)| row).collect()))
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

/// A text, or a number as it is written; `None` of null.
///
/// # Errors
/// What is wrong with a value of another kind.
pub fn text_or_number(value: &Value) -> Result<Option<String>, &'static str> {
    match value {
        Value::String(text) => Ok(Some(text.clone())),
        Value::Number(number) => Ok(Some(number.to_string())),
        Value::Null => Ok(None),
        _ => Err("is neither a text nor a number"),
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
}
