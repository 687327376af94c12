//! The arithmetic environment through the program.

use std::fs;

use serde_json::Value;

use crate::program::{TINY, fail, run, text};

const ARITHMETIC: [&str; 4] = [
    "--set",
    "environment.kind=arithmetic",
    "--set",
    "problems={kind=\"generated\", operations=[3, 4], max_value=9, operators=\"+-\", parentheses=0.1}",
];

const ROWS: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/reasoning-gym-arithmetic.jsonl");

fn rows(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_whole_run_trains_a_net_and_measures_it_against_the_truth() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let tiny = ["run", "--config", TINY, "--run-dir", text(&out)];
    let short = ["--set", "rounds.count=1", "--set", "net.max_length=96"];
    let lines = ["--set", "bootstrap.lines=6000"];
    let table = run(&[&tiny[..], &ARITHMETIC, &short, &lines].concat());
    assert!(table.contains("greedy"), "{table}");
    let recipe = fs::read_to_string(out.join("recipe.toml")).unwrap();
    assert!(recipe.contains("operators = \"+-\""), "{recipe}");
    let metrics = rows(&fs::read_to_string(out.join("metrics.jsonl")).unwrap());
    let of = |round: u64, stage: &str| {
        metrics.iter().find(|row| row["round"] == round && row["stage"] == stage).unwrap()
    };
    let auc = &of(1, "harvest")["q_auc"];
    assert!(auc["n"].as_u64().unwrap() > 50, "{auc}");
    assert!(of(1, "evaluate")["value_auc"]["n"].as_u64().unwrap() > 50);
}

#[test]
fn rows_of_reasoning_gym_are_read_searched_and_split() {
    let folder = tempfile::tempdir().unwrap();
    let trees = folder.path().join("trees.jsonl");
    let uniform = ["--config", TINY, "--set", "policy={kind=\"uniform\"}"];
    let search = ["search", "--problems", ROWS, "--out", text(&trees), "--json"];
    let more = ["--set", "search.samples=12", "--set", "search.simulations=60"];
    let summary = rows(&run(&[&search[..], &uniform, &ARITHMETIC, &more].concat())).remove(0);
    assert_eq!(summary["problems"], 20);
    assert!(summary["solved"].as_u64().unwrap() > 14, "{summary}");
    let jsonl = format!("problems={{kind=\"jsonl\", path={ROWS:?}}}");
    let all: usize = ["train", "validation", "test"]
        .iter()
        .map(|split| {
            let generate = ["generate", "--split", split, "--config", TINY];
            let file = ["--set", "environment.kind=arithmetic", "--set", &jsonl];
            run(&[&generate[..], &file].concat()).lines().count()
        })
        .sum();
    assert_eq!(all, 20);
}

#[test]
fn a_typed_expression_is_solved_and_a_bad_one_is_refused() {
    let uniform = ["--config", TINY, "--set", "policy={kind=\"uniform\"}"];
    let solve = |problem: &'static str| {
        [&["solve", problem, "--json", "--decoding", "mcts:20"][..], &uniform, &ARITHMETIC].concat()
    };
    let solution: Value = serde_json::from_str(&run(&solve("2+3"))).unwrap();
    assert_eq!((&solution["answer"], &solution["correct"]), (&"5".into(), &true.into()));
    assert!(fail(&solve("2+*3"), 2).contains("2+3*(7-4)"));
    let misspelt = ["generate", "--config", TINY, "--set", "environment.kind=arithmetic", "--set"];
    for (problems, section, part) in [
        (
            "problems={kind=\"generated\", operation=[2, 3]}",
            "[problems]",
            "did you mean `operations`?",
        ),
        ("problems={kind=\"generated\", operations=[2, 3]}", "[problems]", "operations = [2, 3]"),
        ("problems={kind=\"generated\", parentheses=\"no\"}", "problems.", "parentheses = \"no\""),
    ] {
        let message = fail(&[&misspelt[..], &[problems]].concat(), 2);
        assert!(message.contains(section) && message.contains(part), "{problems}: {message}");
    }
}
