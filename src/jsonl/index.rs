//! A file whose rows are read when they are asked for: what is in memory is where each row lies.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use super::Rows;

/// The rows of a file, each under a key. Rows of one key stand one after the other. It takes 8 bytes a row and some 50 a
/// key.
#[derive(Debug)]
pub struct Indexed<T> {
    path: PathBuf,
    file: File,
    key: fn(&T) -> &str,
    /// Where each row begins, and where the file ends.
    offsets: Vec<u64>,
    /// The first row of each key.
    first: HashMap<u128, u32>,
    /// The same, in order.
    groups: Vec<u32>,
    digest: String,
}

impl<T: DeserializeOwned> Indexed<T> {
    /// Reads a file once, checks every row and notes where it lies. A key has one row.
    ///
    /// # Errors
    /// With file and line of a row that cannot be read, in which `check` finds a fault, or whose key occurs twice.
    pub fn open(
        path: &Path,
        key: fn(&T) -> &str,
        check: impl Fn(&T) -> Result<()>,
    ) -> Result<Self> {
        Self::new(path, key, check, false)
    }

    /// Like [`Self::open`], but a key may have several rows, one after the other.
    ///
    /// # Errors
    /// With file and line of a row that cannot be read or whose key stands apart from the other rows of that key.
    pub fn open_grouped(path: &Path, key: fn(&T) -> &str) -> Result<Self> {
        Self::new(path, key, |_| Ok(()), true)
    }

    fn new(
        path: &Path,
        key: fn(&T) -> &str,
        check: impl Fn(&T) -> Result<()>,
        grouped: bool,
    ) -> Result<Self> {
        let mut rows = Rows::<T>::open(path)?;
        let (mut offsets, mut digest) = (Vec::new(), Sha256::new());
        let (mut first, mut groups) = (HashMap::new(), Vec::new());
        let mut before = None;
        while let Some(row) = rows.next() {
            let (line, row) = row?;
            check(&row).with_context(|| rows.at(line))?;
            let number = u32::try_from(offsets.len())
                .map_err(|_| anyhow!("{}: more than four thousand million rows", rows.at(line)))?;
            let hash = hash(key(&row));
            match first.entry(hash) {
                Entry::Vacant(place) => {
                    place.insert(number);
                    groups.push(number);
                }
                Entry::Occupied(_) if grouped && before == Some(hash) => {}
                Entry::Occupied(_) => {
                    let fault =
                        if grouped { "stands apart from its other rows" } else { "occurs twice" };
                    bail!("{}: {:?} {fault}", rows.at(line), key(&row));
                }
            }
            before = Some(hash);
            offsets.push(rows.offset());
            digest.update(rows.text());
        }
        let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
        offsets.push(file.metadata()?.len());
        offsets.shrink_to_fit();
        first.shrink_to_fit();
        groups.shrink_to_fit();
        let digest = super::digest::hex(&digest.finalize());
        Ok(Self { path: path.to_owned(), file, key, offsets, first, groups, digest })
    }

    /// Where the file is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How many rows there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// SHA-256 of the rows as they stand in the file.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Whether there is a row of a key.
    #[must_use]
    pub fn contains(&self, key: &str) -> bool {
        self.first.contains_key(&hash(key))
    }

    /// The row of a number, from 0.
    ///
    /// # Errors
    /// When there is none, or the file has changed since it was opened.
    pub fn get(&self, number: usize) -> Result<T> {
        let place = self.offsets.get(number).zip(self.offsets.get(number + 1));
        let (&start, &end) =
            place.with_context(|| format!("{} has no row {number}", self.path.display()))?;
        let mut bytes = vec![0; (end - start) as usize];
        let read = self.file.read_exact_at(&mut bytes, start).map_err(anyhow::Error::from);
        read.and_then(|()| Ok(serde_json::from_slice(&bytes)?)).with_context(|| {
            format!("row {} of {} has changed while it was in use", number + 1, self.path.display())
        })
    }

    /// How many keys there are.
    #[must_use]
    pub fn groups(&self) -> usize {
        self.groups.len()
    }

    /// The rows of the key of a number, from 0; none where there is no such number.
    ///
    /// # Errors
    /// When the file has changed since it was opened.
    pub fn group(&self, number: usize) -> Result<Vec<T>> {
        let Some(&start) = self.groups.get(number) else { return Ok(Vec::new()) };
        let end = self.groups.get(number + 1).map_or(self.len(), |&next| next as usize);
        (start as usize..end).map(|row| self.get(row)).collect()
    }

    /// The rows of a key, in order; none where there is no such key.
    ///
    /// # Errors
    /// When the file has changed since it was opened.
    pub fn of(&self, key: &str) -> Result<Vec<T>> {
        let group =
            self.first.get(&hash(key)).map(|first| self.groups.partition_point(|row| row < first));
        let rows = group.map_or(Ok(Vec::new()), |group| self.group(group))?;
        let same = rows.iter().all(|row| (self.key)(row) == key);
        ensure!(same, "{} has changed while it was in use", self.path.display());
        Ok(rows)
    }
}

/// Keys themselves would be most of what an index takes.
fn hash(key: &str) -> u128 {
    let digest = Sha256::digest(key);
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    u128::from_le_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    type Row = (String, u32);

    fn file(rows: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.jsonl");
        fs::write(&path, rows).unwrap();
        (folder, path)
    }

    fn key((key, _): &Row) -> &str {
        key
    }

    #[test]
    fn rows_are_found_by_number_and_by_key() {
        let (_folder, path) = file("[\"a\",1]\n\n[\"a\",2]\n[\"b\",3]");
        let index = Indexed::open_grouped(&path, key).unwrap();
        assert_eq!(index.len(), 3);
        assert_eq!(index.get(1).unwrap(), ("a".to_owned(), 2));
        let numbers = |key| -> Vec<u32> {
            index.of(key).unwrap().into_iter().map(|(_, number)| number).collect()
        };
        assert_eq!([numbers("a"), numbers("b"), numbers("c")], [vec![1, 2], vec![3], vec![]]);
        assert_eq!((index.groups(), index.group(1).unwrap().len()), (2, 1));
        assert!(index.contains("b") && !index.contains("c"));
        assert!(index.get(3).is_err());
        let (_folder, path) = file("[\"a\",1]\n[\"a\",2]\n[\"b\",4]");
        assert_ne!(Indexed::open_grouped(&path, key).unwrap().digest(), index.digest());
    }

    #[test]
    fn faults_are_named_by_line() {
        let (_folder, path) = file("[\"a\",1]\n[\"b\",20]\n[\"a\",3]\n");
        let error = format!("{:#}", Indexed::open_grouped(&path, key).unwrap_err());
        assert!(error.contains("rows.jsonl:3: \"a\" stands apart"), "{error}");
        let error = format!("{:#}", Indexed::open(&path, key, |_| Ok(())).unwrap_err());
        assert!(error.contains("rows.jsonl:3: \"a\" occurs twice"), "{error}");
        let check = |(_, number): &Row| {
            ensure!(*number < 10, "{number} is too large");
            Ok(())
        };
        let error = format!("{:#}", Indexed::open(&path, key, check).unwrap_err());
        assert!(error.contains("rows.jsonl:2: 20 is too large"), "{error}");
    }
}
