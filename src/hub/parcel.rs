//! What goes into one repository: files by their names there.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, anyhow, ensure};

use super::repository::Kind;
use crate::usage::UsageError;

/// Files for one repository.
#[derive(Debug)]
pub struct Parcel {
    /// Where they belong.
    pub kind: Kind,
    /// The round whose net it is, or up to which the labels go.
    pub round: Option<usize>,
    /// What the commit is called.
    pub summary: String,
    /// The files, each name once.
    pub items: Vec<Item>,
}

/// A file of a parcel.
#[derive(Debug)]
pub struct Item {
    /// Its name in the repository, folders parted by `/`.
    pub path: String,
    content: Content,
    size: u64,
    /// The SHA-256 that it is known to have, in hexadecimals.
    pub known: Option<String>,
}

#[derive(Debug)]
enum Content {
    File(PathBuf),
    Bytes(Vec<u8>),
}

impl Item {
    /// A file of the disk.
    ///
    /// # Errors
    /// When it is not there.
    pub fn file(path: impl Into<String>, file: &Path) -> Result<Self> {
        let about =
            fs::metadata(file).with_context(|| format!("cannot read {}", file.display()))?;
        let content = Content::File(file.to_owned());
        Ok(Self { path: path.into(), content, size: about.len(), known: None })
    }

    /// What was made here.
    #[must_use]
    pub fn bytes(path: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = bytes.into();
        let size = bytes.len() as u64;
        Self { path: path.into(), content: Content::Bytes(bytes), size, known: None }
    }

    /// In bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// What it is called in messages.
    #[cfg(feature = "hub")]
    pub(super) fn shown(&self) -> String {
        match &self.content {
            Content::File(file) => file.display().to_string(),
            Content::Bytes(_) => self.path.clone(),
        }
    }

    /// So many bytes from a place on.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn part(&self, from: u64, length: u64) -> io::Result<Box<dyn Read + '_>> {
        Ok(match &self.content {
            Content::File(file) => {
                let mut file = File::open(file)?;
                file.seek(SeekFrom::Start(from))?;
                Box::new(file.take(length))
            }
            Content::Bytes(bytes) => {
                let mut bytes = Cursor::new(bytes);
                bytes.set_position(from);
                Box::new(bytes.take(length))
            }
        })
    }
}

/// Files of a checkpoint's folder that no repository needs: they let an unfinished training go on.
const OF_TRAINING: [&str; 2] = espalier_training::TRAINING_STATE;
/// Names the files of a checkpoint with their SHA-256.
const SUMS: &str = "checksums.json";

/// The files of a checkpoint's folder, in the order of their names: those that make a model. Hidden files and folders are left out, but for
/// what `checksums.json` names.
///
/// # Errors
/// When it is no model's folder, or cannot be read.
pub(super) fn model_files(folder: &Path) -> Result<Vec<Item>> {
    let here = folder.display();
    ensure!(
        folder.join("config.json").is_file(),
        UsageError(anyhow!("{here} is no checkpoint: it has no config.json"))
    );
    let cannot = || format!("cannot read {here}");
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(folder).with_context(cannot)? {
        let entry = entry.with_context(cannot)?;
        let name = entry.file_name().into_string();
        let name = name.map_err(|name| anyhow!("{here}: {} is no UTF-8", name.display()))?;
        // Links of a cache lead to files.
        if !name.starts_with('.') && entry.path().is_file() {
            names.insert(name);
        }
    }
    let mut sums: BTreeMap<String, String> = BTreeMap::new();
    if names.contains(SUMS) {
        let file = folder.join(SUMS);
        let damaged = || format!("{} cannot be read", file.display());
        sums = serde_json::from_slice(&fs::read(&file).with_context(damaged)?)
            .with_context(damaged)?;
    }
    // Those in folders too, as the adapter's.
    names.extend(sums.keys().cloned());
    for name in OF_TRAINING {
        sums.remove(name);
        names.remove(name);
    }
    for name in sums.keys() {
        let inside = Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
        ensure!(inside, "{here}: {SUMS} names {name:?}, which lies elsewhere");
    }
    let item = |name: String| -> Result<Item> {
        if name == SUMS {
            return Ok(Item::bytes(name, serde_json::to_vec_pretty(&sums)?));
        }
        let known = sums.get(&name).cloned();
        let file = folder.join(&name);
        Ok(Item { known, ..Item::file(name, &file)? })
    };
    names.into_iter().map(item).collect()
}

/// Bytes as one reads them.
#[must_use]
pub fn size(bytes: u64) -> String {
    let mut shown = bytes as f64;
    for unit in ["B", "kB", "MB"] {
        if shown < 999.5 {
            let digits = usize::from(unit != "B" && shown < 9.95);
            return format!("{shown:.digits$} {unit}");
        }
        shown /= 1000.0;
    }
    format!("{shown:.1} GB")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_its_folder_without_what_is_hidden_or_of_the_training() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        assert!(model_files(folder.path()).unwrap_err().is::<UsageError>());
        for name in ["config.json", "model.safetensors", ".secret", "optimizer.safetensors"] {
            write(name, name);
        }
        for name in [".git", "other", "adapter"] {
            fs::create_dir(folder.path().join(name)).unwrap();
            write(&format!("{name}/weights"), name);
        }
        let sums = "\"config.json\": \"a\", \"optimizer.safetensors\": \"b\"";
        write("checksums.json", &format!("{{{sums}, \"adapter/weights\": \"c\"}}"));
        let files = model_files(folder.path()).unwrap();
        let names: Vec<&str> = files.iter().map(|item| &*item.path).collect();
        let wanted = ["adapter/weights", "checksums.json", "config.json", "model.safetensors"];
        assert_eq!(names, wanted);
        assert_eq!(files[2].known.as_deref(), Some("a"));
        let mut sums = String::new();
        files[1].part(0, files[1].size()).unwrap().read_to_string(&mut sums).unwrap();
        assert!(sums.contains("config.json") && !sums.contains("optimizer"), "{sums}");
        let mut part = String::new();
        files[3].part(2, 3).unwrap().read_to_string(&mut part).unwrap();
        assert_eq!(part, "del");
        for (sums, fault) in
            [("gone.json", "gone.json"), ("../a", "elsewhere"), ("/a", "elsewhere")]
        {
            write("checksums.json", &format!("{{{sums:?}: \"a\"}}"));
            let error = model_files(folder.path()).unwrap_err().to_string();
            assert!(error.contains(fault), "{error}");
        }
    }

    #[test]
    fn sizes_have_two_digits_or_three() {
        let shown = [0, 999, 1000, 9_960, 999_499, 999_600, 14_483_000_000].map(size);
        assert_eq!(shown, ["0 B", "999 B", "1.0 kB", "10 kB", "999 kB", "1.0 MB", "14.5 GB"]);
    }
}
