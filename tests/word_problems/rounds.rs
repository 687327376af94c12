//! Whole runs on a tiny net.

use std::fs;
use std::path::Path;

use super::{World, lines};
use crate::program::{fail, run, text};

const SHOT: &str = "[[environment.shots]]\nquestion = \"Gil has 1 and 2. How many?\"\nsolution = \"1+2=3\\n#### 3\"\n";

/// The lines of a record that are decoded problems; the others are sets of samples.
fn decoded(path: &Path) -> Vec<serde_json::Value> {
    lines(path).into_iter().filter(|line| line["decoding"].is_string()).collect()
}

#[test]
fn a_run_on_worked_solutions_searches_and_trains_without_examples() {
    let world = World::new("shots_until_round = 0", "kind = \"solutions\"\nepochs = 30");
    let (recipe, run_dir) = (world.recipe(), world.path("run"));
    // Few steps: in more, on two dozen solutions, so small a net forgets how a step ends as often as not.
    let few = ["--set", "training.epochs=2"];
    let arguments =
        [&["run", "--config", text(&recipe), "--run-dir", text(&run_dir)][..], &few].concat();
    let table = run(&arguments);
    assert!(table.contains("greedy") && table.contains("mcts:3"), "{table}");
    let summary: serde_json::Value =
        serde_json::from_slice(&fs::read(run_dir.join("rounds/0/pretrain.json")).unwrap()).unwrap();
    assert_eq!((&summary["kind"], &summary["policy_solutions"]), (&"solutions".into(), &24.into()));
    // One answer is right for every problem: the net has learnt to give it.
    let search = &lines(&run_dir.join("metrics.jsonl"))[2];
    assert_eq!(search["stage"], "search");
    assert!(search["solved"].as_u64().unwrap() > 18, "{search}");
    let evaluated: Vec<serde_json::Value> = (0..2)
        .flat_map(|round| decoded(&run_dir.join(format!("rounds/{round}/evaluation.jsonl"))))
        .collect();
    assert_eq!(evaluated.len(), 2 * 4 * 8);
    let right = evaluated.iter().filter(|row| row["correct"] == true).count();
    assert!(right > 32, "{right} of 64 right");
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
fn problems_of_other_sources_are_measured_beside_the_held_out_ones() {
    let world = World::new("shots_until_round = 0", "kind = \"solutions\"\nepochs = 30");
    let rows = ["Nan", "Una"].map(|name| {
        format!("{{\"Body\": \"{name} has 2 and 2.\", \"Question\": \"How many?\", \"Answer\": 4.0, \"ID\": \"{name}\"}}\n")
    });
    let path = world.path("svamp.jsonl");
    fs::write(&path, rows.concat()).unwrap();
    let other = format!("evaluation.others.svamp={{ format = \"svamp\", path = {path:?} }}");
    let (recipe, run_dir) = (world.recipe(), world.path("run"));
    let fewer =
        ["--set", "evaluation.decodings=[\"greedy\", \"maj@3\"]", "--config", text(&recipe)];
    let arguments = [&["run", "--run-dir", text(&run_dir), "--set", &other][..], &fewer].concat();
    let table = run(&arguments);
    for part in ["svamp: greedy", "svamp: maj@3", "training problems solved, %"] {
        assert!(table.contains(part), "{part} in {table}");
    }
    for round in ["0", "1"] {
        let folder = run_dir.join("rounds").join(round);
        let decoded = decoded(&folder.join("evaluation-svamp.jsonl"));
        let ids: Vec<&str> = decoded.iter().filter_map(|row| row["problem"].as_str()).collect();
        assert_eq!(ids.len(), 4, "{ids:?}");
        assert!(ids.iter().all(|id| ["Nan", "Una"].contains(id)), "{ids:?}");
        let summary = fs::read(folder.join("evaluate.json")).unwrap();
        let summary: serde_json::Value = serde_json::from_slice(&summary).unwrap();
        assert_eq!(summary["others"]["svamp"][1]["decoding"], "maj@3");
        assert_eq!(summary["others"]["svamp"][1]["n"], 2);
    }
    // What was drawn is in the run: the file is not needed again.
    fs::remove_file(&path).unwrap();
    fs::remove_file(run_dir.join("rounds/1/evaluate.json")).unwrap();
    assert_eq!(run(&arguments), table);
    let without = world.path("without");
    run(&[&["run", "--run-dir", text(&without), "--set", "rounds.count=0"][..], &fewer].concat());
    // A row of both is of what both were measured on.
    let table = run(&["report", text(&run_dir), text(&without)]);
    assert!(table.contains("greedy") && !table.contains("svamp"), "{table}");
    let new = world.path("new");
    let error = fail(&[&arguments[..2], &[text(&new)], &arguments[3..]].concat(), 3);
    assert!(
        error.contains("[evaluation.others.svamp]") && error.contains("svamp.jsonl"),
        "{error}"
    );
    assert!(!new.join("rounds").exists(), "a source is read before anything is computed");
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
    // The commands for single stages ask each net as its round did: its checkpoint says how.
    let prompt = |round: &str, more: &[&str]| {
        let net = run_dir.join("rounds").join(round).join("checkpoint");
        let (problems, trees) = (run_dir.join("problems/test.jsonl"), world.path("alone.jsonl"));
        let files = ["--problems", text(&problems), "--out", text(&trees)];
        let one = ["--set", "search.simulations=1", "--checkpoint", text(&net)];
        run(&[&["search"][..], &files, &one, more].concat());
        let tree = lines(&trees).remove(0);
        fs::remove_file(&trees).unwrap();
        tree["react"]["0"]["text"].as_str().unwrap().to_owned()
    };
    let with = ["--config", text(&recipe)];
    let [shown, bare] = ["0", "1"].map(|round| prompt(round, &with));
    assert!(shown.contains("Gil") && bare.ends_with("How many?\nAnswer:\n"), "{shown} {bare}");
    assert!(!bare.contains("Gil"), "{bare}");
    assert_eq!(prompt("1", &[]), bare);
    let other = world.path("other.toml");
    let changed = fs::read_to_string(&recipe).unwrap().replace("\"plain\"", "\"xml\"");
    let changed = changed.replace("Gil", "Sal").replace("#### 3", "Final Answer: 3");
    fs::write(&other, changed).unwrap();
    assert_eq!(prompt("1", &["--config", text(&other)]), bare);
    let told = prompt("1", &["--config", text(&other), "--as-round", "0"]);
    assert!(told.contains("Sal") && told.contains("<question>"), "{told}");
    let set = ["--set", "environment.shots_until_round=2"];
    assert_eq!(
        prompt("1", &[&with[..], &set].concat()).replace(&bare, ""),
        shown.replace(&bare, "")
    );
}
