//! `espalier evaluate process` and `votes`.

use std::fs;
use std::path::Path;

use espalier::search::testing::data_set;
use serde_json::{Value, json};

use crate::program::{TINY, fail, first_rows, run, text, tiny_run};

fn write(path: &Path, rows: &[Value]) {
    let lines: Vec<String> = rows.iter().map(|row| format!("{row}\n")).collect();
    fs::write(path, lines.concat()).unwrap();
}

fn rows(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Solutions of countdown problems of two numbers with one more step than they need, so that there is a choice of steps.
fn solutions(first: u64) -> Vec<Value> {
    let solution = |index: u64| {
        let (a, b) = (first + index, 2 + index % 3);
        let label = [-1, 0, 1][index as usize % 3];
        json!({
            "id": format!("s-{index}"),
            "generator": "hand",
            "problem": format!("{}:{a} {b}", a * b),
            "steps": [format!("{a}*{b}={}", a * b), format!("{a}+{b}={}", a + b)],
            "final_answer_correct": label == -1,
            "label": label,
        })
    };
    (0..9).map(solution).collect()
}

#[test]
fn steps_are_judged_by_the_value_net() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let run_dir = tiny_run(folder.path(), &["rounds.count=1", "bootstrap.lines=300"]);
    let checkpoint = run_dir.join("rounds/1/checkpoint");
    let (measured, validation, out) =
        (path("measured.jsonl"), path("validation.json"), path("out.jsonl"));
    write(&measured, &solutions(5));
    // The published files are arrays.
    fs::write(&validation, Value::Array(solutions(9)).to_string()).unwrap();
    let evaluate = [
        "evaluate",
        "process",
        text(&measured),
        "--config",
        TINY,
        "--checkpoint",
        text(&checkpoint),
    ];
    let process = |arguments: &[&str]| {
        let rows = rows(&run(&[&evaluate[..], arguments, &["--json"]].concat()));
        assert_eq!((rows.len(), &rows[0]["schema"]), (1, &json!("espalier.process/1")));
        rows[0].clone()
    };

    // Nothing is below -2: all solutions pass, and no error is found.
    let none = process(&["--threshold", "-2"]);
    assert_eq!(
        (&none["n"], &none["n_error"], &none["n_correct"]),
        (&json!(9), &json!(6), &json!(3))
    );
    assert_eq!(
        (&none["accuracy_error"], &none["accuracy_correct"], &none["f1"]),
        (&json!(0.0), &json!(1.0), &json!(0.0))
    );
    assert_eq!((&none["threshold"], &none["validation"]), (&json!(-2.0), &Value::Null));
    // Everything is below 2: the first step of each is called wrong, which half of the six errors are.
    let all = process(&["--threshold", "2"]);
    assert_eq!(
        (&all["accuracy_error"], &all["accuracy_correct"], &all["f1"]),
        (&json!(0.5), &json!(0.0), &json!(0.0))
    );

    let chosen = process(&["--validation", text(&validation), "--out", text(&out)]);
    assert_eq!(chosen["validation"]["n"], 9);
    let threshold = chosen["threshold"].as_f64().unwrap();
    // The metrics again, from the values that were written.
    let (mut found, mut passed) = (0.0, 0.0);
    for row in rows(&fs::read_to_string(&out).unwrap()) {
        let values: Vec<f64> = serde_json::from_value(row["values"].clone()).unwrap();
        assert!(values.len() == 2 && values.iter().all(|value| value.abs() <= 1.0), "{row}");
        let first = values.iter().position(|value| *value < threshold);
        assert_eq!(row["prediction"], first.map_or(json!(-1), |first| json!(first)));
        match row["label"].as_i64().unwrap() {
            -1 => passed += f64::from(u8::from(row["prediction"] == -1)) / 3.0,
            _ => found += f64::from(u8::from(row["prediction"] == row["label"])) / 6.0,
        }
    }
    let number = |key: &str| chosen[key].as_f64().unwrap();
    assert!(
        (number("accuracy_error") - found).abs() < 1e-9
            && (number("accuracy_correct") - passed).abs() < 1e-9
    );
    let f1 = if found + passed > 0.0 { 2.0 * found * passed / (found + passed) } else { 0.0 };
    assert!((number("f1") - f1).abs() < 1e-9, "{chosen}");
    for key in ["accuracy_error", "accuracy_correct", "f1"] {
        let interval: Vec<f64> =
            serde_json::from_value(chosen[format!("{key}_interval")].clone()).unwrap();
        assert!(interval[0] <= number(key) && number(key) <= interval[1], "{key}: {chosen}");
    }
    // The same command gives the same, and the prompt matters.
    assert_eq!(process(&["--threshold", "0"]), process(&["--threshold", "0"]));
    let values = |prompt: &str| {
        process(&["--threshold", "0", "--prompt", prompt, "--out", text(&out)]);
        fs::read_to_string(&out).unwrap()
    };
    assert_ne!(values("{question}\\n"), values("1:1 1\\n{question}\\n"));
    let table = run(&[&evaluate[..], &["--threshold", "0"]].concat());
    assert!(table.contains("6 + 3") && table.contains("threshold 0.0000"), "{table}");

    // The other form, by the same command.
    let mistakes: Vec<Value> = solutions(5)
        .iter()
        .map(|row| {
            let label = row["label"].as_i64().filter(|label| *label >= 0);
            json!({"input": row["problem"], "steps": row["steps"], "target": "1", "answer": "1", "mistake_index": label})
        })
        .collect();
    let other = path("mistakes.jsonl");
    write(&other, &mistakes);
    let mut same: Vec<&str> = evaluate.to_vec();
    same[2] = text(&other);
    let json =
        run(&[&same[..], &["--format", "bigbench_mistake", "--threshold", "0", "--json"]].concat());
    assert_eq!(rows(&json)[0], process(&["--threshold", "0"]));

    let refuse = |arguments: &[&str], status| fail(&[&evaluate[..], arguments].concat(), status);
    assert!(refuse(&[], 2).contains("--threshold"));
    assert!(
        refuse(&["--threshold", "0", "--validation", text(&validation)], 2)
            .contains("cannot be used")
    );
    assert!(refuse(&["--validation", text(&measured)], 2).contains("says nothing"));
    assert!(refuse(&["--threshold", "nan"], 2).contains("must be a number"));
    assert!(refuse(&["--threshold", "0", "--prompt", "Q"], 2).contains("{question} once"));
    assert!(refuse(&["--threshold", "0", "--step-delimiter", "\\x"], 2).contains("after \\"));
    assert!(
        refuse(&["--threshold", "0", "--format", "bigbench_mistake"], 3)
            .contains("measured.jsonl:1: missing field `input`")
    );
    assert!(refuse(&["--validation", text(&other)], 3).contains("mistakes.jsonl:1: "));
    let right = path("right.jsonl");
    write(&right, &solutions(5).into_iter().filter(|row| row["label"] == -1).collect::<Vec<_>>());
    assert!(refuse(&["--validation", text(&right)], 3).contains("there are 0 and 3"));

    // The same net as the judge of whole samples.
    let sampled = path("sampled.jsonl");
    let sample = |text: &str, answer: &str| json!({"text": text, "answer": answer});
    write(
        &sampled,
        &[
            json!({"question": "12:3 4", "answer": "12", "samples": [sample("3*4=12", "12"), sample("3+4=7", "7")]}),
        ],
    );
    let votes = ["evaluate", "votes", text(&sampled), "--config", TINY, "--json"];
    let by_net = rows(&run(&[&votes[..], &["--checkpoint", text(&checkpoint)]].concat()));
    assert_eq!(by_net.len(), 5);
    assert!(by_net.iter().all(|row| row["scores"] == "net" && row["weight"] == "value"));
    assert_eq!(by_net[2]["method"], "best_of_n");
    assert_eq!(rows(&run(&votes)).len(), 3);

    // The net's scores are written in the form that is read, and choose as the net itself did.
    let scored = path("scored.jsonl");
    run(&[&votes[..], &["--checkpoint", text(&checkpoint), "--out", text(&scored)]].concat());
    let again = ["evaluate", "votes", text(&scored), "--weight", "value", "--json"];
    let by_file = rows(&run(&again));
    assert_eq!(by_file.len(), by_net.len());
    for (mut row, by_net) in by_file.into_iter().zip(&by_net) {
        row["scores"] = json!("net");
        assert_eq!(&row, by_net);
    }
    assert!(!path("scored.jsonl.log").exists());
    assert!(fail(&[&again[..], &["--out", text(&scored)]].concat(), 2).contains("--out"));
    assert!(refuse(&["--threshold", "0", "--out", text(&measured)], 2).contains("--out"));
}

