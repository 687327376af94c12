//! The files of a source.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::recipe::Paths;

/// How the names of data files end, in a folder that is read.
const ENDINGS: [&str; 6] = ["jsonl", "json", "csv", "parquet", "arrow", "feather"];

/// A file, and what the ids of its rows begin with.
pub(super) struct NamedFile {
    pub(super) path: PathBuf,
    pub(super) name: String,
}

/// The files of a source: those named, and all data files in the folders named, in the order of their names.
pub(super) fn files(paths: &Paths) -> Result<Vec<NamedFile>> {
    let mut files = Vec::new();
    for path in paths.iter() {
        if !path.is_dir() {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            files.push(NamedFile { path: path.clone(), name });
            continue;
        }
        let before = files.len();
        let mut found = Vec::new();
        collect(path, &mut found)?;
        found.sort();
        for file in found {
            let inside = file.strip_prefix(path).unwrap_or(&file).with_extension("");
            let parts = inside.iter().map(|part| part.to_string_lossy());
            files.push(NamedFile { name: parts.collect::<Vec<_>>().join("/"), path: file });
        }
        if files.len() == before {
            bail!("{} holds no file named *.{}", path.display(), ENDINGS.join(", *."));
        }
    }
    Ok(files)
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    if let Some(saved) = saved_files(folder)? {
        found.extend(saved);
        return Ok(());
    }
    let entries =
        fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    for entry in entries {
        let entry = entry.with_context(|| format!("cannot read {}", folder.display()))?;
        let kind = entry.file_type().map_err(|error| anyhow!("{}: {error}", folder.display()))?;
        let path = entry.path();
        let is_data = || path.extension().is_some_and(|end| ENDINGS.iter().any(|one| end == *one));
        // A link to a folder may lead back to where it lies.
        if kind.is_dir() {
            collect(&path, found)?;
        } else if path.is_file() && is_data() {
            found.push(path);
        }
    }
    Ok(())
}

/// The splits of a `DatasetDict` that `datasets` saved.
#[derive(Deserialize)]
struct Splits {
    splits: Vec<String>,
}

/// What `datasets` says of the files that it saved.
#[derive(Deserialize)]
struct Saved {
    #[serde(rename = "_data_files")]
    files: Vec<SavedFile>,
}

#[derive(Deserialize)]
struct SavedFile {
    filename: String,
}

/// The files of a folder that `datasets` saved (`save_to_disk`); `None` for another folder.
fn saved_files(folder: &Path) -> Result<Option<Vec<PathBuf>>> {
    if let Some(Splits { splits }) = description(&folder.join("dataset_dict.json"))? {
        let split = folder.join(splits.first().map_or("train", String::as_str));
        bail!(
            "{} holds a data set's splits ({}): name the folder of one, as {}",
            folder.display(),
            splits.join(", "),
            split.display()
        );
    }
    let saved = description::<Saved>(&folder.join("state.json"))?;
    Ok(saved.map(|saved| saved.files.iter().map(|file| folder.join(&file.filename)).collect()))
}

/// What a file of a saved folder says; `None` where it is absent or another's of that name.
fn description<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    if !path.is_file() {
        return Ok(None);
    }
    let text =
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(serde_json::from_str(&text).ok())
}
