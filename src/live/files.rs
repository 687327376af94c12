//! What the page of a growing run reads of its directory.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use espalier_search::TreeRecord;
use serde_json::{Value, json};

use crate::jsonl;
use crate::page::{self, Page, Tree};
use crate::report::check_tree;
use crate::run_dir::round_folders;
use crate::status::{self, Status};

/// Most trees in one answer.
const TREES: usize = 20;

/// The report so far; before the first evaluated round its frame alone.
pub(super) fn page(run: &Path) -> Result<Page> {
    if run.join("rounds/0/evaluate.json").exists() {
        return page::report(&[run.to_owned()]);
    }
    page::unmeasured(run)
}

/// What the run is at, and by which numbers its page and its last tree are called: others say that there is something new.
pub(super) fn status(run: &Path) -> Result<Value> {
    let status = Status::read(run)?;
    let silent = status.as_ref().is_some_and(Status::is_silent);
    let age = status.as_ref().map(Status::age);
    let [summaries, tree] = [version(&summaries(run))?, version(&[status::tree_file(run)])?]
        .map(|hash| format!("{hash:x}"));
    Ok(json!({ "status": status, "silent": silent, "age": age, "page": summaries, "tree": tree }))
}

/// The last tree of a running search.
pub(super) fn last_tree(run: &Path) -> Result<Value> {
    let Some(tree) = status::last_tree(run)? else { return Ok(Value::Null) };
    check_tree(&tree).map_err(anyhow::Error::msg)?;
    Ok(serde_json::to_value(Tree::new(&tree, "last"))?)
}

/// Files of trees: their names, as `rounds/1/trees.jsonl`.
pub(super) fn tree_files(run: &Path) -> Vec<String> {
    let names = |round: usize| {
        ["trees", "probe"].map(|name| format!("rounds/{round}/{name}.jsonl")).into_iter()
    };
    let rounds = 0..round_folders(run).count();
    rounds.flat_map(names).filter(|name| run.join(name).exists()).collect()
}

/// Trees of a file, from one on, and whether more follow.
pub(super) fn trees(run: &Path, file: &str, from: usize) -> Result<Value> {
    // Names that are not of this list are not looked at, wherever they may lead.
    ensure!(tree_files(run).iter().any(|name| name == file), "{file} is no file of trees");
    let place = run.join(file);
    let (mut shown, mut more) = (Vec::new(), false);
    for (index, tree) in jsonl::Rows::<TreeRecord>::open(&place)?.enumerate() {
        if shown.len() == TREES {
            more = true;
            break;
        }
        if index >= from {
            let (_, tree) = tree?;
            check_tree(&tree).map_err(anyhow::Error::msg).with_context(|| file.to_owned())?;
            shown.push(Tree::new(&tree, file));
        }
    }
    Ok(json!({ "trees": shown, "from": from, "more": more }))
}

/// The summaries of finished stages, and what is at the end.
fn summaries(run: &Path) -> Vec<PathBuf> {
    let mut files = vec![run.join("recipe.toml"), run.join("manifest.json")];
    for folder in round_folders(run) {
        files.extend(
            ["pretrain", "search", "harvest", "train", "gate", "probe", "evaluate"]
                .map(|stage| folder.join(format!("{stage}.json"))),
        );
    }
    files
}

/// A number that changes with the files.
fn version(files: &[PathBuf]) -> Result<u64> {
    let mut hash = DefaultHasher::new();
    for file in files {
        let Ok(found) = fs::metadata(file) else { continue };
        (file, found.len(), found.modified()?).hash(&mut hash);
    }
    Ok(hash.finish())
}
