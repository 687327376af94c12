//! The probe of `[rounds]`: the same validation problems searched alike after every round.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::program::{TINY, espalier, fail, run, text};

/// Three numbers: a first step may leave a state that can be solved, or one that cannot.
const SMALL: [&str; 7] = [
    "problems.numbers=[3, 3]",
    "rounds.count=1",
    "rounds.problems=20",
    "training.epochs=1",
    "bootstrap.lines=3000",
    "evaluation.problems=10",
    "evaluation.decodings=[\"greedy\"]",
];

const PROBE: &str = "rounds.probe={problems=20, pass_at_k={k=[1, 4], samples=4}, search={simulations=10, samples=4}}";

fn command<'a>(run_dir: &'a Path, settings: &[&'a str]) -> Vec<&'a str> {
    let mut arguments = vec!["run", "--config", TINY, "--run-dir", text(run_dir)];
    for assignment in SMALL.iter().chain(settings) {
        arguments.extend(["--set", assignment]);
    }
    arguments
}

fn rows(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap_or_else(|_| panic!("{path:?}"));
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn questions(path: &Path) -> HashSet<String> {
    rows(path).iter().map(|row| row["question"].to_string()).collect()
}

#[test]
fn every_round_searches_the_same_problems_and_the_table_says_what_became_of_the_net() {
    let folder = tempfile::tempdir().unwrap();
    let [run_dir, killed, later] = ["run", "killed", "later"].map(|name| folder.path().join(name));
    let table = run(&command(&run_dir, &[PROBE]));

    let problems = questions(&run_dir.join("problems/probe.jsonl"));
    assert_eq!(problems.len(), 20);
    for other in ["test.jsonl", "round-1.jsonl"] {
        assert!(problems.is_disjoint(&questions(&run_dir.join("problems").join(other))), "{other}");
    }
    for round in ["0", "1"] {
        let round = run_dir.join("rounds").join(round);
        let trees = rows(&round.join("probe.jsonl"));
        assert_eq!(
            trees.iter().map(|tree| tree["question"].to_string()).collect::<HashSet<_>>(),
            problems
        );
        let summary: Value =
            serde_json::from_slice(&fs::read(round.join("probe.json")).unwrap()).unwrap();
        // The figures once more, from the files.
        let nodes = || trees.iter().map(|tree| tree["react"].as_object().unwrap());
        let solved = nodes().filter(|nodes| nodes.values().any(|node| node["correct"] == true));
        assert_eq!(summary["solved"]["mean"].as_f64().unwrap(), solved.count() as f64 / 20.0);
        let (mut expanded, mut distinct) = (0, 0);
        for nodes in nodes() {
            let mut children: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
            for (tag, node) in nodes.iter().filter(|(tag, _)| *tag != "0") {
                let parent = tag.rsplit_once('.').unwrap().0;
                children.entry(parent).or_default().push(node["action"].as_str().unwrap().trim());
            }
            assert!(children.values().all(|steps| steps.len() == 4));
            expanded += children.len();
            distinct += children
                .values()
                .map(|steps| steps.iter().collect::<HashSet<_>>().len())
                .sum::<usize>();
        }
        let outcomes = summary["outcomes"].as_array().unwrap();
        let count = |key: &str| outcomes.iter().filter(|one| one[key] == true).count();
        assert_eq!(count("solved") as f64 / 20.0, summary["solved"]["mean"].as_f64().unwrap());
        let right = outcomes.iter().map(|one| one["right"].as_u64().unwrap()).sum::<u64>();
        let pass = summary["pass_at_k"][0]["pass"].as_f64().unwrap();
        assert!((right as f64 / 80.0 - pass).abs() < 1e-9, "{right} of 80, {pass}");
        let steps = &summary["steps"];
        assert_eq!(steps["nodes"], expanded);
        let mean = distinct as f64 / expanded as f64;
        assert!((steps["distinct"].as_f64().unwrap() - mean).abs() < 1e-9);
        assert!(steps["surprisal"].as_f64().unwrap() > 0.0);
        let stops = summary["stops"].as_object().unwrap().values();
        assert_eq!(stops.map(|count| count.as_u64().unwrap()).sum::<u64>(), 20);
        let sets = rows(&round.join("probe-samples.jsonl"));
        assert!(sets.iter().all(|set| set["samples"].as_array().unwrap().len() == 4));
        let any = |set: &&Value| {
            set["samples"].as_array().unwrap().iter().any(|one| one["correct"] == true)
        };
        let pass = &summary["pass_at_k"][1];
        let share = sets.iter().filter(any).count() as f64 / 20.0;
        assert!((pass["pass"].as_f64().unwrap() - share).abs() < 1e-9, "{pass}");
        let values = &summary["values"];
        let (overall, first) = (&values["overall"], &values["by_depth"]["1"]);
        // After two of three numbers' steps a path has ended.
        assert_eq!(overall, first);
        assert_eq!(values["by_depth"].as_object().unwrap().len(), 1);
        let (n, solvable) = (overall["n"].as_u64().unwrap(), overall["solvable"].as_u64().unwrap());
        assert!(n > 0 && solvable <= n, "{overall}");
        let bins = overall["bins"].as_array().unwrap().iter();
        assert_eq!(bins.map(|bin| bin["n"].as_u64().unwrap()).sum::<u64>(), n);
    }
    for row in [
        "probe: validation problems",
        "solved by search, %",
        "pass@4 of the policy alone, %",
        "distinct steps a node",
        "−ln p of a sampled step",
        "simulations a problem",
        "searches that ended: ",
        "AUC of V at depth 1",
        "calibration error of V",
        "Brier score of V",
    ] {
        assert!(table.contains(row), "{row} in {table}");
    }
    let csv = fs::read_to_string(run_dir.join("table.csv")).unwrap();
    let cells = csv.lines().find(|line| line.starts_with("distinct steps a node,")).unwrap();
    assert_eq!(cells.split(',').filter(|cell| cell.parse::<f64>().is_ok()).count(), 2, "{cells}");

    // Killed within the probe it goes on, and a finished run can be probed: both give the same bits.
    let arguments = command(&killed, &[PROBE]);
    let mut child =
        espalier(&arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(300);
    while !killed.join("rounds/0/probe.jsonl.log").exists() {
        assert!(child.try_wait().unwrap().is_none(), "the run ended before it was killed");
        assert!(Instant::now() < deadline, "nothing is probed");
        sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(run(&arguments), table);
    let without = run(&command(&later, &[]));
    assert!(!without.contains("probe") && !without.contains("of V"), "{without}");
    assert_eq!(run(&command(&later, &[PROBE])), table);
    for other in [&killed, &later] {
        for file in ["0/probe.jsonl", "1/probe.jsonl", "1/probe-samples.jsonl"] {
            let [one, other] =
                [&run_dir, other].map(|run| fs::read(run.join("rounds").join(file)).unwrap());
            assert!(one == other, "{file}");
        }
    }
    let message = fail(&command(&later, &[PROBE, "rounds.probe.seed=1"]), 2);
    assert!(message.contains("rounds.probe.seed is 0 there and 1 here"), "{message}");

    // Two rounds' trees of a problem, side by side.
    let [first, second] =
        ["0", "1"].map(|round| run_dir.join("rounds").join(round).join("probe.jsonl"));
    let problem = rows(&first)[3]["problem"].as_str().unwrap().to_owned();
    let both = ["inspect", "tree", text(&first), text(&second)];
    let shown = run(&[&both[..], &["--problem", &problem]].concat());
    let head: Vec<&str> = shown.lines().take(3).collect();
    assert!(head[0].starts_with("1: ") && head[1].starts_with("2: "), "{shown}");
    assert!(head[..2].iter().all(|line| line.contains(&format!("problem {problem}, "))), "{shown}");
    assert!(head[2].ends_with("are in both trees"), "{shown}");
    assert!(shown.lines().skip(3).all(|line| line.matches('|').count() >= 2), "{shown}");
    assert!(shown.lines().all(|line| line.chars().count() < 250), "{shown}");
    let all = run(&both);
    assert_eq!(all.lines().filter(|line| line.starts_with("1: ")).count(), 20);
    assert!(fail(&[&both[..], &["--problem", "no-such"]].concat(), 2).contains("no-such"));
    assert!(fail(&[&both[..], &["--json"]].concat(), 2).contains("--json"));
    let trees = run_dir.join("rounds/1/trees.jsonl");
    let message = fail(&["inspect", "tree", text(&first), text(&trees)], 2);
    assert!(message.contains("no problem in common"), "{message}");
}

#[test]
fn a_dry_run_tells_of_the_probe_and_wrong_settings_are_named() {
    let dry = ["run", "--config", TINY, "--dry-run"];
    let told = run(&[&dry[..], &["--set", "rounds.probe={}"]].concat());
    assert!(told.contains("probe      64 problems after every round"), "{told}");
    assert!(!run(&dry).contains("probe"));
    let json = run(&[&dry[..], &["--set", "rounds.probe.problems=5", "--json"]].concat());
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        (&json["probe"]["problems"], &json["probe"]["simulations"]),
        (&5.into(), &40.into())
    );
    for (setting, part) in [
        ("rounds.probe.problems=0", "problems must be at least 1"),
        ("rounds.probe.search.widening=2", "widening = 2"),
        ("rounds.probe.search.simulation=2", "did you mean `simulations`?"),
        ("rounds.probe.pass_at_k.k=[50]", "k = 50"),
    ] {
        let message = fail(&[&dry[..], &["--set", setting]].concat(), 2);
        assert!(message.contains("rounds.probe") && message.contains(part), "{message}");
    }
}
