//! The stages one by one, and what wrong recipes are answered with.

use std::fs;

use super::{World, lines};
use crate::program::{fail, run, text};

#[test]
fn every_stage_runs_alone() {
    let world = World::new("", "kind = \"solutions\"\nepochs = 30");
    let recipe = world.recipe();
    let path = |name: &str| world.path(name);
    let [net, trees, labels, trained, problems] =
        ["net", "trees.jsonl", "labels.jsonl", "trained", "drawn.jsonl"].map(path);
    let with = |arguments: &[&str]| run(&[arguments, &["--config", text(&recipe)]].concat());
    let told = with(&["pretrain", "--out", text(&net)]);
    assert!(told.starts_with("trained on 24 worked solutions"), "{told}");
    with(&["generate", "--split", "test", "--count", "5", "--out", text(&problems)]);
    assert_eq!(lines(&problems).len(), 5);
    let on = ["--checkpoint", text(&net), "--problems", text(&problems)];
    with(&[&["search", "--out", text(&trees)][..], &on].concat());
    with(&["harvest", "--trees", text(&trees), "--out", text(&labels)]);
    let from = ["--checkpoint", text(&net), "--labels", text(&labels)];
    let lora = ["--set", "training.lora={rank=2}", "--set", "training.epochs=1"];
    with(&[&["train", "--out", text(&trained)][..], &from, &lora].concat());
    assert!(trained.join("adapter/adapter_config.json").exists());
    let results = with(&[&["evaluate", "--json", "--decoding", "maj@3"][..], &on].concat());
    let result: serde_json::Value = serde_json::from_str(&results).unwrap();
    assert_eq!(result["n"], 5);
    let solve = ["solve", "Ada has 2 and 2. How many?", "--decoding", "sbs:2x3", "--checkpoint"];
    let shown = with(&[&solve[..], &[text(&net)]].concat());
    assert!(shown.contains("answer 4 (no right answer is known)"), "{shown}");
}

#[test]
fn code_runs_in_the_embedded_interpreter_from_the_command_line() {
    let code = "<code>\n2+2\n</code>\n<output>\n4\n</output>";
    let answer = "<p>\nFinal Answer: 4\n</p>";
    let world = World::new("", "kind = \"solutions\"\nepochs = 60");
    let rows: Vec<String> = lines(&world.path("problems.jsonl"))
        .into_iter()
        .map(|mut row| {
            row["metadata"]["solution"] = serde_json::json!([code, answer]);
            row.to_string()
        })
        .collect();
    fs::write(world.path("problems.jsonl"), rows.join("\n")).unwrap();
    let (recipe, net) = (world.recipe(), world.path("net"));
    let xml = ["--config", text(&recipe), "--set", "environment.format=xml"];
    let longer = ["--set", "policy.max_step_tokens=40"];
    run(&[&["pretrain", "--out", text(&net)][..], &xml].concat());
    let solve = ["solve", "Ada has 2 and 2. How many?", "--decoding", "greedy", "--json"];
    let solved = run(&[&solve[..], &xml, &longer, &["--checkpoint", text(&net)]].concat());
    let solution: serde_json::Value = serde_json::from_str(&solved).unwrap();
    assert_eq!(solution["answer"], "4", "{solution}");
    let steps = solution["steps"].as_array().unwrap();
    let ran = |step: &serde_json::Value| {
        step["action"] == "<code>\n2+2"
            && step["observation"] == "\n</code>\n<output>\n4\n</output>\n</step>\n"
    };
    assert!(steps.iter().any(ran), "{solution}");
}

#[test]
fn wrong_recipes_are_refused_before_anything_is_begun() {
    let world = World::new("", "kind = \"checkpoint\"");
    let (recipe, run_dir) = (world.recipe(), world.path("run"));
    let refuse = |assignments: &[&str], status: i32| {
        let mut arguments = vec!["run", "--config", text(&recipe), "--run-dir", text(&run_dir)];
        assignments.iter().for_each(|assignment| arguments.extend(["--set", assignment]));
        let message = fail(&arguments, status);
        assert!(!run_dir.exists(), "{assignments:?}");
        message
    };
    for (assignment, part) in [
        ("environment.format=yaml", "xml"),
        ("environment.format={stop=[]}", "did you mean `stops`?"),
        ("environment.errors_treshold=3", "did you mean `errors_threshold`?"),
        ("environment.executor.timeout_seconds=0", "timeout_seconds"),
        ("environment.shots_file=nowhere.jsonl", "nowhere.jsonl"),
        ("environment.chat={template=\"nowhere\"}", "chat.template"),
        ("problems={kind=\"generated\"}", "makes no problems"),
        ("bootstrap={kind=\"random_lines\"}", "no random legal steps"),
        ("bootstrap={kind=\"solutions\"}", "needs `path`"),
        ("rounds.first_temperature=-1", "first_temperature"),
    ] {
        let message = refuse(&[assignment], 2);
        assert!(message.contains(part), "{assignment}: {message}");
    }
    let python = "environment.executor={kind=\"cpython\", python=\"no-such-python\"}";
    let message = refuse(&["environment.format=xml", python], 2);
    assert!(message.contains("no-such-python"), "{message}");
    let message = refuse(
        &["environment.format=xml", "objective={kind=\"alphamath\", observation_loss=false}"],
        2,
    );
    assert!(message.contains("observation_loss"), "{message}");
    let countdown = ["--set", "environment={kind=\"countdown\"}"];
    let generated = ["--set", "problems={kind=\"generated\"}", "--set", "bootstrap.kind=solutions"];
    let arguments = ["run", "--dry-run", "--config", text(&recipe)];
    let message = fail(&[&arguments[..], &countdown, &generated].concat(), 2);
    assert!(message.contains("carry no solutions"), "{message}");
}
