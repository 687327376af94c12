//! A branch: a run whose first rounds are those of another one.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, Error, Result, anyhow, bail, ensure};
use serde_json::Value;

use super::changes::Change;
use super::manifest::{self, Link};
use super::{RECIPE, RunDir, last_finished, lock, refuse_inside_a_run, table, training_file};
use crate::jsonl;
use crate::place::in_full;
use crate::recipe::{self, Recipe};
use crate::usage::{UsageError, told};

/// The source's recipe in a branch, as it was when the branch began: what `--set` changes when the same command starts it again.
const SOURCE: &str = "source.toml";

/// The round of a run from which a branch begins: `RUN@ROUND`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The run directory.
    run: PathBuf,
    /// The last round that is taken over.
    round: usize,
}

impl FromStr for Origin {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let parts = text.rsplit_once('@').filter(|(run, _)| !run.is_empty());
        let round = parts.and_then(|(run, round)| Some((run, round.parse().ok()?)));
        let (run, round) = round.with_context(|| {
            format!("{text:?} is no round of a run: write RUN@ROUND, as in runs/countdown-s1@2")
        })?;
        Ok(Self { run: PathBuf::from(run), round })
    }
}

impl Origin {
    /// Where a branch lies by default: beside the run that it comes from.
    #[must_use]
    pub fn run_dir(&self) -> PathBuf {
        // `.` has no name of its own.
        let run = if self.run.file_name().is_some() { self.run.clone() } else { self.place() };
        let mut name = run.file_name().unwrap_or_default().to_owned();
        name.push(format!("-from-{}", self.round));
        run.with_file_name(name)
    }

    /// The recipe that a branch's settings change.
    ///
    /// # Errors
    /// When there is no run.
    pub fn recipe(&self, branch: &Path) -> Result<PathBuf> {
        let files = [branch.join(SOURCE), self.run.join(RECIPE)];
        let found = files.into_iter().find(|file| file.exists());
        found.with_context(|| format!("--from: there is no run in {}", self.run.display()))
    }

    /// Whether a run is there already, this branch or another run.
    #[must_use]
    pub fn is_begun(&self, branch: &Path) -> bool {
        branch.join(RECIPE).exists()
    }

    /// Checks that the round is there and that a branch of this recipe can begin with it.
    ///
    /// # Errors
    /// When it is not, or what would be taken over could not have come about under the recipe.
    pub fn check(&self, recipe: &Recipe) -> Result<()> {
        self.changes(recipe).map(drop)
    }

    /// How a branch's recipe differs from that of the run.
    fn changes(&self, recipe: &Recipe) -> Result<Vec<Change>> {
        let (run, round) = (self.run.display(), self.round);
        manifest::read(&self.run).with_context(|| format!("--from: {run} is no run"))?;
        let folder = |round: usize| self.run.join("rounds").join(round.to_string());
        match last_finished(&self.run) {
            Some(last) if round <= last => {}
            _ if folder(round).exists() => {
                bail!("--from: round {round} of {run} is not finished; run it to its end first");
            }
            Some(last) => bail!("--from: {run} has no round {round}; its last is round {last}"),
            None => bail!("--from: {run} has no finished round"),
        }
        let has_net = |round: usize| folder(round).join("checkpoint").exists();
        let net = self.net();
        if !has_net(net) {
            let there = (0..=net).filter(|&round| has_net(round)).map(|round| round.to_string());
            bail!(
                "--from: {run} does not keep the net of round {net} (rounds.keep.checkpoints); of the rounds before it keeps those of {}",
                there.collect::<Vec<_>>().join(", ")
            );
        }
        let source = recipe::load(Some(&self.run.join(RECIPE)), &[])?;
        let changes = Change::all(&table(&source)?, &table(recipe)?);
        if let Some(change) = changes.iter().find(|change| !change.may_branch()) {
            bail!(
                "--from: the rounds of {run} were made otherwise: {change}; a branch keeps this setting"
            );
        }
        let count = recipe.rounds.count;
        ensure!(
            round <= count,
            "--from: rounds.count = {count} ends before round {round}, which the branch begins with"
        );
        Ok(changes)
    }

    /// The round whose net the branch goes on from: the one that the gate kept, where there is a gate.
    fn net(&self) -> usize {
        let gate = self.run.join("rounds").join(self.round.to_string()).join("gate.json");
        let verdict = fs::read(gate).ok().and_then(|text| serde_json::from_slice(&text).ok());
        let kept = verdict.and_then(|verdict: Value| verdict["net"].as_u64());
        kept.map_or(self.round, |net| net as usize)
    }

    /// Whether a file of the run, by its name from there on, may be of the branch.
    fn takes_over(&self, file: &str) -> bool {
        let round = file.strip_prefix("rounds/").and_then(|rest| rest.split('/').next());
        round.is_none_or(|round| round.parse().is_ok_and(|round: usize| round <= self.round))
    }

    /// The run directory in full.
    fn place(&self) -> PathBuf {
        in_full(&self.run)
    }

    /// Whether a branch began here.
    pub(super) fn is(&self, link: &Link) -> bool {
        (self.place(), self.round) == (link.run.clone(), link.round)
    }
}

