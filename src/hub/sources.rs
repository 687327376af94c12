//! What is pushed of a run directory, a checkpoint or a file of labels.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail, ensure};
use clap::ValueEnum;

use super::dataset_card::{DatasetCard, Labels};
use super::model_card::{self, OfRun};
use super::parcel::{Item, Parcel, model_files};
use super::repository::{Kind, Licence};
use crate::jsonl;
use crate::pipeline::Verdict;
use crate::place::in_full;
use crate::recipe::Recipe;
use crate::run_dir::{is_run, last_finished, recipe_of};
use crate::usage::UsageError;

/// A part of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum What {
    /// The net, for a model repository.
    Checkpoint,
    /// The labelled solutions of the rounds, for a dataset repository.
    Labels,
}

/// What of a place is pushed.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// A run directory, the folder of a checkpoint, or a file of labelled solutions.
    pub place: &'a Path,
    /// Of a run: the round; absent: the last finished one, and of the nets the one that its gate kept.
    pub round: Option<usize>,
    /// Of a run: the part; absent: all that the round has.
    pub what: Option<What>,
    /// What the cards say.
    pub licence: &'a Licence,
}

/// The parcels for what is wanted: of a run the net first, then the labels.
///
/// # Errors
/// When the place is none of the three or has nothing to push, a file is not what was written, or cannot be read.
pub fn parcels(wanted: &Wanted<'_>) -> Result<Vec<Parcel>> {
    let Wanted { place, round, what, .. } = *wanted;
    if is_run(place) {
        return of_run(wanted);
    }
    let here = place.display();
    if !place.exists() {
        bail!(UsageError(anyhow!("{here} is not there")));
    }
    let kind = if place.is_dir() { What::Checkpoint } else { What::Labels };
    ensure!(
        round.is_none() && what.is_none_or(|what| what == kind),
        UsageError(anyhow!("{here} is no run directory: leave --round and --what out"))
    );
    if kind == What::Labels {
        return Ok(vec![of_file(wanted)?]);
    }
    match round_of(place) {
        // A run's own checkpoint, whose card can tell more.
        Some((run, round)) => {
            let (round, what) = (Some(round), Some(What::Checkpoint));
            of_run(&Wanted { place: &run, round, what, ..*wanted })
        }
        None => Ok(vec![model(place, None, wanted.licence)?]),
    }
}

/// The run and the round of a checkpoint `RUN/rounds/N/checkpoint`.
fn round_of(checkpoint: &Path) -> Option<(PathBuf, usize)> {
    let place = in_full(checkpoint);
    let folder = place.parent().filter(|_| place.ends_with("checkpoint"))?;
    let round = folder.file_name()?.to_str()?.parse().ok()?;
    let rounds = folder.parent().filter(|rounds| rounds.ends_with("rounds"))?;
    let run = rounds.parent().filter(|run| is_run(run))?;
    Some((run.to_owned(), round))
}

fn of_run(wanted: &Wanted<'_>) -> Result<Vec<Parcel>> {
    let Wanted { place: run, what, licence, .. } = *wanted;
    let recipe = recipe_of(run)?;
    let round = finished_round(run, wanted.round)?;
    let mut parcels = Vec::new();
    if what != Some(What::Labels) {
        let net = if wanted.round.is_some() { round } else { kept_net(run, round)? };
        let folder = run.join(format!("rounds/{net}/checkpoint"));
        ensure!(
            folder.exists(),
            UsageError(anyhow!(
                "{} does not keep the net of round {net} (rounds.keep.checkpoints); name another --round, or push --what labels alone",
                run.display()
            ))
        );
        let of_run = OfRun { run, recipe: &recipe, round: net, after: round };
        parcels.push(model(&folder, Some(&of_run), licence)?);
    }
    if what != Some(What::Checkpoint) {
        match labels(run, &recipe, round, licence)? {
            Some(parcel) => parcels.push(parcel),
            None => ensure!(
                what.is_none(),
                UsageError(anyhow!("{}: round {round} has no labels to push", run.display()))
            ),
        }
    }
    Ok(parcels)
}