#[test]
fn votes_are_counted_and_graded() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("samples.jsonl");
    let sample = |answer: &str, score: f64| json!({"text": format!("So \\boxed{{{answer}}}."), "score": score});
    write(
        &path,
        &[
            json!({"question": "q", "answer": "\\frac{1}{2}", "samples": [sample("0.5", 0.1), sample("2", 0.9), sample("\\frac12", 0.2)]}),
            json!({"question": "q", "answer": 3, "samples": [sample("4", 0.2), sample("4.0", 0.2), sample("3", 0.7)]}),
            json!({"question": "q", "answer": 5, "samples": [sample("5", 0.0), sample("6", 0.3), sample("x=5", 0.4)]}),
        ],
    );
    // Majority: right, wrong, right. Best: wrong, right, right. Weighted: 0.3 against 0.9, 0.7 against 0.4, 0.4 against 0.3.
    let measured = rows(&run(&["evaluate", "votes", text(&path), "--json"]));
    let expected = [
        ("sample", 5.0 / 9.0),
        ("majority", 2.0 / 3.0),
        ("best_of_n", 2.0 / 3.0),
        ("weighted_vote", 2.0 / 3.0),
        ("any", 1.0),
    ];
    for (row, (method, accuracy)) in measured.iter().zip(expected) {
        assert_eq!((&row["method"], &row["schema"]), (&json!(method), &json!("espalier.votes/1")));
        assert!((row["accuracy"].as_f64().unwrap() - accuracy).abs() < 1e-9, "{row}");
        assert_eq!(
            (&row["n"], &row["samples"], &row["scores"]),
            (&json!(3), &json!(3), &json!("file"))
        );
    }
    let one = rows(&run(&["evaluate", "votes", text(&path), "--samples", "1,2", "--json"]));
    assert_eq!(one.len(), 10);
    // The first samples are right in the first and the third row, whatever chooses.
    for row in &one[..5] {
        assert!((row["accuracy"].as_f64().unwrap() - 2.0 / 3.0).abs() < 1e-9, "{row}");
    }
    let refuse = |arguments: &[&str], status| {
        fail(&[&["evaluate", "votes", text(&path)], arguments].concat(), status)
    };
    assert!(refuse(&["--samples", "4"], 3).contains("has 3 samples"));
    assert!(refuse(&["--samples", "0"], 2).contains("at least 1, not 0"));
    assert!(refuse(&["--format", "qwen_math"], 3).contains("samples.jsonl:1: missing field"));
    assert!(refuse(&["--weight", "logit"], 2).contains("sigmoid"));
    let table = run(&["evaluate", "votes", text(&path)]);
    assert!(table.contains("weighted vote") && table.contains("66.7"), "{table}");
}