/// Begins a branch. It is made beside its place (`*.partial`), so that it is there whole or not at all.
pub(super) fn begin(path: &Path, recipe: &Recipe, origin: &Origin) -> Result<RunDir> {
    let changes = origin.changes(recipe)?;
    jsonl::verify_sums(&origin.run, |name| origin.takes_over(name))?;
    refuse_inside_a_run(path)?;
    refuse_full(path)?;
    let count = recipe.rounds.count;
    if origin.round == count {
        tracing::warn!(
            "rounds.count = {count}: the branch has no round of its own; write --set rounds.count={} or more",
            count + 1
        );
    }
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".partial");
    let partial = path.with_file_name(name);
    let cannot = |path: &Path| format!("cannot write {}", path.display());
    fs::create_dir_all(&partial).with_context(|| cannot(&partial))?;
    let lock = lock(&partial)?;
    for folder in ["problems", "rounds"].map(|folder| partial.join(folder)) {
        // What a process left that was killed here.
        if folder.exists() {
            fs::remove_dir_all(&folder).with_context(|| cannot(&folder))?;
        }
    }
    take_over(origin, &changes, &partial)?;
    jsonl::cover_sums(&partial)?;
    let link = Link { run: origin.place(), round: origin.round, changes };
    let mut manifest = manifest::manifest(recipe.seed);
    manifest["branch_of"] = serde_json::to_value(link)?;
    manifest::write(&partial, &manifest)?;
    let run = RunDir { path: path.to_owned(), _lock: lock };
    jsonl::write_file(&partial.join(SOURCE), &fs::read(origin.run.join(RECIPE))?)?;
    jsonl::write_file(&partial.join(RECIPE), recipe::to_toml(recipe)?.as_bytes())?;
    fs::rename(&partial, path)
        .with_context(|| format!("cannot put the branch into {}", path.display()))?;
    tracing::info!("rounds 0 to {} of {} are taken over", origin.round, origin.run.display());
    tell_source(path);
    Ok(run)
}

/// Refuses a place where something else is than an empty folder.
fn refuse_full(path: &Path) -> Result<()> {
    let empty = fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none());
    ensure!(
        empty || !path.exists(),
        UsageError(anyhow!(
            "{} holds something else than a run; choose another --run-dir",
            path.display()
        ))
    );
    Ok(())
}

/// Names a branch in the manifest of its source. A source that is gone or cannot be written is none of the branch's business.
pub(super) fn tell_source(branch: &Path) {
    let tell = || -> Result<()> {
        let link = manifest::branch_of(&manifest::read(branch)?)?;
        let link = link.context("manifest.json: `branch_of` is missing")?;
        let source = link.run.clone();
        manifest::add_branch(&source, &Link { run: in_full(branch), ..link })
    };
    if let Err(error) = tell() {
        tracing::warn!("the source of the branch does not list it: {}", told(&error));
    }
}

/// Puts the finished rounds of the origin into a folder, and their problems. What was measured in another way than the branch
/// measures is left out: the branch measures those nets itself.
fn take_over(origin: &Origin, changes: &[Change], into: &Path) -> Result<()> {
    let evaluation = changes.iter().all(Change::keeps_evaluation);
    let gate = changes.iter().all(Change::keeps_gate);
    let probe = changes.iter().all(Change::keeps_probe);
    let is_of = |name: &str, stage: &str| {
        name.strip_prefix(stage).is_some_and(|rest| rest.starts_with(['.', '-']))
    };
    let wanted = |name: &str| {
        let left = [
            (evaluation, "evaluate"),
            (evaluation, "evaluation"),
            (gate, "gate"),
            (probe, "probe"),
        ];
        // What is being written has a part or a log of its own.
        !name.ends_with(".partial")
            && !name.ends_with(".log")
            && left.iter().all(|(kept, stage)| *kept || !is_of(name, stage))
    };
    for round in (0..=origin.round).map(|round| Path::new("rounds").join(round.to_string())) {
        copy_folder(&origin.run.join(&round), &into.join(&round), &wanted)?;
    }
    let numbers = 1..=origin.round;
    let problems: Vec<String> = numbers.map(|round| training_file(round) + ".jsonl").collect();
    let wanted = |name: &str| {
        problems.iter().any(|file| file == name)
            || evaluation && is_of(name, "test")
            || gate && is_of(name, "validation")
            || probe && is_of(name, "probe")
    };
    copy_folder(&origin.run.join("problems"), &into.join("problems"), &wanted)
}

/// Links the files whose names are wanted, or copies them where they cannot be linked. A run's files are never changed where they
/// lie: new ones come into their places.
fn copy_folder(from: &Path, to: &Path, wanted: &dyn Fn(&str) -> bool) -> Result<()> {
    let cannot = |path: &Path| format!("cannot take over {}", path.display());
    fs::create_dir_all(to).with_context(|| format!("cannot create {}", to.display()))?;
    for entry in fs::read_dir(from).with_context(|| cannot(from))? {
        let name = entry.with_context(|| cannot(from))?.file_name();
        let Some(plain) = name.to_str().filter(|name| wanted(name)) else { continue };
        let (from, to) = (from.join(plain), to.join(plain));
        if from.is_dir() {
            copy_folder(&from, &to, wanted)?;
        } else if fs::hard_link(&from, &to).is_err() {
            let copy = || {
                fs::copy(&from, &to)?;
                File::open(&to)?.sync_all()
            };
            copy().map_err(|error| anyhow!(error)).with_context(|| cannot(&from))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_a_run_and_a_round() {
        let origin: Origin = "a@b/run@12".parse().unwrap();
        assert_eq!((origin.run.to_str().unwrap(), origin.round), ("a@b/run", 12));
        assert_eq!(origin.run_dir(), Path::new("a@b/run-from-12"));
        assert_eq!("run@0".parse::<Origin>().unwrap().run_dir(), Path::new("run-from-0"));
        for wrong in ["run", "@1", "run@", "run@-1", "run@x", "run@1.5", ""] {
            let error = wrong.parse::<Origin>().unwrap_err().to_string();
            assert!(error.contains("RUN@ROUND"), "{error}");
        }
    }
}
