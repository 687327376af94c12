//! Searching, measuring and solving with a policy that is no language model.

use std::fs;

use serde_json::Value;

use crate::program::{TINY, fail, run, text};

const UNIFORM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/configs/countdown-uniform.toml");

fn rows(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_uniform_policy_searches_solves_and_is_measured() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (problems, trees, labels) =
        (path("problems.jsonl"), path("trees.jsonl"), path("labels.jsonl"));
    let config = ["--config", UNIFORM];
    let with = |arguments: &[&str]| run(&[arguments, &config].concat());
    with(&["generate", "--split", "test", "--count", "40", "--out", text(&problems)]);
    let evaluate = ["evaluate", "--problems", text(&problems), "--json", "--decoding"];
    let accuracy = |decoding: &str| {
        let row = &rows(&with(&[&evaluate[..], &[decoding]].concat()))[0];
        row["accuracy"].as_f64().unwrap()
    };
    assert!(accuracy("greedy") < 0.5);

    let search = ["search", "--problems", text(&problems), "--out", text(&trees), "--json"];
    let summary = &rows(&with(&search))[0];
    let solved = summary["solved"].as_u64().unwrap();
    assert!(summary["inference"].is_null() && (20..=40).contains(&solved), "{summary}");
    with(&["harvest", "--trees", text(&trees), "--out", text(&labels)]);
    let solutions = rows(&fs::read_to_string(&labels).unwrap());
    assert!(solutions.iter().any(|solution| solution["correct"] == true));

    let solved = with(&["solve", "9: 4 5", "--decoding", "mcts:20"]);
    assert!(solved.contains("answer"), "{solved}");
}

#[test]
fn a_table_is_followed_and_a_context_that_it_lacks_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let table = folder.path().join("table.jsonl");
    fs::write(
        &table,
        "{\"context\": \"21:3 7\\n\", \"value\": 0.5, \"steps\": [{\"action\": \"3*7\", \"probability\": 0.9}, \
         {\"action\": \"3+7\", \"probability\": 0.1}]}\n{\"context\": \"21:3 7\\n3*7=21|21\\n\", \"value\": 1}\n",
    )
    .unwrap();
    let path = format!("policy={{kind=\"table\", path={table:?}}}");
    let settings = ["--config", TINY, "--set", &path, "--json"];
    let solve = |problem: &'static str, decoding: &'static str| {
        [&["solve", problem, "--decoding", decoding][..], &settings].concat()
    };
    for decoding in ["greedy", "mcts:5"] {
        let solution: Value = serde_json::from_str(&run(&solve("21: 3 7", decoding))).unwrap();
        assert_eq!((&solution["answer"], &solution["correct"]), (&"21".into(), &true.into()));
    }
    let message = fail(&solve("22: 3 7", "greedy"), 3);
    assert!(
        message.contains("table.jsonl has no steps") && message.contains("22:3 7"),
        "{message}"
    );
}

#[test]
fn a_run_refuses_a_policy_that_it_cannot_train_and_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let run = ["run", "--config", TINY, "--run-dir", text(&out), "--set"];
    let table = "policy={kind=\"table\", path=\"table.jsonl\"}";
    for (policy, kind) in [("policy={kind=\"uniform\"}", "uniform"), (table, "table")] {
        let message = fail(&[&run[..], &[policy]].concat(), 2);
        assert!(message.contains(kind) && message.contains("`espalier search`"), "{message}");
        assert!(!out.exists());
    }
    let message = fail(&["solve", "9: 4 5", "--config", UNIFORM, "--checkpoint", "net"], 2);
    assert!(message.contains("has no net"), "{message}");
    for (assignment, part) in [
        ("policy={kind=\"uniform\", samples=3}", "samples"),
        ("policy={kind=\"table\"}", "path"),
        ("policy={kind=\"table\", path=\"nowhere.jsonl\"}", "nowhere.jsonl"),
    ] {
        let message = fail(&["solve", "9: 4 5", "--config", TINY, "--set", assignment], 2);
        assert!(message.contains(part), "{assignment}: {message}");
    }
}
