//! The curriculum of `[rounds]`: a round's budget goes where the rounds before found nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::program::{TINY, fail, run, text};

/// The same twenty problems every round, of which a net that has hardly learnt solves some in sixteen simulations.
const SMALL: [&str; 11] = [
    "problems.numbers=[3, 3]",
    "rounds.count=1",
    "rounds.problems=20",
    "rounds.pool=20",
    "training.epochs=1",
    "bootstrap.lines=6000",
    "search.simulations=16",
    "search.samples=5",
    "search.widening=3",
    "evaluation.problems=5",
    "evaluation.decodings=[\"greedy\"]",
];

const CURRICULUM: &str = "rounds.curriculum={growth=2.0, most=8.0, solved=0.0}";

fn command<'a>(run_dir: &'a Path, settings: impl IntoIterator<Item = &'a &'a str>) -> Vec<&'a str> {
    let mut arguments = vec!["run", "--config", TINY, "--run-dir", text(run_dir)];
    for assignment in settings {
        arguments.extend(["--set", assignment]);
    }
    arguments
}

fn small<'a>(run_dir: &'a Path, settings: &'a [&'a str]) -> Vec<&'a str> {
    command(run_dir, SMALL.iter().chain(settings))
}

/// The simulations of each problem's tree, and the problems that were solved.
fn searched(round: &Path) -> (BTreeMap<String, u64>, BTreeSet<String>) {
    let (mut simulations, mut solved) = (BTreeMap::new(), BTreeSet::new());
    for line in fs::read_to_string(round.join("trees.jsonl")).unwrap().lines() {
        let tree: Value = serde_json::from_str(line).unwrap();
        let problem = tree["problem"].as_str().unwrap().to_owned();
        simulations.insert(problem.clone(), tree["simulations"].as_u64().unwrap());
        if tree["react"].as_object().unwrap().values().any(|node| node["correct"] == true) {
            solved.insert(problem);
        }
    }
    (simulations, solved)
}

#[test]
fn unsolved_problems_are_searched_further_and_solved_ones_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let run_dir = folder.path().join("run");
    run(&small(&run_dir, &[CURRICULUM, "rounds.count=2"]));
    let [(first, solved), (second, _)] =
        ["1", "2"].map(|round| searched(&run_dir.join("rounds").join(round)));
    assert_eq!(first.len(), 20);
    assert!(first.values().all(|&simulations| simulations <= 16), "{first:?}");
    let unsolved = 20 - solved.len();
    assert!((1..20).contains(&unsolved), "{solved:?}");

    // Twice the budget each, as many as the round's budget allows, and none that was solved.
    assert_eq!(second.len(), unsolved.min(10));
    assert!(second.keys().all(|problem| first.contains_key(problem) && !solved.contains(problem)));
    assert!(second.values().all(|&simulations| simulations <= 32), "{second:?}");
    assert!(second.values().any(|&simulations| simulations > 16), "{second:?}");
    let summary = fs::read(run_dir.join("rounds/2/search.json")).unwrap();
    let summary: Value = serde_json::from_slice(&summary).unwrap();
    let counts = |key: &str| summary["curriculum"][key].as_u64().unwrap() as usize;
    assert_eq!(["new", "unsolved", "solved"].map(counts), [0, second.len(), 0]);
    assert_eq!(counts("waiting"), unsolved - second.len());

    // The choice comes about again, and in a branch of a run that had none.
    let files = ["problems/round-2.jsonl", "rounds/2/trees.jsonl", "rounds/2/labels.jsonl"];
    let read = |run_dir: &Path| files.map(|file| fs::read(run_dir.join(file)).unwrap());
    let before = read(&run_dir);
    fs::remove_dir_all(run_dir.join("rounds/2")).unwrap();
    fs::remove_file(run_dir.join(files[0])).unwrap();
    run(&small(&run_dir, &[CURRICULUM, "rounds.count=2"]));
    assert!(read(&run_dir) == before, "another choice");
    let [plain, branch] = ["plain", "branch"].map(|name| folder.path().join(name));
    run(&small(&plain, &["rounds.count=2"]));
    assert_eq!(searched(&plain.join("rounds/2")).0.len(), 20);
    let origin = format!("{}@1", text(&plain));
    run(&["run", "--from", &origin, "--run-dir", text(&branch), "--set", CURRICULUM]);
    assert!(read(&branch) == before, "a branch chooses otherwise");
}

#[test]
fn a_curriculum_that_cannot_be_followed_is_refused_by_its_key() {
    let folder = tempfile::tempdir().unwrap();
    let run_dir = folder.path().join("run");
    for (settings, expected) in [
        (&["rounds.curriculum={growth=0.5}"][..], "[rounds.curriculum]: growth must be"),
        (&["rounds.curriculum={solved=2}"], "[rounds.curriculum]: solved must be"),
        (&["rounds.curriculum={seldom=2}"], "unknown field `seldom`"),
        (
            &["rounds.curriculum={}", "labels.paths.max_correct=0", "labels.paths.max_incorrect=1"],
            "labels.paths.max_correct",
        ),
        (&["rounds.curriculum={most=200.0}"], "most = 200 must be at most 120"),
        (&["rounds.curriculum={}", "rounds.pool=5"], "most = 8 must be at most 5"),
        (
            &["rounds.curriculum={}", "search.kind=\"beam\"", "search.beams=5000"],
            "[rounds.curriculum]: most = 8: [search]: beams",
        ),
    ] {
        let message = fail(&command(&run_dir, settings), 2);
        assert!(message.contains(expected), "{message}");
    }
    assert!(!run_dir.exists());
}
