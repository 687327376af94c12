//! `SHA256SUMS` of a run directory: what the files of its problems and rounds held when they were written.
//!
//! It has the form that `sha256sum -c` reads. A file is entered just before it comes into its place, so that whenever the process is
//! killed, what lies there is what one of its lines says. Checkpoints have sums of their own, and logs a sum in each row.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};

use super::beside::{is_log, is_partial};
use super::digest::Digesting;

const NAME: &str = "SHA256SUMS";
/// The first line, which `sha256sum` passes over: a file of this name elsewhere is not ours to write in.
const HEADER: &str = "# the files of this run as espalier wrote them\n";
/// The folders whose files are entered.
const FOLDERS: [&str; 2] = ["problems", "rounds"];
/// Files that a message names.
const NAMED: usize = 3;

/// A file's place in a run directory.
#[derive(Debug)]
pub(super) struct Place {
    sums: PathBuf,
    /// From the run directory on.
    name: String,
}

impl Place {
    /// The place of a path that lies among the files of a run.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let path = std::path::absolute(path).ok()?;
        let run = path.ancestors().skip(1).find(|folder| is_ours(&folder.join(NAME)))?;
        let name = path.strip_prefix(run).ok()?;
        let entered = FOLDERS.iter().any(|folder| name.starts_with(folder));
        let name = name.to_str().filter(|_| entered)?.to_owned();
        Some(Self { sums: run.join(NAME), name })
    }

    /// Says what the file is going to hold.
    pub(super) fn enter(&self, digest: &str) -> io::Result<()> {
        let mut sums = OpenOptions::new().append(true).open(&self.sums)?;
        let end = sums.metadata()?.len();
        let line = line(digest, &self.name);
        let entered = sums.write_all(line.as_bytes()).and_then(|()| sums.sync_all());
        if entered.is_err() {
            // A part of a line would spoil the next one. If not even this can be done, the next check drops a torn last line.
            let _ = sums.set_len(end);
        }
        entered
    }
}

fn line(digest: &str, name: &str) -> String {
    format!("{digest}  {name}\n")
}

fn is_ours(sums: &Path) -> bool {
    let mut first = [0; HEADER.len()];
    let read = File::open(sums).and_then(|mut file| io::Read::read_exact(&mut file, &mut first));
    read.is_ok() && first == HEADER.as_bytes()
}

/// Enters every file that is there, in a run directory that has no sums yet.
///
/// # Errors
/// When a file cannot be read, or the sums cannot be written.
pub fn cover(run: &Path) -> Result<()> {
    let mut text = HEADER.to_owned();
    for name in files(run)? {
        let digest = digest_of(&run.join(&name))?;
        text.push_str(&line(&digest, &name));
    }
    super::write_file(&run.join(NAME), text.as_bytes())
}

/// Checks that the files of a run are what was written, and enters those of a run that has no sums yet. A file that is gone is
/// not missed here.
///
/// # Errors
/// With the names of the files that are not what was written, and what to do.
pub fn check(run: &Path) -> Result<()> {
    match verify(run, |_| true)? {
        None => cover(run),
        Some(sums) if sums.is_tidy => Ok(()),
        // Lines of files that were replaced or removed, and what a kill left of a last line.
        Some(sums) => super::write_file(&run.join(NAME), sums.text.as_bytes()),
    }
}

/// Sums of which each is that of its file.
#[derive(Debug)]
pub struct Verified {
    text: String,
    /// Whether the file of sums holds just these.
    is_tidy: bool,
}

/// As [`check`], of the files whose names (from the run directory on) are wanted, in a run that another process may be writing: it is
/// only read. Nothing where it has no sums.
///
/// # Errors
/// As [`check`].
pub fn verify(run: &Path, wanted: impl Fn(&str) -> bool) -> Result<Option<Verified>> {
    let path = run.join(NAME);
    if !path.exists() {
        return Ok(None);
    }
    let bytes = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let sums = read(&bytes).map_err(|fault| {
        anyhow!("{}: {fault}; restore it, or remove it if you trust the files", path.display())
    })?;
    let mut text = HEADER.to_owned();
    let mut damaged = Vec::new();
    for (name, digests) in sums {
        let file = run.join(&name);
        if !wanted(&name) || !file.exists() {
            continue;
        }
        let found = digest_of(&file)?;
        if !digests.contains(&found.as_str()) {
            damaged.push(name.clone());
        }
        text.push_str(&line(&found, &name));
    }
    if !damaged.is_empty() {
        let more = damaged.len().saturating_sub(NAMED);
        damaged.truncate(NAMED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        bail!(
            "{}: {}{more} changed after the run wrote it: its SHA-256 is another one than in {NAME}. Restore it from a copy; go on from \
             a round before it with --from RUN@ROUND; or, if you changed it on purpose, remove its line from {NAME}",
            run.display(),
            damaged.join(", ")
        );
    }
    let is_tidy = text.as_bytes() == bytes;
    Ok(Some(Verified { text, is_tidy }))
}

/// Leaves out the lines of files that were replaced or removed.
///
/// # Errors
/// When the sums cannot be read or written.
pub fn tidy(run: &Path) -> Result<()> {
    let path = run.join(NAME);
    let bytes = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let sums = read(&bytes).map_err(|fault| anyhow!("{}: {fault}", path.display()))?;
    let mut text = HEADER.to_owned();
    for (name, digests) in sums.iter().filter(|(name, _)| run.join(name).exists()) {
        text.extend(digests.last().map(|digest| line(digest, name)));
    }
    if text.as_bytes() == bytes { Ok(()) } else { super::write_file(&path, text.as_bytes()) }
}

/// The sums that each file may have, by name, in the order in which they were entered.
fn read(bytes: &[u8]) -> Result<BTreeMap<String, Vec<&str>>, String> {
    // A line that a kill cut short is of a file that did not come into its place.
    let whole = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |last| last + 1);
    let text = str::from_utf8(&bytes[..whole]).map_err(|_| "not UTF-8 text".to_owned())?;
    let lines = text.strip_prefix(HEADER).ok_or("its first line is not that of a run")?;
    let mut sums = BTreeMap::new();
    for (line, number) in lines.lines().zip(2..) {
        let parts = line.split_once("  ").filter(|(digest, name)| {
            let hexadecimal = digest.bytes().all(|byte| byte.is_ascii_hexdigit());
            digest.len() == 64 && hexadecimal && !name.is_empty()
        });
        let (digest, name) = parts.ok_or_else(|| format!("line {number} is no sum"))?;
        sums.entry(name.to_owned()).or_insert_with(Vec::new).push(digest);
    }
    Ok(sums)
}

