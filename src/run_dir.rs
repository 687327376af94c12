//! A run as a directory.
//!
//! ```text
//! recipe.toml            the resolved recipe
//! manifest.json          versions, git revision, seed
//! problems/              the problems of each round and the held-out ones, JSONL
//! rounds/N/trees.jsonl   one tree a line
//! rounds/N/labels.jsonl  one step-labelled solution a line
//! rounds/N/stepwise.jsonl the same in TRL's stepwise form
//! rounds/N/checkpoint/   the net after the round
//! rounds/N/gate.jsonl    with a gate: one decoded validation problem a line
//! rounds/N/evaluation.jsonl  one decoded problem a line; of another source in evaluation-NAME.jsonl
//! rounds/N/STAGE.json    the summary of a finished stage: its presence says that the stage is done
//! metrics.jsonl          all summaries, one a line
//! table.txt, table.md, table.csv  accuracy by round and decoding
//! ```

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use espalier_search::Form;
use serde_json::{Value, json};

use crate::jsonl;
use crate::provenance;
use crate::recipe::{Recipe, to_toml};

/// The form of a run directory, which its manifest names.
pub const MANIFEST_FORM: Form = Form { schema: "espalier.manifest/2", oldest: 2 };

/// The first form, which [`crate::upgrade`] converts.
pub const FIRST_MANIFEST: &str = "espalier.manifest/1";

/// An open run directory; held by one process at a time.
#[derive(Debug)]
pub struct RunDir {
    path: PathBuf,
    /// The lock goes with the process, also after `kill -9`.
    _lock: File,
}

impl RunDir {
    /// Opens the directory for this recipe, creating it when it is not there.
    ///
    /// # Errors
    /// When another process holds it, it belongs to another recipe, or it cannot be written.
    pub fn open(path: &Path, recipe: &Recipe) -> Result<Self> {
        fs::create_dir_all(path).with_context(|| format!("cannot create {}", path.display()))?;
        let lock = lock(path)?;
        let run = Self { path: path.to_owned(), _lock: lock };
        run.claim(recipe)?;
        Ok(run)
    }

    /// Writes the recipe into a new directory, or checks that it is the one already there.
    fn claim(&self, recipe: &Recipe) -> Result<()> {
        let resolved = to_toml(recipe)?;
        let path = self.path.join("recipe.toml");
        if path.exists() {
            self.check_form()?;
            let before = fs::read_to_string(&path)
                .with_context(|| format!("cannot read {}", path.display()))?;
            // How the machine is used may change between a run and its resumption.
            let (before, resolved) = (comparable(&before), comparable(&resolved)?);
            let before = before.with_context(|| format!("{} is damaged", path.display()))?;
            if let Some(difference) = difference(&before, &resolved) {
                bail!(
                    "{} holds a run of another recipe: {difference}; choose another --run-dir or remove it",
                    self.path.display()
                );
            }
            return Ok(());
        }
        jsonl::write_file(
            &self.path.join("manifest.json"),
            serde_json::to_string_pretty(&manifest(recipe.seed))?.as_bytes(),
        )?;
        jsonl::write_file(&path, resolved.as_bytes())
    }

    /// Refuses a directory of another form than this version's.
    fn check_form(&self) -> Result<()> {
        let path = self.path.join("manifest.json");
        let text =
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let manifest: Value = serde_json::from_str(&text)
            .with_context(|| format!("{} is damaged", path.display()))?;
        let schema = manifest["schema"].as_str().unwrap_or_default();
        MANIFEST_FORM.check(schema).map_err(|fault| anyhow!("{}: {fault}", path.display()))
    }

    /// Where the run lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A file of the problems folder.
    #[must_use]
    pub fn problems(&self, name: &str) -> PathBuf {
        self.path.join("problems").join(format!("{name}.jsonl"))
    }

    /// The folder of a round.
    #[must_use]
    pub fn round(&self, round: usize) -> PathBuf {
        self.path.join("rounds").join(round.to_string())
    }

