//! Label rules from the command line and in a run.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread::sleep;
use std::time::{Duration, Instant};

use espalier::environment::Split;
use espalier::environment::countdown::split_of;
use serde_json::Value;

use crate::program::{TINY, espalier, fail, run, text, tiny_run};

const MONTE_CARLO: [&str; 4] = ["--set", "labels.kind=monte_carlo", "--set", "labels.rollouts=4"];

/// Two steps, so that there is a state to play on from.
const THREE: &str = "problems.numbers=[3, 3]";

fn rows(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Problems, a net and trees.
struct Searched {
    folder: tempfile::TempDir,
    problems: PathBuf,
    net: PathBuf,
    trees: PathBuf,
}

impl Searched {
    /// The net has read so many random lines.
    fn new(lines: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let (problems, net, trees) = (path("problems.jsonl"), path("net"), path("trees.jsonl"));
        let tiny = ["--config", TINY, "--set", THREE];
        run(&[&["generate", "--count", "40", "--out", text(&problems)], &tiny[..]].concat());
        let lines = format!("bootstrap.lines={lines}");
        run(&[&["pretrain", "--out", text(&net)], &tiny[..], &["--set", &lines]].concat());
        let search = ["search", "--checkpoint", text(&net), "--problems", text(&problems)];
        run(&[&search[..], &["--out", text(&trees)], &tiny].concat());
        Self { folder, problems, net, trees }
    }

    fn harvest<'a>(&'a self, out: &'a Path, more: &[&'a str]) -> Vec<&'a str> {
        let harvest = ["harvest", "--config", TINY, "--trees", text(&self.trees), "--out"];
        [&harvest[..], &[text(out)], more].concat()
    }
}

