//! What of a run goes to a Hub: a round's net for a model repository and its labels for one of data, each with a card. Nothing is sent
//! here.

mod cards;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, ensure};

use crate::place::name_of;
use crate::run_dir::check_is_run;
use crate::usage::UsageError;

/// What is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Published {
    /// A round's net, as a model repository.
    Checkpoint,
    /// The step labels that the round's search gave, as a data set.
    Labels,
}

/// The files of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parcel {
    /// What they are.
    pub published: Published,
    /// Of which round.
    pub round: usize,
    /// Files here, by where they are to lie.
    pub files: Vec<(String, PathBuf)>,
    /// `README.md`.
    pub card: String,
    /// Of the commit.
    pub message: String,
}

/// What training goes on from, and the sums that name it.
const OF_TRAINING: [&str; 3] = ["checksums.json", "optimizer.safetensors", "trainer_state.json"];

/// Packs what is published of a run's round; of its last trained one where none is named.
///
/// # Errors
/// When there is no such run or round, or its files are gone.
pub fn parcel(run: &Path, round: Option<usize>, published: Published) -> Result<Parcel> {
    check_is_run(run)?;
    let folder = |round: usize| run.join("rounds").join(round.to_string());
    let done = |round: usize| {
        let summary = if round == 0 { "pretrain.json" } else { "train.json" };
        folder(round).join(summary).exists()
    };
    let last = (0..).take_while(|&round| done(round)).last();
    let round = match (round, last) {
        (Some(round), _) if done(round) => round,
        (Some(round), _) => {
            return Err(
                UsageError(anyhow!("round {round} of {} is not trained", run.display())).into()
            );
        }
        (None, Some(last)) => last,
        (None, None) => return Err(UsageError(anyhow!("{} has no net yet", run.display())).into()),
    };
    let place = folder(round);
    let files = match published {
        Published::Checkpoint => checkpoint(&place.join("checkpoint"))?,
        Published::Labels => labels(&place, round)?,
    };
    let name = name_of(run).unwrap_or_else(|| run.display().to_string());
    Ok(Parcel {
        published,
        round,
        files,
        card: cards::card(run, &name, round, published)?,
        message: format!("{name}, round {round}"),
    })
}

fn checkpoint(folder: &Path) -> Result<Vec<(String, PathBuf)>> {
    let gone = || format!("{} is not there; rounds.keep may have removed it", folder.display());
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).with_context(gone)? {
        let entry = entry.with_context(gone)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        // Nets have no folders, and a card of another time would be in ours' place.
        if entry.path().is_file() && name != "README.md" && !OF_TRAINING.contains(&&*name) {
            files.push((name, entry.path()));
        }
    }
    files.sort();
    ensure!(!files.is_empty(), "{} is empty", folder.display());
    Ok(files)
}

fn labels(folder: &Path, round: usize) -> Result<Vec<(String, PathBuf)>> {
    ensure!(
        round > 0,
        UsageError(anyhow!("round 0 has no labels: its net is the one that the first search asks"))
    );
    let names = ["labels.jsonl", "stepwise.jsonl"];
    let files = names.map(|name| (name.to_owned(), folder.join(name)));
    for (_, file) in &files {
        ensure!(file.exists(), "{} is not there; rounds.keep may have removed it", file.display());
    }
    Ok(files.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_trained_round_is_taken_and_what_is_missing_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path().join("mine");
        let told = |round, published| parcel(&run, round, published).unwrap_err().to_string();
        fs::create_dir_all(run.join("rounds/0/checkpoint")).unwrap();
        fs::create_dir_all(run.join("rounds/1/checkpoint")).unwrap();
        assert!(told(None, Published::Checkpoint).contains("no run directory"));
        fs::write(run.join("recipe.toml"), "name = \"countdown\"\n").unwrap();
        assert!(told(None, Published::Checkpoint).contains("has no net yet"));
        fs::write(run.join("rounds/0/pretrain.json"), "{}").unwrap();
        assert!(told(None, Published::Checkpoint).contains("is empty"));
        assert!(told(None, Published::Labels).contains("round 0 has no labels"));
        assert!(told(Some(1), Published::Labels).contains("round 1 of"));
        fs::write(run.join("rounds/1/train.json"), "{}").unwrap();
        assert!(told(None, Published::Labels).contains("labels.jsonl is not there"));
        for file in ["config.json", "model.safetensors", "README.md", "optimizer.safetensors"] {
            fs::write(run.join("rounds/1/checkpoint").join(file), "x").unwrap();
        }
        let parcel = parcel(&run, None, Published::Checkpoint).unwrap();
        let names: Vec<&str> = parcel.files.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!((parcel.round, names), (1, vec!["config.json", "model.safetensors"]));
        assert_eq!(parcel.message, "mine, round 1");
        assert!(parcel.card.starts_with("---\n") && parcel.card.contains("# mine, round 1"));
    }
}