    /// Does a stage unless it is done, and returns its summary. The summary is written last, so a stage that was cut short
    /// is entered again and goes on from what it left.
    ///
    /// # Errors
    /// The stage's own, with its name and round.
    pub fn stage(
        &self,
        round: usize,
        name: &str,
        work: impl FnOnce() -> Result<Value>,
    ) -> Result<Value> {
        let path = self.round(round).join(format!("{name}.json"));
        if path.exists() {
            let text = fs::read_to_string(&path)?;
            return serde_json::from_str(&text).with_context(|| {
                format!("{} is damaged; remove it to redo the stage", path.display())
            });
        }
        let mut summary = json!({ "schema": "espalier.metrics/1", "round": round, "stage": name });
        let result = work().with_context(|| format!("round {round}, {name}"))?;
        if let (Value::Object(summary), Value::Object(result)) = (&mut summary, result) {
            summary.extend(result);
        }
        jsonl::write_file(&path, serde_json::to_string_pretty(&summary)?.as_bytes())?;
        Ok(summary)
    }

    /// Rewrites `metrics.jsonl` from the summaries of all finished stages.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_metrics(&self, summaries: &[Value]) -> Result<()> {
        jsonl::write(&self.path.join("metrics.jsonl"), summaries)
    }
}

/// Holds a directory against other processes, until the file is dropped.
///
/// # Errors
/// When another process holds it, or it cannot be written.
pub fn lock(path: &Path) -> Result<File> {
    let lock_path = path.join(".lock");
    let lock = File::create(&lock_path)
        .with_context(|| format!("cannot create {}", lock_path.display()))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => {
            bail!("{} is in use by another espalier process", path.display());
        }
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("cannot lock {}", path.display()))
        }
    }
}

fn comparable(recipe: &str) -> Result<toml::Table> {
    let mut table: toml::Table = recipe.parse()?;
    table.remove("compute");
    Ok(table)
}

/// The first key that differs, with both of its values.
fn difference(before: &toml::Table, now: &toml::Table) -> Option<String> {
    let mut keys: Vec<&String> = before.keys().chain(now.keys()).collect();
    keys.sort_unstable();
    keys.dedup();
    keys.into_iter().find_map(|key| match (before.get(key), now.get(key)) {
        (before, now) if before == now => None,
        (Some(toml::Value::Table(before)), Some(toml::Value::Table(now))) => {
            difference(before, now).map(|below| format!("{key}.{below}"))
        }
        (before, now) => {
            let text = |value: Option<&toml::Value>| {
                value.map_or_else(|| "absent".to_owned(), ToString::to_string)
            };
            Some(format!("{key} is {} there and {} here", text(before), text(now)))
        }
    })
}

/// What a result depends on besides the recipe.
#[must_use]
pub fn manifest(seed: u64) -> Value {
    json!({
        "schema": MANIFEST_FORM.schema,
        "espalier": env!("CARGO_PKG_VERSION"),
        "git_revision": provenance::get().git_revision,
        "rustc": provenance::get().rustc,
        "libtorch": "2.11.0",
        "seed": seed,
        "cores": std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_belongs_to_one_recipe_and_one_process() {
        let folder = tempfile::tempdir().unwrap();
        let recipe = Recipe::default();
        let run = RunDir::open(folder.path(), &recipe).unwrap();
        let error = RunDir::open(folder.path(), &recipe).unwrap_err().to_string();
        assert!(error.contains("in use"), "{error}");
        drop(run);
        RunDir::open(folder.path(), &recipe).unwrap();
        let mut other_machine = recipe.clone();
        other_machine.compute.threads = 7;
        RunDir::open(folder.path(), &other_machine).unwrap();
        let other = Recipe { seed: 2, ..recipe.clone() };
        let error = RunDir::open(folder.path(), &other).unwrap_err().to_string();
        assert!(error.contains("another recipe: seed is 1 there and 2 here"), "{error}");
        let mut other = recipe;
        other.rounds.count += 1;
        let error = RunDir::open(folder.path(), &other).unwrap_err().to_string();
        assert!(error.contains("rounds.count is"), "{error}");
    }

    #[test]
    fn a_finished_stage_is_not_done_again() {
        let folder = tempfile::tempdir().unwrap();
        let run = RunDir::open(folder.path(), &Recipe::default()).unwrap();
        assert!(run.stage(1, "search", || bail!("cut short")).is_err());
        let summary = run.stage(1, "search", || Ok(json!({ "trees": 3 }))).unwrap();
        let again = run.stage(1, "search", || panic!("done already")).unwrap();
        assert_eq!((&summary, &summary["trees"]), (&again, &json!(3)));
    }
}