fn finished_round(run: &Path, asked: Option<usize>) -> Result<usize> {
    let (here, last) = (run.display(), last_finished(run));
    let fault = match (asked, last) {
        (None, Some(last)) => return Ok(last),
        (Some(round), Some(last)) if round <= last => return Ok(round),
        (Some(round), _) if run.join(format!("rounds/{round}")).exists() => {
            anyhow!("round {round} of {here} is not finished; run it to its end first")
        }
        (Some(round), Some(last)) => {
            anyhow!("{here} has no round {round}; its last finished one is round {last}")
        }
        (_, None) => anyhow!("{here} has no finished round: there is nothing to push yet"),
    };
    Err(UsageError(fault).into())
}

/// The round whose net a round leaves to the next.
fn kept_net(run: &Path, round: usize) -> Result<usize> {
    let path = run.join(format!("rounds/{round}/gate.json"));
    if !path.exists() {
        return Ok(round);
    }
    let read = || -> Result<Verdict> { Ok(serde_json::from_slice(&fs::read(&path)?)?) };
    Ok(read().with_context(|| format!("{} cannot be read", path.display()))?.net)
}

fn model(folder: &Path, of_run: Option<&OfRun<'_>>, licence: &Licence) -> Result<Parcel> {
    let mut items = model_files(folder)?;
    if !items.iter().any(|item| item.path == CARD) {
        items.push(Item::bytes(CARD, model_card::write(folder, of_run, licence)?));
    }
    let summary = match of_run {
        Some(OfRun { recipe, round, .. }) => format!("Round {round} of {}", recipe.name),
        None => "A checkpoint".to_owned(),
    };
    let round = of_run.map(|of_run| of_run.round);
    Ok(Parcel { kind: Kind::Model, round, summary: signed(&summary), items })
}

/// The labels of a run's rounds up to one; nothing where they have none.
fn labels(run: &Path, recipe: &Recipe, round: usize, licence: &Licence) -> Result<Option<Parcel>> {
    let file = |round: usize, name: &str| format!("rounds/{round}/{name}.jsonl");
    let there = |name: &str| -> Vec<usize> {
        (1..=round).filter(|&round| run.join(file(round, name)).exists()).collect()
    };
    let (solutions, stepwise) = (there("labels"), there("stepwise"));
    if solutions.is_empty() {
        return Ok(None);
    }
    let names = solutions.iter().map(|&round| file(round, "labels"));
    let names: Vec<String> =
        names.chain(stepwise.iter().map(|&round| file(round, "stepwise"))).collect();
    jsonl::verify_sums(run, |name| names.iter().any(|wanted| wanted == name))?;
    let mut card = DatasetCard::of_run(recipe, round);
    let mut items = Vec::new();
    for round in solutions {
        let (split, path) = (format!("round_{round}"), format!("data/round-{round}.jsonl"));
        let source = run.join(file(round, "labels"));
        card.solutions.push(Labels::read(split, path.clone(), &source)?);
        items.push(Item::file(path, &source)?);
    }
    for round in stepwise {
        let path = format!("stepwise/round-{round}.jsonl");
        card.stepwise.push((format!("round_{round}"), path.clone()));
        items.push(Item::file(path, &run.join(file(round, "stepwise")))?);
    }
    items.push(Item::bytes(CARD, card.write(licence)));
    let summary = signed(&format!("Labels of {} up to round {round}", recipe.name));
    Ok(Some(Parcel { kind: Kind::Dataset, round: Some(round), summary, items }))
}

fn of_file(wanted: &Wanted<'_>) -> Result<Parcel> {
    let path = "data/train.jsonl";
    let labels = Labels::read("train".to_owned(), path.to_owned(), wanted.place)
        .with_context(|| format!("{} holds no labelled solutions", wanted.place.display()))?;
    let card = DatasetCard { solutions: vec![labels], ..DatasetCard::default() };
    let items =
        vec![Item::file(path, wanted.place)?, Item::bytes(CARD, card.write(wanted.licence))];
    Ok(Parcel { kind: Kind::Dataset, round: None, summary: signed("Labels"), items })
}

/// A repository's card.
const CARD: &str = "README.md";

fn signed(summary: &str) -> String {
    format!("{summary}, pushed with espalier {}", env!("CARGO_PKG_VERSION"))
}
