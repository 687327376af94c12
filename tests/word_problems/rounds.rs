//! Whole runs on a tiny net.

use std::fs;

use super::{World, lines};
use crate::program::{run, text};

const SHOT: &str = "[[environment.shots]]\nquestion = \"Gil has 1 and 2. How many?\"\nsolution = \"1+2=3\\n#### 3\"\n";

#[test]
fn a_run_on_worked_solutions_searches_and_trains_without_examples() {
    let world = World::new("shots_until_round = 0", "kind = \"solutions\"\nepochs = 30");
    let (recipe, run_dir) = (world.recipe(), world.path("run"));
    let arguments = ["run", "--config", text(&recipe), "--run-dir", text(&run_dir)];
    let table = run(&arguments);
    assert!(table.contains("greedy") && table.contains("mcts:3"), "{table}");
    let summary: serde_json::Value =
        serde_json::from_slice(&fs::read(run_dir.join("rounds/0/pretrain.json")).unwrap()).unwrap();
    assert_eq!((&summary["kind"], &summary["policy_solutions"]), (&"solutions".into(), &24.into()));
    // One answer is right for every problem: the net has learnt to give it.
    let search = &lines(&run_dir.join("metrics.jsonl"))[2];
    assert_eq!(search["stage"], "search");
    assert!(search["solved"].as_u64().unwrap() > 18, "{search}");
    let evaluated = lines(&run_dir.join("rounds/1/evaluation.jsonl"));
    assert_eq!(evaluated.len(), 4 * 8);
    let right = evaluated.iter().filter(|row| row["correct"] == true).count();
    assert!(right > 16, "{right} of 32 right");
    // Problems of the file's own test split, and of no other.
    assert!(
        evaluated
            .iter()
            .all(|row| row["problem"].as_str().unwrap()[1..].parse::<usize>().unwrap() >= 24)
    );
    let labels = lines(&run_dir.join("rounds/1/labels.jsonl"));
    for label in &labels {
        let prompt = label["prompt"].as_str().unwrap();
        assert!(prompt.starts_with("Question: ") && prompt.ends_with("How many?\nAnswer:\n"));
        for step in label["steps"].as_array().unwrap() {
            assert!(step["observation"].as_str().unwrap().ends_with('\n'), "{step}");
        }
    }
    assert!(labels.iter().any(|label| label["correct"] == true));
    assert_eq!(run(&arguments), table);
}

#[test]
fn the_untouched_model_is_shown_examples_and_no_later_net_is() {
    let world = World::new(&format!("shots_until_round = 1\n{SHOT}"), "kind = \"checkpoint\"");
    let (recipe, run_dir) = (world.recipe(), world.path("run"));
    let fewer = ["--set", "rounds.problems=6", "--set", "evaluation.decodings=[\"greedy\"]"];
    let arguments = ["run", "--config", text(&recipe), "--run-dir", text(&run_dir)];
    run(&[&arguments[..], &fewer].concat());
    let read = |path: &str| fs::read(world.path(path)).unwrap();
    assert!(read("run/rounds/0/checkpoint/model.safetensors") == read("base/model.safetensors"));
    let summary: serde_json::Value =
        serde_json::from_slice(&read("run/rounds/0/pretrain.json")).unwrap();
    assert_eq!(summary["kind"], "checkpoint");
    for tree in lines(&run_dir.join("rounds/1/trees.jsonl")) {
        let prompt = tree["react"]["0"]["text"].as_str().unwrap();
        assert!(
            prompt.starts_with("Question: Gil has 1 and 2. How many?\nAnswer:\n1+2=3\n#### 3\n\n"),
            "{prompt}"
        );
    }
    for label in lines(&run_dir.join("rounds/1/labels.jsonl")) {
        assert!(!label["prompt"].as_str().unwrap().contains("Gil"), "{label}");
    }
}
