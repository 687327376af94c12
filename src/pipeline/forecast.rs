//! What a run will do, and how long that takes here: by a trial before its first stage, by its own rounds later.

use std::fmt;

use anyhow::{Result, ensure};
use espalier_search::SearchConfig;
use serde_json::Value;

use super::dry_run::net;
use super::trial::{LONGEST, Timed, Trial};
use crate::environment::AnyEnvironment;
use crate::recipe::{BootstrapKind, Recipe};
use crate::run_dir::RunDir;
use espalier_training::Parameters;

/// A net of more numbers takes too long for a trial, and too much disk.
const LARGEST: usize = 250_000_000;
/// Between which multiples of what a trial says the time lies. Its few problems keep the machine less busy than many do, and the trees
/// of its hardly trained net are larger than those of later ones: on a machine at rest it says too much. Other work on the machine, and
/// solutions that get longer, make a run longer than it says.
const RANGE: [f64; 2] = [0.6, 1.8];
/// The same of what a round says of the later ones. Labels grow by less than a round's from round to round where problems come again or
/// paths are known, and trees get smaller as the net learns.
const LATER: [f64; 2] = [0.6, 1.2];

/// How long a run should take.
#[derive(Debug, Clone, PartialEq)]
pub struct Forecast {
    /// By the stages that the trial came to, in seconds.
    pub seconds: f64,
    /// Round and stage that the trial did not end, whose time is up after a few seconds.
    pub came_to: Option<(usize, String)>,
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
    let simulations = match &recipe.search {
        SearchConfig::Mcts(config) => format!(" by up to {} simulations", config.simulations),
        SearchConfig::Beam(_) | SearchConfig::Samples(_) => String::new(),
    };
    let epochs = match recipe.training.epochs {
        1 => "an epoch".to_owned(),
        epochs => format!("{epochs} epochs"),
    };
    let probed = match &rounds.probe {
        Some(probe) => format!(", and {} validation problems are searched alike", probe.problems),
        None => String::new(),
    };
    let times = match rounds.count {
        1 => "one round".to_owned(),
        count => format!("{count} rounds"),
    };
    format!(
        "round 0: {first}; then {times} of a search of {} problems{trees}{simulations}, labels and {epochs} of training; after every round {} held-out \
         problems are answered in {} ways{probed}",
        rounds.problems,
        evaluation.problems,
        evaluation.decodings.len(),
    )
}

/// Tries a small run of the recipe for a few seconds, and throws it away: the run's results do not depend on it.
///
/// # Errors
/// When no stage can be tried, or a signal ends it; and when the net is too large for a trial.
pub fn forecast(environment: &AnyEnvironment, recipe: &Recipe, run: &RunDir) -> Result<Forecast> {
    let (config, ..) = net(recipe)?;
    ensure!(
        Parameters::count_of(&config) <= LARGEST,
        "the net is too large for a trial; --dry-run says what it takes"
    );
    let trial = Trial::run(environment, recipe, run, LONGEST)?;
    let seconds = trial.stages.iter().chain(&trial.came_to);
    let seconds = seconds.map(|Timed { round, stage, seconds }| {
        seconds * factor(recipe, &trial.recipe, *round, stage)
    });
    Ok(Forecast {
        seconds: seconds.sum(),
        came_to: trial.came_to.as_ref().map(|timed| (timed.round, timed.stage.clone())),
        trial_seconds: trial.seconds,
    })
}

impl fmt::Display for Forecast {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seconds, came_to, trial_seconds } = self;
        match came_to {
            None => write!(
                f,
                "it should take {} on this machine, by a trial of {trial_seconds:.0} s",
                between(RANGE.map(|bound| bound * seconds))
            ),
            Some((round, stage)) => write!(
                f,
                "it should take more than {} on this machine: a trial of {trial_seconds:.0} s came only to round {round}, {stage}",
                time(RANGE[0] * seconds)
            ),
        }
    }
}

/// How long the rounds after this one should take by what it took itself, in words; `None` where it says nothing of them.
pub(super) fn told_of_rest(recipe: &Recipe, summaries: &[Value], round: usize) -> Option<String> {
    let seconds = left(recipe, summaries, round)?;
    Some(format!(
        "the rounds that are left should take {}",
        between(LATER.map(|bound| bound * seconds))
    ))
}

/// The same in seconds.
fn left(recipe: &Recipe, summaries: &[Value], round: usize) -> Option<f64> {
    let rounds = round + 1..=recipe.rounds.count;
    let stages = summaries.iter().filter(|summary| summary["round"] == round);
    let seconds = stages.map(|summary| {
        let seconds = summary["stage_seconds"].as_f64()?;
        let times = match summary["stage"].as_str()? {
            "train" => {
                rounds.clone().map(|later| labels_read(recipe, later)).sum::<usize>() as f64
                    / labels_read(recipe, round) as f64
            }
            _ => rounds.clone().count() as f64,
        };
        Some(seconds * times)
    });
    // Round 0 makes a net, and later ones do not.
    (round > 0 && !rounds.is_empty()).then(|| seconds.sum())?
}

