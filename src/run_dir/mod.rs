//! A run as a directory.
//!
//! ```text
//! recipe.toml            the resolved recipe
//! manifest.json          versions, git revision, seed; how the recipe changed since, and branches
//! source.toml            of a branch: the recipe of the run that it comes from, as it was then
//! problems/              the problems of each round and the held-out ones, JSONL
//! rounds/N/trees.jsonl   one tree a line
//! rounds/N/labels.jsonl  one step-labelled solution a line
//! rounds/N/stepwise.jsonl the same in TRL's stepwise form
//! rounds/N/checkpoint/   the net after the round
//! rounds/N/gate.jsonl    with a gate: one decoded validation problem a line
//! rounds/N/probe.jsonl   with a probe: one tree of a validation problem a line; its samples in probe-samples.jsonl
//! rounds/N/evaluation.jsonl  one decoded problem a line; of another source in evaluation-NAME.jsonl
//! rounds/N/STAGE.json    the summary of a finished stage: its presence says that the stage is done
//! SHA256SUMS             of the files of problems and rounds, as they were written; `sha256sum -c` reads it
//! metrics.jsonl          all summaries, one a line
//! table.txt, table.md, table.csv  accuracy by round and decoding
//! events.out.tfevents.*  the same numbers for TensorBoard
//! ```

mod alike;
mod branch;
mod changes;
mod manifest;

pub use alike::{by_recipe, check_one_recipe};
pub use branch::Origin;
pub use changes::Change;
pub use manifest::{FIRST_MANIFEST, Link, MANIFEST_FORM, manifest};

use std::ffi::OsStr;
use std::fs::{self, File, TryLockError};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process;
use std::time::Instant;

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde_json::{Value, json};
use toml::Table;

