//! Files that are there whole or not at all.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Serialize;

use super::beside::partial_beside;
use super::digest::Digesting;
use super::sums::Place;

/// Bytes that are written at once.
const BUFFER: usize = 1 << 16;

/// A file in the making: it lies beside its place (`*.partial`) until [`Self::finish`] syncs it and renames it into place. The sum of
/// one that lies in a run directory is entered there.
#[derive(Debug)]
pub struct Writer {
    path: PathBuf,
    partial: PathBuf,
    file: BufWriter<Digesting<File>>,
}

impl Writer {
    /// Begins a file, and makes the folders that it needs.
    ///
    /// # Errors
    /// When it cannot be created.
    pub fn create(path: &Path) -> Result<Self> {
        let partial = partial_beside(path);
        let attempt = || {
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent)?;
            }
            File::create(&partial)
        };
        let file = attempt().with_context(|| format!("cannot write {}", path.display()))?;
        let file = BufWriter::with_capacity(BUFFER, Digesting::new(file));
        Ok(Self { path: path.to_owned(), partial, file })
    }

    /// Appends a row.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn row(&mut self, row: &impl Serialize) -> Result<()> {
        let written = serde_json::to_writer(&mut self.file, row);
        written.with_context(|| format!("cannot write {}", self.path.display()))?;
        self.bytes(b"\n")
    }

    /// Appends bytes as they are.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn bytes(&mut self, bytes: &[u8]) -> Result<()> {
        let written = self.file.write_all(bytes);
        written.with_context(|| format!("cannot write {}", self.path.display()))
    }

    /// Puts the file in its place.
    ///
    /// # Errors
    /// When it cannot be written or renamed.
    pub fn finish(mut self) -> Result<()> {
        let mut attempt = || {
            self.file.flush()?;
            self.file.get_ref().inner.sync_all()?;
            if let Some(place) = Place::of(&self.path) {
                place.enter(&self.file.get_ref().hexadecimal())?;
            }
            fs::rename(&self.partial, &self.path)?;
            sync_folder_of(&self.path)
        };
        attempt().with_context(|| format!("cannot write {}", self.path.display()))
    }
}

/// Makes a file's name in its folder durable: only then a rename survives a power cut.
fn sync_folder_of(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

/// Rows as they stand in a file.
///
/// # Errors
/// When one cannot be written as JSON.
pub fn to_rows<T: Serialize>(rows: &[T]) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for row in rows {
        serde_json::to_writer(&mut bytes, row)?;
        bytes.push(b'\n');
    }
    Ok(bytes)
}

/// Writes all rows as one file that is there whole or not at all.
///
/// # Errors
/// When the file cannot be written.
pub fn write<T: Serialize>(path: &Path, rows: impl IntoIterator<Item = T>) -> Result<()> {
    let mut file = Writer::create(path)?;
    for row in rows {
        file.row(&row)?;
    }
    file.finish()
}

/// Writes a file that is there whole or not at all: a temporary file beside it, synced, then renamed.
///
/// # Errors
/// When the file cannot be written.
pub fn write_file(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = Writer::create(path)?;
    file.bytes(bytes)?;
    file.finish()
}

/// Deletes a file.
///
/// # Errors
/// When it cannot be deleted.
pub fn remove(path: &Path) -> Result<()> {
    fs::remove_file(path).with_context(|| format!("cannot remove {}", path.display()))
}
