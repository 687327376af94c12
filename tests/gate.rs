//! The gate and the replay window of `[rounds]`.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::program::{TINY, fail, run, text, tiny_run};

fn summary(run_dir: &Path, file: &str) -> Value {
    serde_json::from_slice(&fs::read(run_dir.join("rounds").join(file)).unwrap()).unwrap()
}

const SMALL: [&str; 3] = ["rounds.problems=40", "training.epochs=1", "rounds.gate.problems=30"];

#[test]
fn a_net_that_does_worse_is_not_taken_on_and_the_round_says_so() {
    let folder = tempfile::tempdir().unwrap();
    // So large a rate that a net forgets all that it knew; round 0 has its own.
    let ruin = ["training.learning_rate=0.5", "bootstrap.learning_rate=5e-3"];
    let start = ["rounds.start_from=previous"];
    let run_dir = tiny_run(folder.path(), &[&SMALL[..], &ruin, &start].concat());
    let gates: Vec<Value> =
        (0..=2).map(|round| summary(&run_dir, &format!("{round}/gate.json"))).collect();
    let told = |gate: &Value| (gate["taken"].as_bool().unwrap(), gate["net"].as_u64().unwrap());
    assert_eq!(gates.iter().map(told).collect::<Vec<_>>(), [(true, 0), (false, 0), (false, 0)]);
    assert!(gates[0]["measured"].as_f64().unwrap() > gates[1]["measured"].as_f64().unwrap());
    assert_eq!(
        (&gates[1]["before"], &gates[2]["before"]),
        (&gates[0]["measured"], &gates[0]["measured"])
    );
    assert_eq!(gates[1]["problems"], 30);
    let table = fs::read_to_string(run_dir.join("table.csv")).unwrap();
    assert!(table.contains("net taken on,yes,no,no"), "{table}");

    // No held-out problem and no training problem is among the validation problems.
    let ids = |name: &str| -> Vec<String> {
        let text = fs::read_to_string(run_dir.join("problems").join(name)).unwrap();
        let row = |line| serde_json::from_str::<Value>(line).unwrap()["question"].to_string();
        text.lines().map(row).collect()
    };
    let validation = ids("validation.jsonl");
    assert_eq!(validation.len(), 30);
    for name in ["test.jsonl", "round-1.jsonl", "round-2.jsonl"] {
        assert!(ids(name).iter().all(|question| !validation.contains(question)), "{name}");
    }

    // The second round is searched with round 0's net: with the same problems it grows the same trees.
    let again = folder.path().join("trees.jsonl");
    let problems = run_dir.join("problems/round-2.jsonl");
    let net = run_dir.join("rounds/0/checkpoint");
    let search =
        ["search", "--config", TINY, "--checkpoint", text(&net), "--problems", text(&problems)];
    run(&[&search[..], &["--out", text(&again)]].concat());
    let roots = |path: &Path| -> Vec<Value> {
        let text = fs::read_to_string(path).unwrap();
        let root =
            |line| serde_json::from_str::<Value>(line).unwrap()["react"]["0"]["value"].clone();
        text.lines().map(root).collect()
    };
    assert_eq!(roots(&run_dir.join("rounds/2/trees.jsonl")), roots(&again));
}

#[test]
fn rounds_take_turns_learn_from_their_window_and_with_smaller_and_smaller_steps() {
    let folder = tempfile::tempdir().unwrap();
    let small =
        ["rounds.count=3", "rounds.problems=30", "training.epochs=1", "bootstrap.lines=300"];
    let solutions = |run_dir: &Path, round: usize| {
        let harvest = summary(run_dir, &format!("{round}/harvest.json"));
        harvest["correct"].as_u64().unwrap() + harvest["incorrect"].as_u64().unwrap()
    };
    let slower =
        ["rounds.window=2", "rounds.learning_rate_decay=0.5", "training.warmup_fraction=0"];
    let window = [&small[..], &slower, &["rounds.pool=60"]].concat();
    let run_dir = tiny_run(folder.path(), &window);
    let learnt = |round: usize| {
        summary(&run_dir, &format!("{round}/train.json"))["value_solutions"].as_u64().unwrap()
    };
    let of = |rounds: std::ops::RangeInclusive<usize>| -> u64 {
        rounds.map(|round| solutions(&run_dir, round)).sum()
    };
    assert_eq!([learnt(1), learnt(2), learnt(3)], [of(1..=1), of(1..=2), of(2..=3)]);
    // Two rounds have searched the pool, and the third begins again.
    let problems = |round: usize| {
        fs::read_to_string(run_dir.join(format!("problems/round-{round}.jsonl"))).unwrap()
    };
    assert_eq!(problems(1), problems(3));
    assert!(problems(1).lines().all(|problem| !problems(2).contains(problem)));
    // Without a warm-up the first step has the peak.
    for (round, peak) in [(1, 5e-3), (2, 2.5e-3), (3, 1.25e-3)] {
        let first = summary(&run_dir, &format!("{round}/train.json"))["report"]["first"].clone();
        let rate = first["learning_rate"].as_f64().unwrap();
        assert!((rate - peak).abs() < 1e-9, "{round}: {rate}");
    }
}

#[test]
fn too_few_problems_of_any_round_are_known_before_anything_is_learnt() {
    let folder = tempfile::tempdir().unwrap();
    for (setting, part) in
        [("rounds.gate.problems=500", "[rounds.gate]"), ("rounds.count=9", "widen the bounds")]
    {
        let run_dir = folder.path().join(part);
        let message =
            fail(&["run", "--config", TINY, "--run-dir", text(&run_dir), "--set", setting], 2);
        assert!(message.contains(part) && message.contains("widen the bounds"), "{message}");
        assert!(!run_dir.join("rounds/0/checkpoint").exists());
    }
    let nothing = ["--set", "labels.paths={max_correct=0, max_incorrect=0}"];
    let message = fail(&[&["run", "--config", TINY][..], &nothing].concat(), 2);
    assert!(message.contains("keep nothing to learn from"), "{message}");
}
