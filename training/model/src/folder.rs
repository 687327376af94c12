//! Folders that are replaced as a whole.
//!
//! A new folder is written beside the old one as `NAME.writing`, then the old one is renamed to `NAME.previous`, the
//! new one to `NAME`, and the old one is deleted. A process killed between the two renames leaves no `NAME`, but a
//! whole `NAME.previous`, which readers fall back to ([`resolve`]) and the next writer puts back.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::dtype::Dtype;
use crate::error::{Error, Result};
use crate::parameters::{Parameter, tensor_file, torch_file};

/// A model's shape, in every checkpoint.
pub const CONFIG: &str = "config.json";
/// An adapter's shape, in every adapter folder.
pub const ADAPTER_CONFIG: &str = "adapter_config.json";
/// The value head's tensors, beside a model's or an adapter's.
pub const VALUE_HEAD: &str = "value_head.safetensors";
const CHECKSUMS: &str = "checksums.json";

/// `dir` with a suffix on its last component.
fn beside(dir: &Path, suffix: &str) -> PathBuf {
    let mut name = dir.file_name().map_or_else(OsString::new, ToOwned::to_owned);
    name.push(suffix);
    dir.with_file_name(name)
}

/// Where the content of `dir` is now.
#[must_use]
pub fn resolve(dir: &Path) -> PathBuf {
    let previous = beside(dir, ".previous");
    if !dir.exists() && previous.exists() { previous } else { dir.to_path_buf() }
}

/// A folder that is read file by file.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    /// Content of `checksums.json`, if the folder has one.
    sums: BTreeMap<String, String>,
}

impl Folder {
    /// Opens what is in `dir` now. Every file that `checksums.json` names must be there.
    ///
    /// # Errors
    /// When the folder or a file that it promises is missing.
    pub fn open(dir: &Path) -> Result<Self> {
        let path = resolve(dir);
        fs::read_dir(&path).map_err(Error::io(&path))?;
        let mut folder = Self { path, sums: BTreeMap::new() };
        if let Some(sums) = folder.read_optional(CHECKSUMS)? {
            folder.sums = serde_json::from_slice(&sums)
                .map_err(|error| Error::format(&folder.file(CHECKSUMS), error))?;
        }
        match folder.sums.keys().find(|name| !folder.contains(name)) {
            Some(name) => Err(missing(&folder.file(name))),
            None => Ok(folder),
        }
    }

    /// The path of a file, for messages.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Whether the folder has a file of this name.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.file(name).is_file()
    }

    /// The bytes of a file.
    ///
    /// # Errors
    /// When it is missing, unreadable, or not what `checksums.json` says.
    pub fn read(&self, name: &str) -> Result<Vec<u8>> {
        let path = self.file(name);
        let bytes = fs::read(&path).map_err(Error::io(&path))?;
        self.check(name, || Ok(checksum(&bytes)))?;
        Ok(bytes)
    }

    /// As [`Self::read`]; `None` when the file is not there.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn read_optional(&self, name: &str) -> Result<Option<Vec<u8>>> {
        if self.contains(name) { self.read(name).map(Some) } else { Ok(None) }
    }

    /// A JSON file's content.
    ///
    /// # Errors
    /// As [`Self::read`], and when it is not of this form.
    pub fn json<T: serde::de::DeserializeOwned>(&self, name: &str) -> Result<T> {
        let bytes = self.read(name)?;
        serde_json::from_slice(&bytes).map_err(|error| Error::format(&self.file(name), error))
    }

    /// A safetensors file's tensors, or those of a PyTorch file whose name ends in `.bin`.
    ///
    /// # Errors
    /// As [`Self::read`], and when it is no whole file of its kind.
    pub fn tensors(&self, name: &str) -> Result<BTreeMap<String, Parameter>> {
        let path = self.file(name);
        if Path::new(name).extension().is_some_and(|extension| extension == "bin") {
            self.check(name, || tensor_file::checksum_of_file(&path))?;
            return torch_file::read(&path);
        }
        match tensor_file::read(&path) {
            Ok((tensors, found)) => self.check(name, || Ok(found)).map(|()| tensors),
            Err(error) => {
                // Damage that `checksums.json` knows of is told as damage, whatever it did to the form.
                if self.contains(name) {
                    self.check(name, || tensor_file::checksum_of_file(&path))?;
                }
                Err(error)
            }
        }
    }

    fn check(&self, name: &str, found: impl FnOnce() -> Result<String>) -> Result<()> {
        let Some(expected) = self.sums.get(name) else {
            return Ok(());
        };
        let found = found()?;
        if *expected == found {
            return Ok(());
        }
        Err(Error::Checksum { path: self.file(name), expected: expected.clone(), found })
    }
}