use crate::jsonl;
use crate::place::in_full;
use crate::recipe::{self, Recipe, to_toml};
use crate::status;
use crate::usage::UsageError;

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
    /// When another process holds it, its rounds would be others under this recipe, one of its files is not what was written, it would
    /// lie in another run, or it cannot be written.
    pub fn open(path: &Path, recipe: &Recipe) -> Result<Self> {
        let begun = || path.join(RECIPE).exists();
        if !begun() {
            refuse_inside_a_run(path)?;
        }
        fs::create_dir_all(path).with_context(|| format!("cannot create {}", path.display()))?;
        let run = Self { path: path.to_owned(), _lock: lock(path)? };
        jsonl::check_sums(path)?;
        if begun() {
            run.go_on(recipe)?;
        } else {
            manifest::write(path, &manifest(recipe.seed))?;
            run.write_recipe(recipe)?;
        }
        Ok(run)
    }

    /// Opens the directory of a branch, beginning the branch when it is not there.
    ///
    /// # Errors
    /// As [`Self::open`] and [`Origin::check`]; when the directory holds something else.
    pub fn branch(path: &Path, recipe: &Recipe, origin: &Origin) -> Result<Self> {
        if !origin.is_begun(path) {
            return branch::begin(path, recipe, origin);
        }
        let link = manifest::branch_of(&manifest::read(path)?)?;
        ensure!(
            link.as_ref().is_some_and(|link| origin.is(link)),
            UsageError(anyhow!(
                "{} holds {}; choose another --run-dir",
                path.display(),
                link.map_or("a run that is no branch".to_owned(), |link| {
                    format!("a branch of {}@{}", link.run.display(), link.round)
                })
            ))
        );
        let run = Self::open(path, recipe)?;
        branch::tell_source(path);
        Ok(run)
    }

    /// Checks that what the rounds hold would have come about under this recipe, too, and writes down what it changes.
    fn go_on(&self, recipe: &Recipe) -> Result<()> {
        let here = self.path.display();
        manifest::read(&self.path)?;
        // As a recipe, and not as the text that it is: keys that came since have their defaults.
        let before = recipe::load(Some(&self.path.join(RECIPE)), &[])?;
        let changes = Change::all(&table(&before)?, &table(recipe)?);
        if changes.is_empty() {
            return Ok(());
        }
        if let Some(change) = changes.iter().find(|change| !change.may_go_on()) {
            bail!(UsageError(anyhow!(
                "{here} holds a run of another recipe: {change}; choose another --run-dir, remove it, or begin a branch of it \
                 with --from {here}@ROUND"
            )));
        }
        let (count, begun) = (recipe.rounds.count, self.last_round(|_| true).unwrap_or(0));
        ensure!(
            begun <= count,
            UsageError(anyhow!(
                "{here} has begun round {begun}, and rounds.count = {count}: no round is taken back; write rounds.count = \
                 {begun} or more, or begin a branch with --from {here}@{count}"
            ))
        );
        let finished = self.last_round(is_done);
        manifest::add_change(&self.path, &changes, finished)?;
        self.write_recipe(recipe)
    }

    /// Writes down on which processor, and with which interpreter of steps' code, the run goes on from here; says so where it had others.
    ///
    /// # Errors
    /// When the manifest cannot be read or written.
    pub fn note_machine(&self, interpreter: Option<String>) -> Result<()> {
        manifest::note_machine(&self.path, interpreter)
    }

    fn write_recipe(&self, recipe: &Recipe) -> Result<()> {
        jsonl::write_file(&self.path.join(RECIPE), to_toml(recipe)?.as_bytes())
    }

    /// The last of the rounds from 0 on whose folder is there and passes.
    fn last_round(&self, passes: impl Fn(&Path) -> bool) -> Option<usize> {
        round_folders(&self.path).take_while(|folder| passes(folder)).count().checked_sub(1)
    }

    /// Where the run lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether no stage was begun.
    #[must_use]
    pub fn is_new(&self) -> bool {
        !self.round(0).exists()
    }

    /// Whether a round is done, but for further measures.
    #[must_use]
    pub fn is_done(&self, round: usize) -> bool {
        is_done(&self.round(round))
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
        self.further_stage(round, name, |done| {
            Ok(if done.is_some() { None } else { Some(work()?) })
        })
    }

    /// As [`Self::stage`], of a stage that can be done further: `work` is given the summary of what was done and returns what
    /// comes into its place, or nothing where nothing is left to do.
    ///
    /// # Errors
    /// As [`Self::stage`].
    pub fn further_stage(
        &self,
        round: usize,
        name: &str,
        work: impl FnOnce(Option<&Value>) -> Result<Option<Value>>,
    ) -> Result<Value> {
        let path = self.round(round).join(format!("{name}.json"));
        let done: Option<Value> = if path.exists() {
            let text = fs::read_to_string(&path)?;
            let read = serde_json::from_str(&text);
            Some(read.with_context(|| {
                format!("{} is damaged; remove it to redo the stage", path.display())
            })?)
        } else {
            None
        };
        status::stage(round, name);
        let start = Instant::now();
        let result = work(done.as_ref()).with_context(|| format!("round {round}, {name}"))?;
        let seconds = start.elapsed().as_secs_f64();
        let before = done.as_ref().and_then(|done| done[STAGE_SECONDS].as_f64());
        let mut summary = json!({ "schema": "espalier.metrics/1", "round": round, "stage": name });
        match (result, done) {
            (None, done) => return Ok(done.unwrap_or_default()),
            (Some(Value::Object(result)), _) => {
                if let Value::Object(summary) = &mut summary {
                    summary.extend(result);
                }
                summary[STAGE_SECONDS] = json!(before.unwrap_or(0.0) + seconds);
            }
            (Some(_), _) => {}
        }
        jsonl::write_file(&path, serde_json::to_string_pretty(&summary)?.as_bytes())?;
        // Those of later stages are not begun, but further measures of a finished round may have been cut short.
        self.remove_logs(round, |log| name == "evaluate" || !log.starts_with("evaluation"))?;
        Ok(summary)
    }

    /// Deletes the logs of a round that is done: one that a kill left between summary and removal, or of measures that are no longer
    /// asked for.
    ///
    /// # Errors
    /// When one cannot be deleted.
    pub fn remove_all_logs(&self, round: usize) -> Result<()> {
        self.remove_logs(round, |_| true)
    }

    /// Deletes logs, which stay until the summary of their stage is written: without it the stage is entered again.
    fn remove_logs(&self, round: usize, wanted: impl Fn(&str) -> bool) -> Result<()> {
        let folder = self.round(round);
        if !folder.exists() {
            return Ok(());
        }
        let cannot = || format!("cannot read {}", folder.display());
        for entry in fs::read_dir(&folder).with_context(cannot)? {
            let path = entry.with_context(cannot)?.path();
            let name = path.file_name().and_then(OsStr::to_str);
            if jsonl::is_log(&path) && name.is_some_and(&wanted) {
                jsonl::remove(&path)?;
            }
        }
        Ok(())
    }

    /// Rewrites `metrics.jsonl` from the summaries of all finished stages.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_metrics(&self, summaries: &[Value]) -> Result<()> {
        jsonl::write(&self.path.join("metrics.jsonl"), summaries)
    }
}

/// Refuses a folder that holds no run.
///
/// # Errors
/// Names it.
pub fn check_is_run(folder: &Path) -> Result<()> {
    ensure!(
        folder.join(RECIPE).exists(),
        UsageError(anyhow!("{} is no run directory: it has no {RECIPE}", folder.display()))
    );
    Ok(())
}

/// The folders of a run's rounds that are there, from round 0 on.
pub fn round_folders(run: &Path) -> impl Iterator<Item = PathBuf> {
    let rounds = run.join("rounds");
    (0..)
        .map(move |round: usize| rounds.join(round.to_string()))
        .take_while(|folder| folder.exists())
}

/// Whether the round of this folder is done.
fn is_done(round: &Path) -> bool {
    round.join("evaluate.json").exists()
}

/// The name of a round's training problems in the problems folder.
pub(crate) fn training_file(round: usize) -> String {
    format!("round-{round}")
}