#[test]
fn roll_outs_are_labelled_problem_by_problem_and_survive_a_kill() {
    let searched = Searched::new(20_000);
    let path = |name: &str| searched.folder.path().join(name);
    let (whole, killed) = (path("whole.jsonl"), path("killed.jsonl"));

    let message = fail(&searched.harvest(&whole, &MONTE_CARLO), 2);
    assert!(message.contains("--problems"), "{message}");
    let problems = [&MONTE_CARLO[..], &["--problems", text(&searched.problems)]].concat();
    let message = fail(&searched.harvest(&whole, &problems), 2);
    assert!(message.contains("--checkpoint"), "{message}");

    // One problem at a time, so that there is something to kill.
    let slowly = ["--set", "compute.concurrent_problems=1", "--set", "labels.rollouts=64"];
    let player = [&problems[..], &["--checkpoint", text(&searched.net)], &slowly].concat();
    let summary = run(&searched.harvest(&whole, &[&player[..], &["--json"]].concat()));
    let summary: Value = serde_json::from_str(&summary).unwrap();
    let count = |key: &str| summary[key].as_u64().unwrap();
    let (rollouts, tokens) = (count("rollouts"), count("tokens"));
    assert!(rollouts > 0 && rollouts.is_multiple_of(64) && tokens >= rollouts, "{summary}");
    for solution in rows(&whole) {
        let steps = solution["steps"].as_array().unwrap();
        let last = steps.len() - 1;
        assert_eq!(steps[last]["q"], solution["reward"]);
        for step in &steps[..last] {
            let share = (step["q"].as_f64().unwrap() + 1.0) / 2.0 * 64.0;
            assert!((0.0..=64.0).contains(&share) && share.fract() == 0.0, "{step}");
        }
    }

    let log = path("killed.jsonl.log");
    let entries =
        || fs::read(&log).map_or(0, |bytes| bytes.iter().filter(|&&b| b == b'\n').count());
    let mut child = espalier(&searched.harvest(&killed, &player))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(120);
    while entries() < 8 && child.try_wait().unwrap().is_none() {
        assert!(Instant::now() < deadline, "no problem was labelled");
        sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let kept = entries();
    assert!(kept >= 8 && !killed.exists(), "killed too late");
    // A log of other settings is not mixed in.
    let other = [&player[..], &["--set", "labels.estimate=hard"]].concat();
    let message = fail(&searched.harvest(&killed, &other), 2);
    assert!(message.contains("other settings"), "{message}");
    assert_eq!(entries(), kept);
    let again = run(&searched.harvest(&killed, &[&player[..], &["--json"]].concat()));
    assert_eq!(serde_json::from_str::<Value>(&again).unwrap(), summary);
    assert!(fs::read(&killed).unwrap() == fs::read(&whole).unwrap());
    assert!(!log.exists());
}

#[test]
fn a_run_labels_by_any_rule() {
    let folder = tempfile::tempdir().unwrap();
    for kind in ["outcome", "best", "monte_carlo"] {
        let kind_set = format!("labels.kind={kind}");
        let small = [
            THREE,
            "rounds.count=1",
            "rounds.problems=40",
            "bootstrap.lines=20000",
            "training.epochs=1",
        ];
        let folder = folder.path().join(kind);
        let run_dir = tiny_run(&folder, &[&small[..], &[&kind_set]].concat());
        let harvest: Value =
            serde_json::from_slice(&fs::read(run_dir.join("rounds/1/harvest.json")).unwrap())
                .unwrap();
        assert_eq!(harvest["rollouts"].as_u64().unwrap() > 0, kind == "monte_carlo", "{harvest}");
        let labels = rows(&run_dir.join("rounds/1/labels.jsonl"));
        assert_eq!(
            labels.len() as u64,
            harvest["correct"].as_u64().unwrap() + harvest["incorrect"].as_u64().unwrap()
        );
        if kind == "best" {
            let steps = labels.iter().flat_map(|solution| solution["steps"].as_array().unwrap());
            assert!(steps.into_iter().all(|step| step["q"] == 1.0 || step["q"] == -1.0));
        }
        if kind == "outcome" {
            for solution in &labels {
                let steps = solution["steps"].as_array().unwrap();
                assert!(steps.iter().all(|step| step["q"] == solution["reward"]));
            }
        }
    }
}

#[test]
fn wrong_answers_are_told_as_right_ones_of_training_problems_alone() {
    let searched = Searched::new(6_000);
    let path = |name: &str| searched.folder.path().join(name);
    let (plain, told) = (path("plain.jsonl"), path("told.jsonl"));
    run(&searched.harvest(&plain, &[]));
    let hindsight =
        ["--set", "labels.hindsight.problems=3", "--set", "labels.hindsight.answers=[1, 60]"];
    let summary = run(&searched.harvest(&told, &[&hindsight[..], &["--json"]].concat()));
    let summary: Value = serde_json::from_str(&summary).unwrap();
    let labels = rows(&told);
    let (others, own): (Vec<Value>, Vec<Value>) =
        labels.into_iter().partition(|solution| solution["hindsight"] == true);
    assert_eq!(
        own,
        rows(&plain),
        "what is told besides changes nothing of the problem's own paths"
    );
    assert_eq!(summary["hindsight"], others.len());
    assert_eq!(
        summary["correct"].as_u64().unwrap() + summary["incorrect"].as_u64().unwrap(),
        own.len() as u64
    );

    let mut right = 0;
    for solution in &others {
        let prompt = solution["prompt"].as_str().unwrap();
        let (target, numbers) = prompt.trim_end().split_once(':').unwrap();
        let target: u64 = target.parse().unwrap();
        let numbers: Vec<u64> = numbers.split(' ').map(|number| number.parse().unwrap()).collect();
        assert!((1..=60).contains(&target), "{prompt}");
        assert_eq!(split_of(&numbers, target), Split::Train, "{prompt}");
        let correct = solution["answer"].as_str() == Some(&target.to_string());
        assert_eq!(solution["correct"], correct, "{solution}");
        let last = solution["steps"].as_array().unwrap().last().unwrap();
        assert_eq!(last["q"], if correct { 1.0 } else { -1.0 }, "{solution}");
        right += usize::from(correct);
    }
    assert!(right > 20, "{right} of {}", others.len());

    // The truth of what is told is not the trees': the measure of the labels leaves it out.
    let quality = |labels: &Path| {
        run(&[
            "quality",
            "--config",
            TINY,
            "--labels",
            text(labels),
            "--problems",
            text(&searched.problems),
            "--json",
        ])
    };
    assert_eq!(quality(&told), quality(&plain));
    // They are trained on like any others.
    let net = path("trained");
    let train = ["train", "--config", TINY, "--checkpoint", text(&searched.net), "--labels"];
    run(&[&train[..], &[text(&told), "--out", text(&net), "--set", "training.max_steps=5"]]
        .concat());

    for (more, part) in [
        (&MONTE_CARLO[..], "roll-outs"),
        (&["--set", "labels.hindsight.answers=[9, 3]"][..], "hindsight.answers = [9, 3]"),
        (
            &[
                "--set",
                "environment.kind=arithmetic",
                "--set",
                "problems={kind=\"jsonl\", path=\"p\"}",
            ][..],
            "no other problem",
        ),
    ] {
        let message = fail(&searched.harvest(&told, &[&hindsight[..], more].concat()), 2);
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn nodes_of_the_trees_teach_the_value_head_alone() {
    let searched = Searched::new(6_000);
    let path = |name: &str| searched.folder.path().join(name);
    let (plain, whole) = (path("plain.jsonl"), path("whole.jsonl"));
    let counts = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    let before = counts(&run(&searched.harvest(&plain, &["--json"])));
    let nodes = ["--set", "labels.nodes.min_visits=2"];
    let after = counts(&run(&searched.harvest(&whole, &[&nodes[..], &["--json"]].concat())));
    for key in ["problems", "solved", "correct", "incorrect"] {
        assert_eq!(after[key], before[key], "{key}");
    }
    let (ways, own): (Vec<Value>, Vec<Value>) =
        rows(&whole).into_iter().partition(|solution| solution["values_only"] == true);
    assert_eq!((before["values_only"].as_u64(), after["values_only"].as_u64()), {
        (Some(0), Some(ways.len() as u64))
    });
    let known = rows(&plain);
    assert_eq!(own.len(), known.len());
    assert!(ways.len() > 20, "{} beside {}", ways.len(), own.len());
    let steps = |solution: &Value| solution["steps"].as_array().unwrap().clone();
    for (own, known) in own.iter().zip(&known) {
        for (step, known) in steps(own).iter_mut().zip(steps(known)) {
            assert!(step.as_object_mut().unwrap().remove("weight").is_some());
            assert_eq!(*step, known);
        }
    }
    // A problem's nodes weigh as much as there are, by their visits.
    let mut problems: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for solution in own.iter().chain(&ways) {
        let id = solution["problem_id"].as_str().unwrap().to_owned();
        problems.entry(id).or_default().extend(steps(solution));
    }
    for steps in problems.values() {
        let weight = |step: &Value| step["weight"].as_f64().unwrap();
        let targets: Vec<&Value> = steps.iter().filter(|step| weight(step) > 0.0).collect();
        let sum: f64 = targets.iter().map(|step| weight(step)).sum();
        assert!((sum - targets.len() as f64).abs() < 1e-6, "{sum} of {}", targets.len());
        let unit = |step: &Value| weight(step) / step["visits"].as_f64().unwrap().max(1.0);
        assert!(targets.iter().all(|step| (unit(step) - unit(targets[0])).abs() < 1e-9));
    }

    // An objective without values learns what it learnt before; the value head learns more.
    let train = |labels: &Path, objective: &str, steps: &str| -> Value {
        let (net, kind) = (path("trained"), format!("objective={{kind=\"{objective}\"}}"));
        let _ = fs::remove_dir_all(&net);
        let train = ["train", "--config", TINY, "--checkpoint", text(&searched.net), "--json"];
        let more = ["--labels", text(labels), "--out", text(&net), "--set", &kind, "--set", steps];
        counts(&run(&[&train[..], &more].concat()))
    };
    let steps = "training.max_steps=3";
    assert_eq!(train(&whole, "sft", steps)["curve"], train(&plain, "sft", steps)["curve"]);
    let [more, less] =
        [&whole, &plain].map(|labels| train(labels, "alphamath", steps)["value_solutions"].clone());
    assert!(more.as_u64() > less.as_u64(), "{more} {less}");

    for (more, part) in [
        (&["--set", "labels.kind=outcome"][..], "nodes.min_visits"),
        (&["--set", "labels.nodes.visit_power=2"], "nodes.visit_power"),
        (&["--set", "objective={kind=\"sft\"}"], "labels.nodes.min_visits"),
    ] {
        let message = fail(&searched.harvest(&whole, &[&nodes[..], more].concat()), 2);
        assert!(message.contains(part), "{message}");
    }
}
