//! A log of large entries, of which only the places are kept in memory.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::marker::PhantomData;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Writer;
use super::digest::Digesting;
use super::log::{Header, append, retire, split_sum, sum, warn_of_damage};

/// An append-only log of entries that have a number, a short account `A` and `S` sections of rows. An entry that was appended
/// before a kill is there afterwards; one that the kill cut short, or that is damaged, is passed over when the log is opened again. It
/// belongs to one identity, so that results of other settings never mix.
#[derive(Debug)]
pub struct EntryLog<A, const S: usize> {
    path: PathBuf,
    inner: Mutex<Inner<S>>,
    account: PhantomData<fn(&A)>,
}

#[derive(Debug)]
struct Inner<const S: usize> {
    file: File,
    end: u64,
    /// By number: a map, since a file from elsewhere may have any.
    places: BTreeMap<usize, Place<S>>,
}

/// Where the sections of an entry lie, one after the other.
#[derive(Debug, Clone, Copy)]
struct Place<const S: usize> {
    start: u64,
    bytes: [u64; S],
}

/// The line before the sections of an entry, behind the sum of it and of them.
#[derive(Serialize, Deserialize)]
struct Head<A> {
    number: usize,
    bytes: Vec<u64>,
    account: A,
}

impl<A: Serialize + DeserializeOwned, const S: usize> EntryLog<A, S> {
    /// Opens or creates the log of `identity` and gives `each` the accounts that it holds.
    ///
    /// # Errors
    /// When it cannot be opened, or it belongs to another identity.
    pub fn open(path: &Path, identity: &str, mut each: impl FnMut(A)) -> Result<Self> {
        let attempt = || {
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent)?;
            }
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)
        };
        let mut file = attempt().with_context(|| format!("cannot open {}", path.display()))?;
        let mut reader = BufReader::new(&mut file);
        let mut line = Vec::new();
        let mut places = BTreeMap::new();
        let mut end = reader.read_until(b'\n', &mut line)? as u64;
        let header = Header::new(identity);
        if line.last() == Some(&b'\n') {
            header.check(&line, path)?;
            let mut at = end;
            loop {
                line.clear();
                let read = reader.read_until(b'\n', &mut line)? as u64;
                if read == 0 {
                    break;
                }
                let start = at + read;
                if let Some((head, place)) = whole::<A, S>(&line, start, &mut reader)? {
                    places.insert(head.number, place);
                    each(head.account);
                    (at, end) = (place.end(), place.end());
                } else {
                    warn_of_damage(path, at);
                    // The next entry is looked for line by line.
                    at = start;
                    reader.seek(SeekFrom::Start(at))?;
                }
            }
        } else {
            end = 0;
        }
        drop(reader);
        file.set_len(end)?;
        file.seek(SeekFrom::Start(end))?;
        let log = Self {
            path: path.to_owned(),
            inner: Mutex::new(Inner { file, end, places }),
            account: PhantomData,
        };
        if end == 0 {
            let mut first = serde_json::to_vec(&header)?;
            first.push(b'\n');
            log.write(&mut log.lock(), &first)?;
        }
        Ok(log)
    }

    /// Whether there is an entry of this number.
    #[must_use]
    pub fn contains(&self, number: usize) -> bool {
        self.lock().places.contains_key(&number)
    }

    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().places.len()
    }

    /// Whether there is no entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends an entry with one write.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn append(&self, number: usize, account: &A, sections: [&[u8]; S]) -> Result<()> {
        let bytes = sections.map(|section| section.len() as u64);
        let head = serde_json::to_vec(&Head { number, bytes: bytes.to_vec(), account })?;
        let mut digest = Sha256::new_with_prefix(&head);
        sections.iter().for_each(|section| digest.update(section));
        let mut entry = sum(digest).into_bytes();
        entry.push(b' ');
        entry.extend_from_slice(&head);
        entry.push(b'\n');
        let head = entry.len() as u64;
        sections.iter().for_each(|section| entry.extend_from_slice(section));
        let mut inner = self.lock();
        let place = Place { start: inner.end + head, bytes };
        self.write(&mut inner, &entry)?;
        inner.places.insert(number, place);
        Ok(())
    }

    /// Copies a section of all entries, in the order of their numbers.
    ///
    /// # Errors
    /// When the log cannot be read or the file cannot be written.
    pub fn copy(&self, section: usize, file: &mut Writer) -> Result<()> {
        let inner = self.lock();
        let mut bytes = Vec::new();
        for place in inner.places.values() {
            let start = place.start + place.bytes[..section].iter().sum::<u64>();
            bytes.resize(place.bytes[section] as usize, 0);
            let read = inner.file.read_exact_at(&mut bytes, start);
            read.with_context(|| format!("cannot read {}", self.path.display()))?;
            file.bytes(&bytes)?;
        }
        Ok(())
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
        super::remove(&self.path)
    }

    fn write(&self, inner: &mut Inner<S>, bytes: &[u8]) -> Result<()> {
        let written = append(&mut inner.file, bytes);
        written.with_context(|| format!("cannot append to {}", self.path.display()))?;
        inner.end += bytes.len() as u64;
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Inner<S>> {
        // A poisoned lock means that another thread's append panicked between entries; the file is still a log.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The entry whose first line this is, where it is whole; the reader stands behind that line, and then behind the entry.
fn whole<A: DeserializeOwned, const S: usize>(
    line: &[u8],
    start: u64,
    reader: &mut impl Read,
) -> io::Result<Option<(Head<A>, Place<S>)>> {
    let Some((expected, head)) = line.strip_suffix(b"\n").and_then(split_sum) else {
        return Ok(None);
    };
    let Ok(read) = serde_json::from_slice::<Head<A>>(head) else { return Ok(None) };
    let Ok(bytes) = <[u64; S]>::try_from(&*read.bytes) else { return Ok(None) };
    let place = Place { start, bytes };
    let mut digest = Digesting::new(io::sink());
    digest.write_all(head)?;
    io::copy(&mut reader.take(place.end() - start), &mut digest)?;
    // An entry that was cut short has another sum, too.
    Ok((expected == sum(digest.digest).as_bytes()).then_some((read, place)))
}

impl<const S: usize> Place<S> {
    fn end(&self) -> u64 {
        self.bytes.iter().fold(self.start, |sum, &bytes| sum.saturating_add(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(path: &Path, identity: &str) -> Result<(EntryLog<u32, 2>, Vec<u32>)> {
        let mut accounts = Vec::new();
        let log = EntryLog::open(path, identity, |account| accounts.push(account))?;
        Ok((log, accounts))
    }

    fn copied(log: &EntryLog<u32, 2>, section: usize, folder: &Path) -> String {
        let path = folder.join("copy");
        let mut file = Writer::create(&path).unwrap();
        log.copy(section, &mut file).unwrap();
        file.finish().unwrap();
        fs::read_to_string(path).unwrap()
    }

    #[test]
    fn entries_survive_in_order_and_a_torn_one_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.jsonl.log");
        let (log, accounts) = open(&path, "a").unwrap();
        assert!(accounts.is_empty() && log.is_empty());
        log.append(2, &20, [b"c\n", b""]).unwrap();
        log.append(0, &10, [b"a\nb\n", b"x\n"]).unwrap();
        let whole = fs::read(&path).unwrap();
        log.append(1, &30, [b"0123456789\n", b"y\n"]).unwrap();
        let longer = fs::read(&path).unwrap();
        assert_eq!(copied(&log, 0, folder.path()), "a\nb\n0123456789\nc\n");
        assert_eq!(copied(&log, 1, folder.path()), "x\ny\n");
        // Wherever a kill cuts the last entry short.
        for cut in whole.len()..longer.len() {
            fs::write(&path, &longer[..cut]).unwrap();
            let (log, accounts) = open(&path, "a").unwrap();
            assert_eq!((accounts, log.len()), (vec![20, 10], 2), "cut at {cut}");
            assert_eq!(fs::read(&path).unwrap(), whole);
            assert!(log.contains(2) && !log.contains(1));
        }
        // Each bit of an entry is covered, and those behind a damaged one are found.
        let (first, second) =
            (whole.iter().position(|&byte| byte == b'\n').unwrap() + 1, whole.len());
        for place in first..second {
            let mut flipped = longer.clone();
            flipped[place] ^= 1;
            fs::write(&path, flipped).unwrap();
            let (log, accounts) = open(&path, "a").unwrap();
            // Without its end a line takes the next one with it.
            let lost = if whole[place] == b'\n' { 2 } else { 1 };
            assert!(accounts.len() >= 3 - lost, "byte {place}: {accounts:?}");
            assert!(lost == 2 || log.contains(1) && accounts.ends_with(&[30]), "byte {place}");
        }
        fs::write(&path, &whole).unwrap();
        let (log, _) = open(&path, "a").unwrap();
        log.append(1, &40, [b"d\n", b""]).unwrap();
        let (log, accounts) = open(&path, "a").unwrap();
        assert_eq!(accounts, [20, 10, 40]);
        assert_eq!(copied(&log, 0, folder.path()), "a\nb\nd\nc\n");
        log.remove().unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn a_number_beyond_all_takes_no_memory() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.jsonl.log");
        let (log, _) = open(&path, "a").unwrap();
        log.append(usize::MAX, &20, [b"c\n", b""]).unwrap();
        let (log, _) = open(&path, "a").unwrap();
        assert!(log.contains(usize::MAX) && log.len() == 1);
        assert_eq!(copied(&log, 0, folder.path()), "c\n");
    }

    #[test]
    fn a_log_of_another_identity_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.jsonl.log");
        open(&path, "a").unwrap();
        let error = open(&path, "b").unwrap_err().to_string();
        assert!(error.contains("other settings"), "{error}");
        // Cut within the first line there is nothing to lose.
        let whole = fs::read(&path).unwrap();
        fs::write(&path, &whole[..5]).unwrap();
        assert!(open(&path, "b").unwrap().0.is_empty());
    }
}