/// Refuses to begin a run inside the directory of another, whose files it would lie among.
fn refuse_inside_a_run(path: &Path) -> Result<()> {
    let place = in_full(path);
    let is_run = |folder: &&Path| folder.join(RECIPE).exists() && manifest::is_there(folder);
    let run = place.ancestors().skip(1).find(is_run);
    ensure!(
        run.is_none(),
        UsageError(anyhow!(
            "{} lies in the run directory {}; choose another --run-dir",
            path.display(),
            run.unwrap_or(&place).display()
        ))
    );
    Ok(())
}

/// Holds a directory against other processes, until the file is dropped.
///
/// # Errors
/// When another process holds it, or it cannot be written.
pub fn lock(path: &Path) -> Result<File> {
    let lock_path = path.join(".lock");
    let mut lock = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&lock_path)
        .with_context(|| format!("cannot create {}", lock_path.display()))?;
    match lock.try_lock() {
        Ok(()) => {
            let told = lock.set_len(0).and_then(|()| writeln!(lock, "{}", process::id()));
            told.with_context(|| format!("cannot write {}", lock_path.display()))?;
            Ok(lock)
        }
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            // Only for the message; the lock itself says enough.
            let _ = lock.read_to_string(&mut holder);
            let holder = holder.trim();
            let holder =
                if holder.is_empty() { String::new() } else { format!(" (process {holder})") };
            bail!("{} is in use by another espalier program{holder}", path.display());
        }
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("cannot lock {}", path.display()))
        }
    }
}

/// The key of a stage's wall time in its summary: of the process that finished it, and of those that did it further.
const STAGE_SECONDS: &str = "stage_seconds";

/// The recipe's file in a run directory.
const RECIPE: &str = "recipe.toml";

/// A recipe as the table that its file is.
fn table(recipe: &Recipe) -> Result<Table> {
    Ok(to_toml(recipe)?.parse()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_belongs_to_one_recipe_and_one_process() {
        let folder = tempfile::tempdir().unwrap();
        let recipe = recipe::load(None, &[]).unwrap();
        let run = RunDir::open(folder.path(), &recipe).unwrap();
        let error = RunDir::open(folder.path(), &recipe).unwrap_err().to_string();
        assert!(error.contains(&format!("(process {})", process::id())), "{error}");
        drop(run);
        RunDir::open(folder.path(), &recipe).unwrap();
        let mut other_machine = recipe.clone();
        other_machine.compute.threads = 7;
        RunDir::open(folder.path(), &other_machine).unwrap();
        let other = Recipe { seed: 2, ..recipe };
        let error = RunDir::open(folder.path(), &other).unwrap_err().to_string();
        assert!(error.contains("another recipe: seed is 1 there and 2 here"), "{error}");
        assert!(error.contains("--from"), "{error}");
    }

    #[test]
    fn a_run_goes_on_under_its_recipe_of_now_and_the_manifest_says_what_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let mut recipe = recipe::load(None, &[]).unwrap();
        let open = |recipe: &Recipe| RunDir::open(folder.path(), recipe).map(drop);
        open(&recipe).unwrap();
        for round in 0..=4 {
            fs::create_dir_all(folder.path().join(format!("rounds/{round}"))).unwrap();
        }
        fs::write(folder.path().join("rounds/0/evaluate.json"), "{}").unwrap();
        recipe.rounds.count = 2;
        let error = open(&recipe).unwrap_err().to_string();
        assert!(error.contains("begun round 4") && error.contains("@2"), "{error}");
        recipe.rounds.count = 5;
        open(&recipe).unwrap();
        open(&recipe).unwrap();
        let kept = recipe::load(Some(&folder.path().join(RECIPE)), &[]).unwrap();
        assert_eq!(kept.rounds.count, 5);
        let manifest = manifest::read(folder.path()).unwrap();
        let history = manifest["history"].as_array().unwrap();
        assert_eq!(history.len(), 1);
        assert_eq!(history[0]["changes"][0], json!({"key": "rounds.count", "before": 3, "now": 5}));
        assert_eq!(history[0]["last_finished_round"], 0);
        assert_eq!(history[0]["espalier"], manifest["espalier"]);
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

    #[test]
    fn a_log_stays_until_the_summary_of_its_stage_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let run = RunDir::open(folder.path(), &Recipe::default()).unwrap();
        let log = |name: &str| run.round(1).join(format!("{name}.jsonl.log"));
        let begin = |name: &str| fs::write(log(name), "").unwrap();
        run.stage(1, "search", || Ok(json!({}))).unwrap();
        begin("gate");
        begin("evaluation");
        // A later stage was cut short: those that are done leave it alone.
        run.stage(1, "search", || panic!("done already")).unwrap();
        assert!(log("gate").exists());
        run.stage(1, "gate", || Ok(json!({}))).unwrap();
        assert!(!log("gate").exists() && log("evaluation").exists());
        run.stage(1, "evaluate", || Ok(json!({}))).unwrap();
        assert!(!log("evaluation").exists());
        begin("trees");
        run.remove_all_logs(1).unwrap();
        assert!(!log("trees").exists());
    }
}