/// The files that are entered, by name.
fn files(run: &Path) -> Result<BTreeSet<String>> {
    let [problems, rounds] = FOLDERS.map(|folder| run.join(folder));
    let mut files = BTreeSet::new();
    // Not deeper: the folders in a round's are checkpoints.
    for folder in entries(&rounds)?.into_iter().filter(|path| path.is_dir()).chain([problems]) {
        let unfinished = |path: &Path| is_log(path) || is_partial(path);
        for path in entries(&folder)?.iter().filter(|path| path.is_file() && !unfinished(path)) {
            files.extend(path.strip_prefix(run).ok().and_then(Path::to_str).map(str::to_owned));
        }
    }
    Ok(files)
}

/// What is in a folder; nothing where there is none.
fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let read = || -> io::Result<_> {
        fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()
    };
    if !folder.exists() {
        return Ok(Vec::new());
    }
    read().with_context(|| format!("cannot read {}", folder.display()))
}

fn digest_of(path: &Path) -> Result<String> {
    let mut digest = Digesting::new(io::sink());
    let copied = File::open(path).and_then(|mut file| io::copy(&mut file, &mut digest));
    copied.with_context(|| format!("cannot read {}", path.display()))?;
    Ok(digest.hexadecimal())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A run directory with sums and these files.
    fn run(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        check(folder.path()).unwrap();
        for (name, text) in files {
            super::super::write_file(&folder.path().join(name), text.as_bytes()).unwrap();
        }
        folder
    }

    fn sums(folder: &tempfile::TempDir) -> String {
        fs::read_to_string(folder.path().join(NAME)).unwrap()
    }

    #[test]
    fn what_was_written_is_found_again_and_what_changed_is_named() {
        let folder = run(&[
            ("problems/test.jsonl", "1\n"),
            ("rounds/0/train.json", "{}"),
            ("rounds/0/train.json", "{\"again\": 1}"),
            ("table.txt", "of no sum"),
        ]);
        assert_eq!(sums(&folder).lines().count(), 4);
        fs::write(folder.path().join("table.txt"), "changed").unwrap();
        let all = sums(&folder);
        tidy(folder.path()).unwrap();
        let tidied = sums(&folder);
        fs::write(folder.path().join(NAME), all).unwrap();
        check(folder.path()).unwrap();
        assert_eq!((sums(&folder), tidied.lines().count()), (tidied, 3));
        let mut tool = std::process::Command::new("sha256sum");
        if let Ok(output) = tool.args(["--check", "--strict", NAME]).current_dir(&folder).output() {
            assert!(output.status.success(), "{output:?}");
        }
        let test = folder.path().join("problems/test.jsonl");
        fs::write(&test, "2\n").unwrap();
        let error = check(folder.path()).unwrap_err().to_string();
        assert!(error.contains(": problems/test.jsonl changed after"), "{error}");
        fs::remove_file(test).unwrap();
        check(folder.path()).unwrap();
        assert_eq!(sums(&folder).lines().count(), 2);
    }

    #[test]
    fn a_kill_between_line_and_file_leaves_both_versions_right() {
        let folder = run(&[("problems/test.jsonl", "1\n")]);
        let place = Place::of(&folder.path().join("problems/test.jsonl")).unwrap();
        place.enter(&"0".repeat(64)).unwrap();
        let torn = sums(&folder) + "00000  problems/te";
        fs::write(folder.path().join(NAME), torn).unwrap();
        check(folder.path()).unwrap();
        assert_eq!(sums(&folder).lines().count(), 2);
    }

    #[test]
    fn a_run_without_sums_gets_them_and_damaged_ones_are_told() {
        let folder = run(&[("rounds/1/labels.jsonl", "1\n"), ("rounds/1/labels.jsonl.log", "1\n")]);
        let path = folder.path().join(NAME);
        let before = sums(&folder).lines().take(2).collect::<Vec<_>>().join("\n") + "\n";
        fs::remove_file(&path).unwrap();
        check(folder.path()).unwrap();
        assert_eq!(sums(&folder), before);
        for (damaged, fault) in [("x\n", "first line"), (&*(before + "0  x\n"), "line 3")] {
            fs::write(&path, damaged).unwrap();
            let error = check(folder.path()).unwrap_err().to_string();
            assert!(error.contains(NAME) && error.contains(fault), "{error}");
        }
    }

    #[test]
    fn files_elsewhere_are_not_entered() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(NAME), "of someone else\n").unwrap();
        assert!(Place::of(&folder.path().join("problems/test.jsonl")).is_none());
        let folder = run(&[]);
        let place = |name: &str| Place::of(&folder.path().join(name));
        assert!(place("table.txt").is_none() && place("rounds/1/trees.jsonl").is_some());
    }
}