/// Of how many rounds the training of a round reads the labels.
fn labels_read(recipe: &Recipe, round: usize) -> usize {
    match recipe.rounds.window {
        0 => round,
        window => round.min(window),
    }
}

/// A time as one says it.
fn time(seconds: f64) -> String {
    between([seconds; 2])
}

/// A time between two.
fn between([least, most]: [f64; 2]) -> String {
    let (size, unit) = match most {
        ..90.0 => (1.0, "second"),
        ..5400.0 => (60.0, "minute"),
        ..172_800.0 => (3600.0, "hour"),
        _ => (86_400.0, "day"),
    };
    let [least, most] = [least, most].map(|seconds| (seconds / size).round().max(1.0));
    let plural = if most == 1.0 { "" } else { "s" };
    match least == most {
        true => format!("{most} {unit}{plural}"),
        false => format!("{least} to {most} {unit}{plural}"),
    }
}

/// How many times a stage of the small run the whole run's stages of that name are.
fn factor(recipe: &Recipe, small: &Recipe, round: usize, stage: &str) -> f64 {
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
            let read = (1..=rounds).map(|round| labels_read(recipe, round));
            problems * read.sum::<usize>() as f64
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::trial::smaller;
    use super::*;
    use crate::recipe;

    fn recipe() -> Recipe {
        let settings = [
            "rounds={count=3, problems=240, window=2, probe={problems=36}}",
            "bootstrap.lines=6000",
            "evaluation.problems=120",
        ];
        recipe::load(None, &settings.map(str::to_owned)).unwrap()
    }

    #[test]
    fn stages_grow_with_what_the_recipe_asks_for() {
        let recipe = recipe();
        let small = smaller(&recipe);
        let factor = |round, stage| factor(&recipe, &small, round, stage);
        assert_eq!(factor(0, "pretrain"), 12.0);
        assert_eq!((factor(1, "search"), factor(1, "harvest")), (30.0, 30.0));
        // Of one, two and two rounds.
        assert_eq!(factor(1, "train"), 50.0);
        assert_eq!((factor(0, "probe"), factor(1, "probe")), (3.0, 9.0));
        assert_eq!((factor(0, "evaluate"), factor(1, "evaluate")), (10.0, 30.0));
        let words = plan(&recipe);
        for part in [
            "6000 random legal lines",
            "3 rounds",
            "240 problems by up to 160 simulations",
            "4 epochs",
            "120 held-out",
        ] {
            assert!(words.contains(part), "{part}: {words}");
        }
    }

    #[test]
    fn a_round_says_how_long_the_others_take() {
        let recipe = recipe();
        let stage = |round: usize, stage: &str, seconds: f64| json!({"round": round, "stage": stage, "stage_seconds": seconds});
        let summaries = [
            stage(0, "pretrain", 1000.0),
            stage(1, "search", 10.0),
            stage(1, "train", 5.0),
            stage(2, "search", 20.0),
            stage(2, "train", 8.0),
        ];
        // Two rounds, which train on the labels of two each.
        assert_eq!(left(&recipe, &summaries, 1), Some(2.0 * 10.0 + 4.0 * 5.0));
        assert_eq!(left(&recipe, &summaries, 2), Some(28.0));
        let told = told_of_rest(&recipe, &summaries, 2).unwrap();
        assert_eq!(told, "the rounds that are left should take 17 to 34 seconds");
        assert_eq!((left(&recipe, &summaries, 0), left(&recipe, &summaries, 3)), (None, None));
        // A stage of an earlier version, that was not timed.
        let untimed = [stage(1, "search", 1.0), json!({"round": 1, "stage": "train"})];
        assert_eq!(left(&recipe, &untimed, 1), None);
    }

    #[test]
    fn times_are_told_as_one_says_them() {
        let told = [0.0, 1.2, 59.0, 100.0, 5399.0, 7200.0, 180_000.0].map(time);
        let expected =
            ["1 second", "1 second", "59 seconds", "2 minutes", "90 minutes", "2 hours", "2 days"];
        assert_eq!(told, expected);
        assert_eq!(between([130.0, 350.0]), "2 to 6 minutes");
        let whole = Forecast { seconds: 100.0, came_to: None, trial_seconds: 4.4 };
        assert_eq!(
            whole.to_string(),
            "it should take 1 to 3 minutes on this machine, by a trial of 4 s"
        );
        let part = Forecast { came_to: Some((1, "search".to_owned())), ..whole };
        assert_eq!(
            part.to_string(),
            "it should take more than 60 seconds on this machine: a trial of 4 s came only to round 1, search"
        );
    }
}
