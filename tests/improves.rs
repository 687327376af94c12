//! The point of it all: a net that gets better by its own search.

use std::fs;

use serde_json::Value;

use crate::program::tiny_run;

#[test]
fn the_loop_makes_a_better_model_and_its_labels_tell_good_from_bad() {
    let folder = tempfile::tempdir().unwrap();
    // Enough random lines to know how numbers add up, and two steps to a solution, so that a step before the last has a label.
    let overrides = [
        "problems.numbers=[2, 3]",
        "bootstrap.lines=20000",
        "rounds.problems=170",
        "evaluation.problems=100",
        "training.epochs=20",
    ];
    let run = tiny_run(folder.path(), &overrides);
    let stage = |round: usize, name: &str| -> Value {
        let path = run.join(format!("rounds/{round}/{name}.json"));
        serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
    };
    let accuracy = |round: usize, decoding: &str| -> f64 {
        let summary = stage(round, "evaluate");
        let results = summary["results"].as_array().unwrap();
        let result = results.iter().find(|result| result["decoding"] == decoding).unwrap();
        result["accuracy"].as_f64().unwrap()
    };
    // Round 0 has seen no solution; a legal step out of two numbers is right by luck.
    assert!(accuracy(0, "greedy") < 0.4, "round 0: {}", accuracy(0, "greedy"));
    assert!(
        accuracy(2, "greedy") > accuracy(0, "greedy") + 0.1,
        "greedy {} -> {}",
        accuracy(0, "greedy"),
        accuracy(2, "greedy")
    );
    assert!(accuracy(2, "sbs:2x3") > accuracy(0, "greedy") + 0.1);
    // Steps that keep the target in reach have the higher Q: the area is above one half by more than its 95% interval.
    for round in [1, 2] {
        let auc = &stage(round, "harvest")["q_auc"];
        assert!(auc["low"].as_f64().unwrap() > 0.5, "round {round}: {auc}");
    }

    let metrics = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let stages: Vec<String> = metrics
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .map(|line| format!("{}{}", line["round"], line["stage"].as_str().unwrap()))
        .collect();
    let expected = [
        "0pretrain",
        "0evaluate",
        "1search",
        "1harvest",
        "1train",
        "1evaluate",
        "2search",
        "2harvest",
        "2train",
        "2evaluate",
    ];
    assert_eq!(stages, expected);
}