/// Real samples with the correctness and the rewards that their authors computed: counted from the file's own flags.
#[test]
fn real_samples_are_graded_as_their_authors_did() {
    let file = first_rows("rm_maj_example/math_cot.jsonl");
    let votes = ["evaluate", "votes", text(&file), "--format", "qwen_math"];
    let measured = rows(&run(&[&votes[..], &["--weight", "sigmoid", "--json"]].concat()));
    assert_eq!(measured[0]["graded_as_in_file"], json!({"same": 96, "of": 96}));
    // 62 of 96 samples are right; of 12 problems 10 by the best reward and by weight, 11 have a right one. By majority 7, and two
    // whose right and wrong answers have four votes each.
    let right =
        |index: usize| (measured[index]["accuracy"].as_f64().unwrap() * 12.0 * 1e6).round() / 1e6;
    assert_eq!((right(0), right(2), right(3), right(4)), (7.75, 10.0, 10.0, 11.0));
    assert_eq!(right(1), 9.0);
    // Rewards are logits, of which some are negative.
    assert!(fail(&votes, 3).contains("--weight"));
}

#[test]
fn all_real_samples_are_graded_as_their_authors_did() {
    let Some(file) = data_set("rm_maj_example/math_cot_100_filtered.jsonl") else { return };
    let votes = ["evaluate", "votes", text(&file), "--format", "qwen_math"];
    let measured = rows(&run(&[&votes[..], &["--weight", "sigmoid", "--json"]].concat()));
    assert_eq!(measured[0]["graded_as_in_file"], json!({"same": 655, "of": 656}));
    // Counted from the file's own flags: 600 of 656 samples, 78 of 82 by the best reward and by weight, 77 by majority, 79 any. They
    // call 10000 no 10{,}000, which is the one right sample of its problem, and the one with the best reward.
    let right =
        |index: usize| (measured[index]["accuracy"].as_f64().unwrap() * 82.0 * 1e6).round() / 1e6;
    assert_eq!((right(0), right(2), right(4)), (75.125, 79.0, 80.0));
    assert!(right(1) == 77.0 && right(3) == 79.0, "{measured:?}");
}

/// Reads the set's three tasks, in each of which so many solutions are there and so many have no mistake.
fn read_mistakes(folder: &Path, counts: [(usize, usize); 3]) {
    use espalier::verifier::formats::ProcessFormat;
    let tasks =
        ["multistep_arithmetic_first_half", "tracking_shuffled_objects", "logical_deduction"];
    for (task, counts) in tasks.into_iter().zip(counts) {
        let file = folder.join(format!("{task}.jsonl"));
        let solutions = ProcessFormat::BigbenchMistake.read(&file).unwrap();
        let right = solutions.iter().filter(|solution| solution.first_error.is_none()).count();
        assert_eq!((solutions.len(), right), counts, "{task}");
    }
}

#[test]
fn mistakes_of_language_models_are_read() {
    read_mistakes(&first_rows("bigbench_mistake"), [(20, 6), (20, 4), (20, 0)]);
    if let Some(folder) = data_set("bigbench_mistake") {
        read_mistakes(&folder, [(150, 35), (300, 40), (300, 6)]);
    }
}
