//! Files of earlier versions. Records say their form and version ([`espalier_search::Form`]); those of version 1 are read as they
//! are, and `espalier upgrade` rewrites them in the newest form and converts run directories.

mod keys;

pub use keys::{refuse_old_keys, rename_old_keys};

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use espalier_search::{LabelledSolution, SOLUTION_SCHEMA, TREE_SCHEMA, TreeRecord};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use toml::Table;

use crate::jsonl::{self, Rows, Writer};
use crate::recipe::{self, BootstrapKind};
use crate::run_dir::{self, MANIFEST_FORM};

/// Converts a file of trees or labels, or a run directory, and says what was done; nothing where all is of the newest form.
///
/// # Errors
/// When the path is none of these, is of a form that is too new, or cannot be read or written.
pub fn upgrade(path: &Path) -> Result<Vec<String>> {
    if path.is_dir() {
        return run_directory(path);
    }
    Ok(records(path)?.into_iter().collect())
}

/// The schema of a row, whatever else it holds.
#[derive(Deserialize)]
struct Schema {
    schema: String,
}

/// Rewrites a file of trees or labels.
fn records(path: &Path) -> Result<Option<String>> {
    let mut kind = None;
    let mut old = false;
    for row in Rows::<Schema>::open(path)?.rows() {
        let schema = row.context("neither trees nor labels, nor a run directory")?.schema;
        let name = schema.split('/').next().unwrap_or_default().to_owned();
        let newest = [TREE_SCHEMA, SOLUTION_SCHEMA]
            .into_iter()
            .find(|newest| newest.split('/').next() == Some(&name))
            .with_context(|| {
                format!("{}: {schema:?} is neither a tree nor a label", path.display())
            })?;
        old |= schema != newest;
        ensure!(
            kind.get_or_insert(newest) == &newest,
            "{} holds records of several kinds",
            path.display()
        );
    }
    match kind {
        None => bail!("{} holds no records", path.display()),
        Some(_) if !old => return Ok(None),
        Some(TREE_SCHEMA) => rewrite::<TreeRecord>(path)?,
        Some(_) => rewrite::<LabelledSolution>(path)?,
    }
    Ok(Some(format!("{}: rewritten as {}", path.display(), kind.unwrap_or_default())))
}

fn rewrite<T: Serialize + DeserializeOwned>(path: &Path) -> Result<()> {
    let mut file = Writer::create(path)?;
    for row in Rows::<T>::open(path)?.rows() {
        file.row(&row?)?;
    }
    file.finish()
}

/// Converts a run directory. Its manifest is written last, so that an upgrade that was cut short is done again.
fn run_directory(path: &Path) -> Result<Vec<String>> {
    let (manifest_path, recipe_path) = (path.join("manifest.json"), path.join("recipe.toml"));
    let text = fs::read_to_string(&manifest_path)
        .with_context(|| format!("{} is not a run directory", path.display()))?;
    let mut manifest: Value = serde_json::from_str(&text)
        .with_context(|| format!("{} is damaged", manifest_path.display()))?;
    let schema = manifest["schema"].as_str().unwrap_or_default();
    if schema == MANIFEST_FORM.schema {
        return Ok(Vec::new());
    }
    ensure!(
        schema == run_dir::FIRST_MANIFEST,
        "{}: {schema:?} is no form that this version converts; the newest that it knows is {:?}",
        manifest_path.display(),
        MANIFEST_FORM.schema
    );
    let _lock = run_dir::lock(path)?;
    let mut done = Vec::new();
    let text = fs::read_to_string(&recipe_path)
        .with_context(|| format!("cannot read {}", recipe_path.display()))?;
    let mut table: Table =
        text.parse().with_context(|| format!("{} is damaged", recipe_path.display()))?;
    let renamed = rename_old_keys(&mut table).with_context(|| recipe_path.display().to_string())?;
    done.extend(renamed.into_iter().map(|key| format!("{}: {key}", recipe_path.display())));
    // Keys that came since get the defaults, which are as before.
    let mut recipe = recipe::parse(table, &[], &recipe_path.display().to_string())?;
    if recipe.bootstrap.kind == BootstrapKind::RandomLines {
        // Round 0's lines were of the problems of all rounds.
        let problems = recipe.rounds.problems.saturating_mul(recipe.rounds.count.max(1));
        recipe.bootstrap.problems = problems;
        done.push(format!("{}: bootstrap.problems is now {problems}", recipe_path.display()));
    }
    jsonl::write_file(&recipe_path, toml::to_string_pretty(&recipe)?.as_bytes())?;
    for round in 0..=recipe.rounds.count {
        let folder = path.join("rounds").join(round.to_string());
        for name in ["trees.jsonl", "labels.jsonl"] {
            let file = folder.join(name);
            if file.exists() {
                done.extend(records(&file)?);
            }
        }
        for log in unfinished(&folder)? {
            let aside = log.with_extension("log.old");
            fs::rename(&log, &aside).with_context(|| format!("cannot rename {}", log.display()))?;
            done.push(format!(
                "{}: set aside as {}; its stage begins again",
                log.display(),
                aside.display()
            ));
        }
    }
    manifest["schema"] = Value::from(MANIFEST_FORM.schema);
    jsonl::write_file(&manifest_path, serde_json::to_string_pretty(&manifest)?.as_bytes())?;
    done.push(format!("{}: now {}", manifest_path.display(), MANIFEST_FORM.schema));
    Ok(done)
}

/// Logs of stages that were cut short: they name their settings in the earlier form.
fn unfinished(folder: &Path) -> Result<Vec<PathBuf>> {
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let mut logs = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "log") {
            logs.push(path);
        }
    }
    logs.sort();
    Ok(logs)
}
