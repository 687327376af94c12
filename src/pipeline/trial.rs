//! A small run of a recipe, timed stage by stage and thrown away.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::Value;
use tracing::subscriber::{NoSubscriber, with_default};

use super::{Rounds, Told};
use crate::environment::AnyEnvironment;
use crate::feeds::{Feeds, FeedsRecipe};
use crate::interrupt::{Interrupted, Limit};
use crate::place::in_full;
use crate::recipe::{BootstrapKind, Recipe};
use crate::run_dir::RunDir;
use crate::status;

/// Longest time of a trial.
pub(super) const LONGEST: Duration = Duration::from_secs(10);
/// What the small run takes of each.
const LINES: usize = 500;
const PROBLEMS: usize = 24;
const MEASURED: usize = 12;

/// What a trial came to.
pub(super) struct Trial {
    /// What was tried.
    pub recipe: Recipe,
    /// The stages that it ended.
    pub stages: Vec<Timed>,
    /// The stage in which its time was up, or which failed with so little, with the seconds that it had.
    pub came_to: Option<Timed>,
    /// Seconds of all.
    pub seconds: f64,
}

/// A stage's wall time.
pub(super) struct Timed {
    pub round: usize,
    pub stage: String,
    pub seconds: f64,
}

impl Trial {
    /// Tries the recipe in a folder beside the run's, which is removed at the end; for so long at most.
    ///
    /// # Errors
    /// When no stage was begun, or a signal ended it.
    pub fn run(
        environment: &AnyEnvironment,
        recipe: &Recipe,
        run: &RunDir,
        longest: Duration,
    ) -> Result<Self> {
        let (begun, recipe) = (Instant::now(), smaller(recipe));
        // No run may lie in another.
        let place = in_full(run.path());
        let beside = place.parent().unwrap_or(&place);
        let folder = tempfile::Builder::new().prefix(".trial-").tempdir_in(beside);
        let folder = folder.with_context(|| format!("cannot write to {}", beside.display()))?;
        let limit = Limit::begin(longest);
        // Its log is not the run's.
        let tried = with_default(NoSubscriber::default(), || {
            let run = RunDir::open(folder.path(), &recipe)?;
            let rounds = Rounds { environment, recipe: &recipe, run: &run };
            rounds.draw_problems()?;
            let feeds = Feeds::open(run.path(), &recipe.feeds, &recipe.name);
            let mut told = Told { summaries: Vec::new(), feeds };
            let done =
                (0..=recipe.rounds.count).try_for_each(|round| rounds.round(round, &mut told));
            anyhow::Ok((told.summaries, done))
        });
        let under_way = status::under_way();
        // The run is at none of its stages yet.
        status::clear();
        let (summaries, done) = tried?;
        let came_to = match done {
            Ok(()) => None,
            Err(error) if error.is::<Interrupted>() && !limit.is_over() => return Err(error),
            Err(error) => {
                let (round, stage, seconds) = under_way.ok_or(error)?;
                Some(Timed { round, stage, seconds })
            }
        };
        let stages = summaries.iter().filter_map(timed).collect();
        Ok(Self { stages, came_to, seconds: begun.elapsed().as_secs_f64(), recipe })
    }
}

fn timed(summary: &Value) -> Option<Timed> {
    Some(Timed {
        round: summary["round"].as_u64()? as usize,
        stage: summary["stage"].as_str()?.to_owned(),
        seconds: summary["stage_seconds"].as_f64()?,
    })
}

/// The recipe with less of everything that costs time.
pub(super) fn smaller(recipe: &Recipe) -> Recipe {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe;

    #[test]
    fn a_trial_ends_when_its_time_is_up_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let recipe = recipe::load(None, &[]).unwrap();
        let environment = recipe.environment.start(1).unwrap();
        let run = RunDir::open(&folder.path().join("run"), &recipe).unwrap();
        let trial = Trial::run(&environment, &recipe, &run, Duration::ZERO).unwrap();
        assert!(trial.came_to.is_some() && trial.stages.is_empty());
        assert!(run.is_new());
        assert_eq!(folder.path().read_dir().unwrap().count(), 1);
    }
}
