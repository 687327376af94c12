//! A finished run goes on with more rounds and measures, and runs branch.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::program::{TINY, espalier, fail, files, run, text};

const SMALL: [&str; 7] = [
    "rounds.problems=30",
    "training.epochs=2",
    "bootstrap.lines=300",
    "evaluation.problems=20",
    "evaluation.decodings=[\"greedy\", \"maj@3\"]",
    "rounds.start_from=previous",
    "rounds.window=2",
];

/// The command of a small run with these settings.
fn small<'a>(run_dir: &'a Path, settings: &[&'a str]) -> Vec<&'a str> {
    let mut arguments = vec!["run", "--config", TINY, "--run-dir", text(run_dir)];
    for assignment in SMALL.iter().chain(settings) {
        arguments.extend(["--set", assignment]);
    }
    arguments
}

/// The command of a branch.
fn branch<'a>(origin: &'a str, run_dir: &'a Path, settings: &[&'a str]) -> Vec<&'a str> {
    let mut arguments = vec!["run", "--from", origin, "--run-dir", text(run_dir)];
    for assignment in settings {
        arguments.extend(["--set", assignment]);
    }
    arguments
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap_or_else(|_| panic!("{path:?}"))).unwrap()
}

fn assert_same(one: &Path, other: &Path, names: &[&str]) {
    for name in names {
        let [one, other] = [one, other].map(|folder| fs::read(folder.join(name)).unwrap());
        assert!(one == other, "{name} differs");
    }
}

/// What a round leaves that depends on nothing but the recipe.
const ROUND: [&str; 5] = [
    "trees.jsonl",
    "labels.jsonl",
    "evaluation.jsonl",
    "checkpoint/model.safetensors",
    "checkpoint/value_head.safetensors",
];

