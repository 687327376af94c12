//! What a run will do, and how long that takes here: a small run of the same recipe, timed stage by stage and thrown away.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result};
use serde_json::Value;
use tracing::subscriber::NoSubscriber;

use super::dry_run::net;
use super::{Rounds, Told};
use crate::environment::AnyEnvironment;
use crate::feeds::{Feeds, FeedsRecipe};
use crate::recipe::{BootstrapKind, Recipe};
use crate::run_dir::RunDir;
use espalier_training::Parameters;

/// What the small run takes of each.
const LINES: usize = 1500;
const PROBLEMS: usize = 24;
const MEASURED: usize = 12;
/// A net of more numbers takes too long for a trial, and too much disk.
const LARGEST: usize = 1_000_000_000;

/// What was measured of the small run, and what that makes of the whole.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Forecast {
    /// Seconds that the run should take, within a factor of two: nets get better and solutions longer than the trial's, and problems
    /// differ.
    pub seconds: f64,
    /// Seconds that the trial took.
    pub trial_seconds: f64,
}

/// What comes, in a few lines.
#[must_use]
pub fn plan(recipe: &Recipe) -> String {
    let Recipe { rounds, bootstrap, evaluation, .. } = recipe;
    let first = match bootstrap.kind {
        BootstrapKind::RandomLines => {
            format!("its net reads {} random legal lines", bootstrap.lines)
        }
        BootstrapKind::Solutions => "its net reads worked solutions".to_owned(),
        BootstrapKind::Checkpoint => "its net is the pretrained one".to_owned(),
    };
    let trees = match rounds.trees_per_problem {
        1 => String::new(),
        trees => format!(", {trees} trees each"),
    };
    let probed = match &rounds.probe {
        Some(probe) => format!(", and {} validation problems are searched alike", probe.problems),
        None => String::new(),
    };
    format!(
        "round 0: {first}; then {} rounds, each a search of {} problems{trees}, labels, and training; after every round {} held-out \
         problems are answered in {} ways{probed}",
        rounds.count,
        rounds.problems,
        evaluation.problems,
        evaluation.decodings.len(),
    )
}

/// Runs the small run in a folder beside the run's own files and removes it. The run's results do not depend on it.
///
/// # Errors
/// When a stage fails, or a signal ends it; and when the net is too large for a trial.
pub fn forecast(environment: &AnyEnvironment, recipe: &Recipe, run: &RunDir) -> Result<Forecast> {
    let (config, ..) = net(recipe)?;
    anyhow::ensure!(
        Parameters::count_of(&config) <= LARGEST,
        "the net is too large for a trial; --dry-run says what it takes"
    );
    let trial = Trial::begin(run.path())?;
    let small = smaller(recipe);
    let begun = Instant::now();
    // Its log is not the run's.
    let stages = tracing::subscriber::with_default(NoSubscriber::default(), || {
        timed(environment, &small, &trial.folder)
    })?;
    let seconds = stages
        .iter()
        .map(|(round, stage, seconds)| seconds * factor(recipe, &small, *round, stage));
    Ok(Forecast { seconds: seconds.sum(), trial_seconds: begun.elapsed().as_secs_f64() })
}

/// The recipe with less of everything that costs time.
fn smaller(recipe: &Recipe) -> Recipe {
    let mut small = recipe.clone();
    let few = |count: &mut usize, most: usize| *count = (*count).min(most);
    few(&mut small.rounds.count, 1);
    few(&mut small.rounds.problems, PROBLEMS);
    small.rounds.curriculum = None;
    small.rounds.keep = None;
    few(&mut small.bootstrap.lines, LINES);
    if small.bootstrap.problems == 0 && small.bootstrap.kind == BootstrapKind::Solutions {
        small.bootstrap.problems = 4 * PROBLEMS;
    }
    few(&mut small.evaluation.problems, MEASURED);
    if let Some(gate) = &mut small.rounds.gate {
        few(&mut gate.problems, MEASURED);
    }
    if let Some(probe) = &mut small.rounds.probe {
        few(&mut probe.problems, MEASURED);
    }
    small.feeds = FeedsRecipe::default();
    small
}

