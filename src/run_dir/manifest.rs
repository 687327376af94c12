//! `manifest.json`: what a run depends on besides its recipe, and where it comes from.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use espalier_search::Form;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::changes::Change;
use crate::jsonl;
use crate::provenance;

/// The form of a run directory, which its manifest names.
pub const MANIFEST_FORM: Form = Form { schema: "espalier.manifest/2", oldest: 2 };

/// The first form, which [`crate::upgrade`] converts.
pub const FIRST_MANIFEST: &str = "espalier.manifest/1";

/// A new manifest.
#[must_use]
pub fn manifest(seed: u64) -> Value {
    let mut manifest = json!({ "schema": MANIFEST_FORM.schema });
    extend(&mut manifest, program());
    manifest["seed"] = seed.into();
    manifest
}

/// The program and the machine.
fn program() -> Value {
    json!({
        "espalier": env!("CARGO_PKG_VERSION"),
        "git_revision": provenance::get().git_revision,
        "rustc": provenance::get().rustc,
        "libtorch": "2.11.0",
        "cores": std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
    })
}

fn extend(object: &mut Value, more: Value) {
    if let (Value::Object(object), Value::Object(more)) = (object, more) {
        object.extend(more);
    }
}

/// One end of a branch, as the manifest at the other end names it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Link {
    /// The other run directory, in full.
    pub run: PathBuf,
    /// The last round that both have.
    pub round: usize,
    /// How the branch's recipe differs from that of the run which it comes from.
    pub changes: Vec<Change>,
}

/// Whether a folder has a manifest.
pub fn is_there(run: &Path) -> bool {
    path_of(run).exists()
}

/// Reads the manifest of a run directory.
///
/// # Errors
/// When it cannot be read, or is of another form than this version's.
pub fn read(run: &Path) -> Result<Value> {
    let path = path_of(run);
    let text =
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let manifest: Value =
        serde_json::from_str(&text).with_context(|| format!("{} is damaged", path.display()))?;
    let schema = manifest["schema"].as_str().unwrap_or_default();
    MANIFEST_FORM.check(schema).map_err(|fault| anyhow!("{}: {fault}", path.display()))?;
    Ok(manifest)
}

/// The run that a manifest's run is a branch of.
///
/// # Errors
/// When the entry is damaged.
pub fn branch_of(manifest: &Value) -> Result<Option<Link>> {
    let link = manifest.get("branch_of").map(Link::deserialize).transpose();
    link.context("manifest.json: `branch_of` is damaged")
}

/// Adds what the recipe has changed to, and by which program, to the history.
///
/// # Errors
/// When the manifest cannot be read or written.
pub fn add_change(run: &Path, changes: &[Change], finished: Option<usize>) -> Result<()> {
    let mut entry = json!({ "changes": changes, "last_finished_round": finished });
    extend(&mut entry, program());
    edit(run, "history", |entries| {
        // A process that was killed right after this does it again.
        if entries.last() != Some(&entry) {
            entries.push(entry);
        }
    })
}

/// Where a run goes on, as far as its figures depend on it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// See [`provenance::processor`].
    pub processor: String,
    /// Who runs the code of steps; absent where they have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interpreter: Option<String>,
}

/// Writes down on which processor, and with which interpreter, a run goes on, and says so where it had others before.
///
/// # Errors
/// When the manifest cannot be read or written.
pub fn note_machine(run: &Path, interpreter: Option<String>) -> Result<()> {
    let here = Machine { processor: provenance::processor(), interpreter };
    let entry = serde_json::to_value(&here)?;
    edit(run, "machines", |machines| {
        if machines.last() == Some(&entry) {
            return;
        }
        if let Some(Ok(before)) = machines.last().map(Machine::deserialize) {
            warn(&before, &here);
        }
        machines.push(entry);
    })
}

fn warn(before: &Machine, here: &Machine) {
    if before.processor != here.processor {
        tracing::warn!(
            "the run went on so far on {}, and does now on {}: what is computed from here on may differ in its last bits, and so \
             in what is sampled, from what it would have been there",
            before.processor,
            here.processor
        );
    }
    let name = |machine: &Machine| machine.interpreter.clone().unwrap_or_else(|| "none".to_owned());
    if before.interpreter != here.interpreter {
        tracing::warn!(
            "code ran so far by {}, and does now by {}: the same step may show something else",
            name(before),
            name(here)
        );
    }
}

/// Adds a branch to the manifest of the run that it comes from, unless it is there.
///
/// # Errors
/// When the manifest cannot be read or written.
pub fn add_branch(source: &Path, branch: &Link) -> Result<()> {
    let entry = serde_json::to_value(branch)?;
    edit(source, "branches", |entries| {
        if !entries.contains(&entry) {
            entries.push(entry);
        }
    })
}

/// Changes a list of a manifest. A process that runs the run holds its lock for long, so that the manifest has one of its own.
fn edit(run: &Path, list: &str, change: impl FnOnce(&mut Vec<Value>)) -> Result<()> {
    let lock_path = run.join(".manifest.lock");
    let lock = File::create(&lock_path)
        .with_context(|| format!("cannot create {}", lock_path.display()))?;
    lock.lock().with_context(|| format!("cannot lock {}", lock_path.display()))?;
    let mut manifest = read(run)?;
    let mut entries: Vec<Value> =
        manifest.get(list).and_then(Value::as_array).cloned().unwrap_or_default();
    change(&mut entries);
    if manifest.get(list).and_then(Value::as_array) == Some(&entries) {
        return Ok(());
    }
    manifest[list] = entries.into();
    write(run, &manifest)
}

/// Writes the manifest of a run directory.
///
/// # Errors
/// When it cannot be written.
pub fn write(run: &Path, manifest: &Value) -> Result<()> {
    jsonl::write_file(&path_of(run), serde_json::to_string_pretty(manifest)?.as_bytes())
}

fn path_of(run: &Path) -> PathBuf {
    run.join("manifest.json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_goes_on_elsewhere_has_a_list_of_machines() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), &manifest(1)).unwrap();
        let machines = || -> Vec<Machine> {
            serde_json::from_value(read(folder.path()).unwrap()["machines"].clone()).unwrap()
        };
        note_machine(folder.path(), None).unwrap();
        note_machine(folder.path(), None).unwrap();
        assert_eq!(machines().len(), 1);
        assert_eq!(machines()[0].processor, provenance::processor());
        note_machine(folder.path(), Some("CPython 3.11.7".into())).unwrap();
        assert_eq!(machines()[1].interpreter.as_deref(), Some("CPython 3.11.7"));
        let elsewhere = Machine { processor: "another".into(), interpreter: None };
        edit(folder.path(), "machines", |all| all.push(json!(elsewhere))).unwrap();
        note_machine(folder.path(), None).unwrap();
        assert_eq!((machines().len(), &machines()[3]), (4, &machines()[0]));
    }
}