#[test]
fn more_rounds_and_measures_come_to_what_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let [run_dir, whole] = ["run", "whole"].map(|name| folder.path().join(name));
    run(&small(&run_dir, &["rounds.count=1"]));
    let before = files(&run_dir.join("rounds"));
    let table = run(&small(&run_dir, &["rounds.count=2"]));
    // As if there had been two from the start.
    assert_eq!(run(&small(&whole, &["rounds.count=2"])), table);
    for round in ["rounds/1", "rounds/2"] {
        assert_same(&run_dir.join(round), &whole.join(round), &ROUND);
    }
    let after = files(&run_dir.join("rounds"));
    assert!(before.iter().all(|(path, bytes)| after[path] == *bytes));
    assert_same(&run_dir, &whole, &["recipe.toml"]);

    // Another recipe is refused by its key, and no round is taken back.
    for (setting, part) in [
        ("rounds.count=1", "begun round 2, and rounds.count = 1"),
        ("search.c_puct=3", "search.c_puct is 1.5 there and 3.0 here"),
        ("evaluation.seed=3", "evaluation.seed is 0 there and 3 here"),
        ("rounds.gate={}", "rounds.gate is absent there"),
    ] {
        let message = fail(&small(&run_dir, &["rounds.count=2", setting]), 2);
        assert!(message.contains(part) && message.contains("--from"), "{message}");
    }
    assert_eq!(files(&run_dir.join("rounds")), after);

    // Measures of which one needs more samples than were drawn; killed in the first round's.
    let more = [
        "rounds.count=2",
        "evaluation.decodings=[\"greedy\", \"mcts:8\", \"maj@2\"]",
        "evaluation.measures=[{kind=\"decodings\"}, {kind=\"value_auc\"}, {kind=\"pass_at_k\", k=[1, 4], samples=6}]",
    ];
    let arguments = small(&run_dir, &more);
    let mut child =
        espalier(&arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(300);
    while !run_dir.join("rounds/0/evaluation.jsonl.log").exists() {
        assert!(child.try_wait().unwrap().is_none(), "the run ended before it was killed");
        assert!(Instant::now() < deadline, "nothing is measured");
        sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let table = run(&arguments);
    for row in ["greedy", "maj@3", "mcts:8", "maj@2", "pass@1", "pass@4"] {
        assert!(table.contains(row), "{row} in {table}");
    }
    let fresh = folder.path().join("fresh");
    run(&small(&fresh, &more));
    // Set beside another run, rows are there that both have: measures do not make another recipe.
    let beside = |other: &Path| {
        let output = espalier(&["report", text(&run_dir), text(other)]).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{told}");
        (String::from_utf8(output.stdout).unwrap(), told)
    };
    for (other, rows, lacks) in [
        (&whole, &["greedy", "maj@3"][..], &["mcts:8", "maj@2", "pass@4"][..]),
        (&fresh, &["greedy", "mcts:8", "maj@2", "pass@1", "pass@4"], &["maj@3"]),
    ] {
        let (table, told) = beside(other);
        assert!(rows.iter().all(|row| table.contains(row)), "{table}");
        for row in lacks {
            assert!(!table.contains(row) && told.contains(&format!("{row}: ")), "{table}{told}");
        }
    }
    for round in ["rounds/0", "rounds/1", "rounds/2"] {
        let (found, round) = (run_dir.join(round), fresh.join(round));
        let record = found.join("evaluation.jsonl");
        assert!(fs::read(&record).unwrap().starts_with(&after[&record]), "{record:?}");
        let summary = found.join("evaluate.json");
        let earlier: Value = serde_json::from_slice(&after[&summary]).unwrap();
        let summary = read(&summary);
        let results = summary["results"].as_array().unwrap();
        assert_eq!(results[..2], earlier["results"].as_array().unwrap()[..]);
        assert_eq!(summary["value_auc"], earlier["value_auc"]);
        let of = |results: &Value, name: &str| {
            let all = results.as_array().unwrap().iter();
            all.filter(|one| one["decoding"] == name).map(|one| one["accuracy"].clone()).next()
        };
        let expected = read(&round.join("evaluate.json"));
        for name in ["greedy", "mcts:8"] {
            assert_eq!(of(&summary["results"], name), of(&expected["results"], name), "{name}");
        }
        assert_eq!(summary["pass_at_k"][1]["samples"], 6);
    }
    let settled = files(&run_dir.join("rounds"));
    assert_eq!(run(&arguments), table);
    assert!(files(&run_dir.join("rounds")) == settled, "what is finished was done again");
    let manifest = read(&run_dir.join("manifest.json"));
    let history = manifest["history"].as_array().unwrap();
    let keys = |entry: &Value| -> Vec<String> {
        let changes = entry["changes"].as_array().unwrap().iter();
        changes.map(|change| change["key"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(keys(&history[0]), ["rounds.count"]);
    assert_eq!(keys(&history[1]), ["evaluation.decodings", "evaluation.measures"]);
    assert_eq!(history.len(), 2);

    // A round that comes later is measured as the recipe now says, and the table has gaps.
    let less = ["rounds.count=3", "evaluation.decodings=[\"greedy\"]"];
    let table = run(&small(&run_dir, &less));
    let row = table.lines().find(|line| line.contains("maj@3")).unwrap();
    assert!(row.contains('–'), "{table}");
}

#[test]
fn a_branch_begins_with_the_rounds_of_another_run() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let source = path("source");
    run(&small(&source, &["rounds.count=2", "rounds.gate.problems=20"]));
    let rounds = files(&source.join("rounds"));
    let origin = format!("{}@1", text(&source));

    // Without another setting it is the run itself.
    let same = path("source-from-1");
    let arguments = ["run", "--from", &origin];
    let table = run(&arguments);
    assert_eq!(run(&["report", text(&source)]), table);
    assert_same(&same.join("rounds/2"), &source.join("rounds/2"), &ROUND);

    let other = path("other");
    let settings = ["search.c_puct=3.5", "rounds.trees_per_problem=2", "rounds.window=1"];
    let table = run(&branch(&origin, &other, &settings));
    assert_eq!(run(&["report", text(&other)]), table);
    for round in ["rounds/0", "rounds/1"] {
        assert!(files(&source.join(round)).values().eq(files(&other.join(round)).values()));
    }
    assert_ne!(
        fs::read(source.join("rounds/2/trees.jsonl")).unwrap(),
        fs::read(other.join("rounds/2/trees.jsonl")).unwrap()
    );
    let changes = json!([
        {"key": "rounds.trees_per_problem", "before": 1, "now": 2},
        {"key": "rounds.window", "before": 2, "now": 1},
        {"key": "search.c_puct", "before": 1.5, "now": 3.5},
    ]);
    let full = |path: &Path| fs::canonicalize(path).unwrap();
    let message = fail(&["report", text(&source), text(&other)], 2);
    let [one, two] = [&source, &other].map(|run| text(run));
    let expected = format!("rounds.trees_per_problem is 1 in {one} and 2 in {two}");
    assert!(message.contains(&expected) && message.contains("one by one"), "{message}");
    let link =
        |run: &Path, changes: &Value| json!({"run": full(run), "round": 1, "changes": changes});
    assert_eq!(read(&other.join("manifest.json"))["branch_of"], link(&source, &changes));
    let manifest = read(&source.join("manifest.json"));
    assert_eq!(manifest["branches"], json!([link(&same, &json!([])), link(&other, &changes)]));
    assert!(files(&source.join("rounds")) == rounds, "the source was written to");

    // What was measured in another way is measured anew; the net is still that of the source.
    let measured = path("measured");
    let settings =
        ["evaluation.decode.temperature=0.5", "rounds.gate={problems=10}", "rounds.count=1"];
    run(&branch(&origin, &measured, &settings));
    assert_same(
        &measured.join("rounds/1"),
        &source.join("rounds/1"),
        &[ROUND[0], ROUND[1], ROUND[3]],
    );
    let maj = |run: &Path| fs::read(run.join("rounds/1/evaluation.jsonl")).unwrap();
    assert_ne!(maj(&measured), maj(&source));
    assert_eq!(read(&measured.join("rounds/1/gate.json"))["problems"], 10);
    assert!(files(&source.join("rounds")) == rounds, "the source was written to");

    // The source goes on, and then is gone: the branch is what it was.
    let again = branch(
        &origin,
        &other,
        &["search.c_puct=3.5", "rounds.trees_per_problem=2", "rounds.window=1"],
    );
    run(&small(&source, &["rounds.count=3", "rounds.gate.problems=20"]));
    assert_eq!(run(&again), table);
    let moved = path("moved");
    fs::rename(&source, &moved).unwrap();
    assert_eq!(run(&again), table);
    assert!(!other.join("rounds/3").exists());
    let further = [&again[..], &["--set", "rounds.count=3"]].concat();
    run(&further);
    assert!(other.join("rounds/3/evaluate.json").exists());
}

#[test]
fn a_killed_branch_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let [source, killed] = ["source", "killed"].map(|name| folder.path().join(name));
    run(&small(&source, &["rounds.count=1"]));
    let origin = format!("{}@0", text(&source));
    let arguments = branch(&origin, &killed, &["rounds.count=1"]);
    // Cut short while it takes over: nothing of it is there yet.
    let partial = folder.path().join("killed.partial/rounds/0");
    fs::create_dir_all(&partial).unwrap();
    fs::write(partial.join("evaluate.json"), "half").unwrap();
    let mut child =
        espalier(&arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(300);
    while !killed.join("rounds/1/trees.jsonl.log").exists() {
        assert!(child.try_wait().unwrap().is_none() && Instant::now() < deadline);
        sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    run(&arguments);
    assert_same(&killed.join("rounds/1"), &source.join("rounds/1"), &ROUND);
    assert_eq!(read(&source.join("manifest.json"))["branches"].as_array().unwrap().len(), 1);
}

#[test]
fn a_branch_that_cannot_be_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let source = path("source");
    run(&small(&source, &["rounds.count=0"]));
    let (new, at) = (path("new"), |round: &str| format!("{}@{round}", text(&source)));
    let refused = |origin: &str, settings: &[&str], status: i32, part: &str| {
        let message = fail(&branch(origin, &new, settings), status);
        assert!(message.contains(part), "{part}: {message}");
        assert!(!new.exists() && !path("new.partial").exists());
    };
    refused(text(&source), &[], 2, "RUN@ROUND");
    refused(&at("-1"), &[], 2, "RUN@ROUND");
    refused(&at("2"), &[], 2, "has no round 2; its last is round 0");
    refused(&format!("{}@0", text(&path("absent"))), &[], 2, "there is no run in");
    refused(&at("0"), &["net.width=16"], 2, "net.width is 32 there and 16 here");
    refused(&at("0"), &["problems.max_value=9"], 2, "problems.max_value");
    refused(&at("0"), &["environment.prompt=question"], 2, "environment.prompt");
    refused(&at("0"), &["search.c_pcut=1"], 2, "did you mean `c_puct`?");
    fs::create_dir(source.join("rounds/1")).unwrap();
    refused(&at("1"), &["rounds.count=1"], 2, "round 1 of");
    fs::remove_dir(source.join("rounds/1")).unwrap();

    // A folder that holds a run, another branch, or something else.
    let origin = at("0");
    let message = fail(&branch(&origin, &source, &[]), 2);
    assert!(message.contains("a run that is no branch"), "{message}");
    run(&branch(&origin, &new, &["name=new"]));
    let other = format!("{}@0", text(&new));
    let message = fail(&branch(&other, &new, &[]), 2);
    assert!(message.contains("a branch of") && message.contains("source@0"), "{message}");
    let message = fail(&branch(&origin, &new, &["seed=9"]), 2);
    assert!(message.contains("seed is 3 there and 9 here"), "{message}");
    let full = path("full");
    fs::create_dir(&full).unwrap();
    fs::write(full.join("letter"), "").unwrap();
    let message = fail(&branch(&origin, &full, &[]), 2);
    assert!(message.contains("holds something else than a run"), "{message}");
    let inside = source.join("deep/inside");
    for command in [branch(&origin, &inside, &[]), small(&inside, &["rounds.count=0"])] {
        let message = fail(&command, 2);
        assert!(message.contains("lies in the run directory"), "{message}");
        assert!(!source.join("deep").exists());
    }

    // A source that cannot be written is no fault of the branch.
    fs::remove_file(source.join(".manifest.lock")).unwrap();
    fs::create_dir(source.join(".manifest.lock")).unwrap();
    let output = espalier(&branch(&origin, &path("third"), &[])).output().unwrap();
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && message.contains("does not list it"), "{message}");
}