/// Round, stage and seconds.
fn timed(
    environment: &AnyEnvironment,
    small: &Recipe,
    folder: &Path,
) -> Result<Vec<(u64, String, f64)>> {
    let run = RunDir::open(folder, small)?;
    let rounds = Rounds { environment, recipe: small, run: &run };
    rounds.draw_problems()?;
    let feeds = Feeds::open(run.path(), &small.feeds, &small.name);
    let mut told = Told { summaries: Vec::new(), feeds };
    for round in 0..=small.rounds.count {
        rounds.round(round, &mut told)?;
    }
    let stage = |summary: &Value| {
        Some((
            summary["round"].as_u64()?,
            summary["stage"].as_str()?.to_owned(),
            summary["stage_seconds"].as_f64()?,
        ))
    };
    Ok(told.summaries.iter().filter_map(stage).collect())
}

/// How many times a stage of the small run the whole run's stages of that name are.
fn factor(recipe: &Recipe, small: &Recipe, round: u64, stage: &str) -> f64 {
    let times = |all: usize, few: usize| all as f64 / few.max(1) as f64;
    let rounds = recipe.rounds.count;
    let problems = times(recipe.rounds.problems, small.rounds.problems);
    // The net of round 0 and that of round 1, for all later ones.
    let measured = if round == 0 { 1.0 } else { rounds as f64 };
    match stage {
        "pretrain" => match recipe.bootstrap.kind {
            BootstrapKind::RandomLines => times(recipe.bootstrap.lines, small.bootstrap.lines),
            BootstrapKind::Solutions => match recipe.bootstrap.problems {
                0 => problems,
                all => times(all, small.bootstrap.problems),
            },
            BootstrapKind::Checkpoint => 1.0,
        },
        "train" => {
            // A round's training reads the labels of those before it, too.
            let read = |round: usize| match recipe.rounds.window {
                0 => round,
                window => round.min(window),
            };
            problems * (1..=rounds).map(read).sum::<usize>() as f64
        }
        "search" | "harvest" => problems * rounds as f64,
        "gate" => {
            let count =
                |recipe: &Recipe| recipe.rounds.gate.as_ref().map_or(1, |gate| gate.problems);
            measured * times(count(recipe), count(small))
        }
        "probe" => {
            let count =
                |recipe: &Recipe| recipe.rounds.probe.as_ref().map_or(1, |probe| probe.problems);
            measured * times(count(recipe), count(small))
        }
        _ => measured * times(recipe.evaluation.problems, small.evaluation.problems),
    }
}

/// The folder of a trial, removed at its end; one that a killed program left is removed before.
struct Trial {
    folder: PathBuf,
}

impl Trial {
    fn begin(run: &Path) -> Result<Self> {
        let folder = run.join("trial");
        if folder.exists() {
            fs::remove_dir_all(&folder)
                .with_context(|| format!("cannot remove {}", folder.display()))?;
        }
        Ok(Self { folder })
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        // What stays is removed before the next trial.
        _ = fs::remove_dir_all(&self.folder);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::parse;

    #[test]
    fn stages_grow_with_what_the_recipe_asks_for() {
        let recipe = parse(
            "[rounds]\ncount = 3\nproblems = 240\nwindow = 2\n[rounds.probe]\nproblems = 36\n\
             [bootstrap]\nlines = 6000\n[evaluation]\nproblems = 120",
        )
        .unwrap();
        let small = smaller(&recipe);
        let factor = |round, stage| factor(&recipe, &small, round, stage);
        assert_eq!(factor(0, "pretrain"), 4.0);
        assert_eq!((factor(1, "search"), factor(1, "harvest")), (30.0, 30.0));
        // Of one, two and two rounds.
        assert_eq!(factor(1, "train"), 50.0);
        assert_eq!((factor(0, "probe"), factor(1, "probe")), (3.0, 9.0));
        assert_eq!((factor(0, "evaluate"), factor(1, "evaluate")), (10.0, 30.0));
        let words = plan(&recipe);
        for part in ["6000 random legal lines", "3 rounds", "240 problems", "120 held-out"] {
            assert!(words.contains(part), "{part}: {words}");
        }
    }
}