fn missing(path: &Path) -> Error {
    Error::io(path)(std::io::Error::from(std::io::ErrorKind::NotFound))
}

/// SHA-256 in hexadecimal.
fn checksum(bytes: &[u8]) -> String {
    tensor_file::hexadecimal(Sha256::new_with_prefix(bytes))
}

/// A file to be written.
#[derive(Debug)]
pub enum Content<'a> {
    /// The file's bytes.
    Bytes(Vec<u8>),
    /// A safetensors file; encoded while it is written.
    Tensors {
        /// Names and numbers.
        tensors: Vec<(&'a str, &'a Parameter)>,
        /// Element type in the file.
        dtype: Dtype,
    },
    /// As [`Self::Tensors`], where the rows of several parameters may be one tensor.
    Joined {
        /// Names, and the parameters whose rows follow one another.
        tensors: Vec<(String, Vec<&'a Parameter>)>,
        /// Element type in the file.
        dtype: Dtype,
    },
}

impl Content<'_> {
    /// Writes the file durably; returns its SHA-256 in hexadecimal.
    fn write(&self, path: &Path) -> Result<String> {
        match self {
            Self::Bytes(bytes) => {
                let mut file = File::create(path).map_err(Error::io(path))?;
                file.write_all(bytes).and_then(|()| file.sync_all()).map_err(Error::io(path))?;
                Ok(checksum(bytes))
            }
            Self::Tensors { tensors, dtype } => {
                let tensors = tensors.iter().map(|&(name, parameter)| (name, vec![parameter]));
                tensor_file::write(path, tensors, *dtype)?;
                sync(path)?;
                tensor_file::checksum_of_file(path)
            }
            Self::Joined { tensors, dtype } => {
                let tensors = tensors.iter().map(|(name, rows)| (name.as_str(), rows.clone()));
                tensor_file::write(path, tensors, *dtype)?;
                sync(path)?;
                tensor_file::checksum_of_file(path)
            }
        }
    }
}

/// Writes a folder with these files and `checksums.json`, replacing one of the same name.
///
/// # Errors
/// When a file cannot be written, or the folder exists and is neither a checkpoint nor an adapter.
pub fn write(dir: &Path, files: &BTreeMap<String, Content<'_>>) -> Result<()> {
    let (writing, previous) = (beside(dir, ".writing"), beside(dir, ".previous"));
    if dir.exists() {
        let empty = fs::read_dir(dir).map_err(Error::io(dir))?.next().is_none();
        let known = [CONFIG, ADAPTER_CONFIG].iter().any(|name| dir.join(name).exists());
        if !empty && !known {
            return Err(Error::NotACheckpoint { path: dir.to_path_buf() });
        }
        remove_if_there(&previous)?;
    } else if previous.exists() {
        rename(&previous, dir)?;
    }
    remove_if_there(&writing)?;
    fs::create_dir_all(&writing).map_err(Error::io(&writing))?;
    let mut sums = BTreeMap::new();
    for (name, content) in files {
        let path = writing.join(name);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(Error::io(folder))?;
        }
        sums.insert(name, content.write(&path)?);
        if let Some(folder) = path.parent().filter(|folder| *folder != writing) {
            sync(folder)?;
        }
    }
    let path = writing.join(CHECKSUMS);
    let sums = serde_json::to_vec_pretty(&sums).map_err(|error| Error::format(&path, error))?;
    Content::Bytes(sums).write(&path)?;
    sync(&writing)?;
    if dir.exists() {
        rename(dir, &previous)?;
    }
    rename(&writing, dir)?;
    sync_parent(dir)?;
    remove_if_there(&previous)
}

/// Deletes a folder that [`write()`] made, with what an interrupted write left beside it.
///
/// # Errors
/// When a file cannot be deleted.
pub fn remove(dir: &Path) -> Result<()> {
    remove_if_there(&beside(dir, ".writing"))?;
    remove_if_there(&beside(dir, ".previous"))?;
    remove_if_there(dir)
}

fn remove_if_there(dir: &Path) -> Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::io(dir)(error)),
        _ => Ok(()),
    }
}

fn rename(from: &Path, to: &Path) -> Result<()> {
    fs::rename(from, to).map_err(Error::io(from))
}

/// Makes a file, or a folder's entries, durable; a rename is only then certain to survive a power cut.
fn sync(path: &Path) -> Result<()> {
    File::open(path).and_then(|file| file.sync_all()).map_err(Error::io(path))
}

fn sync_parent(dir: &Path) -> Result<()> {
    match dir.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => sync(parent),
        _ => sync(Path::new(".")),
    }
}
