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

use crate::{Error, Result};

const CHECKSUMS: &str = "checksums.json";

/// `dir` with a suffix on its last component.
fn beside(dir: &Path, suffix: &str) -> PathBuf {
    let mut name = dir.file_name().map_or_else(OsString::new, ToOwned::to_owned);
    name.push(suffix);
    dir.with_file_name(name)
}

/// Where the content of `dir` is now.
pub(crate) fn resolve(dir: &Path) -> PathBuf {
    let previous = beside(dir, ".previous");
    if !dir.exists() && previous.exists() { previous } else { dir.to_path_buf() }
}

/// Reads every regular file of a folder; those that `checksums.json` names must be there and match.
pub(super) fn read(dir: &Path) -> Result<BTreeMap<String, Vec<u8>>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(dir).map_err(Error::io(dir))? {
        let entry = entry.map_err(Error::io(dir))?;
        let path = entry.path();
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        // Hugging Face folders also carry other frameworks' weights; only what a checkpoint can hold is read.
        let wanted = name.ends_with(".json") || name.ends_with(".safetensors");
        if wanted && path.is_file() {
            files.insert(name, fs::read(&path).map_err(Error::io(&path))?);
        }
    }
    let Some(sums) = files.remove(CHECKSUMS) else {
        return Ok(files);
    };
    let sums: BTreeMap<String, String> = serde_json::from_slice(&sums)
        .map_err(|error| Error::format(&dir.join(CHECKSUMS), error))?;
    for (name, expected) in sums {
        let path = dir.join(&name);
        let Some(bytes) = files.get(&name) else {
            return Err(Error::io(&path)(std::io::Error::from(std::io::ErrorKind::NotFound)));
        };
        let found = checksum(bytes);
        if found != expected {
            return Err(Error::Checksum { path, expected, found });
        }
    }
    Ok(files)
}

/// SHA-256 in hexadecimal.
pub(crate) fn checksum(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Writes a folder with these files and `checksums.json`, replacing one of the same name.
pub(super) fn write(dir: &Path, files: &BTreeMap<String, Vec<u8>>) -> Result<()> {
    let (writing, previous) = (beside(dir, ".writing"), beside(dir, ".previous"));
    if dir.exists() {
        let empty = fs::read_dir(dir).map_err(Error::io(dir))?.next().is_none();
        if !empty && !dir.join(super::CONFIG).exists() {
            return Err(Error::NotACheckpoint { path: dir.to_path_buf() });
        }
        remove_if_there(&previous)?;
    } else if previous.exists() {
        rename(&previous, dir)?;
    }
    remove_if_there(&writing)?;
    fs::create_dir_all(&writing).map_err(Error::io(&writing))?;
    let sums: BTreeMap<&str, String> =
        files.iter().map(|(name, bytes)| (name.as_str(), checksum(bytes))).collect();
    let sums = serde_json::to_vec_pretty(&sums)
        .map_err(|error| Error::format(&writing.join(CHECKSUMS), error))?;
    for (name, bytes) in files {
        write_synced(&writing.join(name), bytes)?;
    }
    write_synced(&writing.join(CHECKSUMS), &sums)?;
    sync(&writing)?;
    if dir.exists() {
        rename(dir, &previous)?;
    }
    rename(&writing, dir)?;
    sync_parent(dir)?;
    remove_if_there(&previous)
}

/// Deletes a folder that [`write`] made, with what an interrupted write left beside it.
pub(crate) fn remove(dir: &Path) -> Result<()> {
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

fn write_synced(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = File::create(path).map_err(Error::io(path))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(Error::io(path))
}

/// Makes a folder's entries durable; a rename is only then certain to survive a power cut.
fn sync(dir: &Path) -> Result<()> {
    File::open(dir).and_then(|file| file.sync_all()).map_err(Error::io(dir))
}

fn sync_parent(dir: &Path) -> Result<()> {
    match dir.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => sync(parent),
        _ => sync(Path::new(".")),
    }
}
