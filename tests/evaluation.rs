//! Measures in a round, in its table and on the command line.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::program::{TINY, fail, run, text, tiny_run};

/// Two steps to a solution: there are states of both kinds on the way.
const THREE: &str = "problems.numbers=[3, 3]";

fn rows(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn write(path: &Path, rows: &[Value]) {
    let lines: Vec<String> = rows.iter().map(|row| format!("{row}\n")).collect();
    fs::write(path, lines.concat()).unwrap();
}

#[test]
fn a_round_takes_the_measures_of_its_recipe_and_prints_their_rows() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (steps, samples, others) =
        (path("steps.jsonl"), path("samples.jsonl"), path("others.jsonl"));
    let solution =
        |label: i64| json!({"id": label, "problem": "12:4 3", "steps": ["3*4=12"], "label": label});
    write(&steps, &[solution(0), solution(-1)]);
    let sample = |text: &str, answer: &str| json!({"text": text, "answer": answer});
    write(
        &samples,
        &[
            json!({"question": "12:3 4", "answer": "12", "samples": [sample("3*4=12", "12"), sample("3+4=7", "7")]}),
        ],
    );
    write(
        &others,
        &[json!({"id": "o", "question": "12", "answer": "12", "numbers": [3, 4], "target": 12})],
    );
    let measures = format!(
        "evaluation.measures=[{{kind = 'decodings'}}, {{kind = 'value_auc'}}, \
         {{kind = 'pass_at_k', k = [1, 5], samples = 5}}, {{kind = 'process', threshold = 0.0, files = {{hand = '{}'}}}}, {{kind = 'votes', files = {{two = '{}'}}}}]",
        text(&steps),
        text(&samples)
    );
    let other =
        format!("evaluation.others={{own = {{format = 'generic', path = '{}'}}}}", text(&others));
    let run_dir = tiny_run(
        folder.path(),
        &[
            "rounds.count=0",
            "bootstrap.lines=10000",
            THREE,
            "evaluation.problems=12",
            "evaluation.decodings=['maj@3', 'greedy', 'maj@5', 'bon@5']",
            &measures,
            &other,
        ],
    );
    let round = run_dir.join("rounds/0");
    let summary: Value =
        serde_json::from_str(&fs::read_to_string(round.join("evaluate.json")).unwrap()).unwrap();
    assert_eq!(summary["results"].as_array().unwrap().len(), 4);
    assert_eq!(summary["others"]["own"].as_array().unwrap().len(), 4);
    assert!(summary["value_auc"]["auc"].is_f64(), "{summary}");
    assert_eq!(
        (&summary["process"]["hand"]["n"], &summary["process"]["hand"]["n_error"]),
        (&json!(2), &json!(1))
    );
    assert_eq!(summary["votes"]["two"][0]["scores"], "net");
    assert!(round.join("evaluation.process-hand.jsonl").exists());
    assert!(round.join("evaluation.votes-two.jsonl").exists());
    let table = fs::read_to_string(run_dir.join("table.csv")).unwrap();
    let labels: Vec<&str> =
        table.lines().skip(1).map(|row| row.split(',').next().unwrap()).collect();
    let expected = [
        "maj@3",
        "greedy",
        "maj@5",
        "bon@5",
        "own: maj@3",
        "own: greedy",
        "own: maj@5",
        "own: bon@5",
        "pass@1",
        "pass@5",
        "own: pass@1",
        "own: pass@5",
        "two: sample of 2",
        "two: majority of 2",
        "two: best of n of 2",
        "two: weighted vote of 2",
        "two: any of 2",
        "AUC of the value net",
        "F1 of first errors: hand",
    ];
    assert_eq!(labels, expected);
    assert_eq!(run(&["report", text(&run_dir), "--format", "csv"]).trim_end(), table.trim_end());

    // Answers are paired by problem.
    let evaluation = round.join("evaluation.jsonl");
    let greedy = ["compare", text(&evaluation), "--base-decoding", "greedy", "--json"];
    let compared = rows(&run(&greedy));
    let decodings: Vec<&str> =
        compared.iter().map(|row| row["decoding"].as_str().unwrap()).collect();
    assert_eq!(decodings, ["maj@3", "maj@5", "bon@5"]);
    for row in &compared {
        let number = |key: &str| row[key].as_f64().unwrap();
        let difference = row["difference"]["mean"].as_f64().unwrap();
        assert!((number("correct") - number("base_correct") - difference).abs() < 1e-12, "{row}");
        assert_eq!((row["problems"].as_u64(), row["runs"].as_u64()), (Some(12), Some(1)));
    }
    let itself = ["compare", text(&evaluation), "--base", text(&evaluation)];
    let same = run(&itself);
    assert!(same.contains("+0.0") && same.contains("bon@5"), "{same}");
    let absent = fail(&[&itself[..], &["--decoding", "mcts:2"]].concat(), 3);
    assert!(absent.contains("has no mcts:2; it has maj@3, greedy"), "{absent}");
    let two = fail(&[&itself[..], &[text(&evaluation)]].concat(), 2);
    assert!(two.contains("--base: give 1, as many as are compared, not 2"), "{two}");
    assert!(fail(&itself[..2], 2).contains("--base"));

    // Answers and the samples that they were chosen from: one set a problem, of which maj@3 reads the first three.
    let record = rows(&fs::read_to_string(round.join("evaluation.jsonl")).unwrap());
    let (decoded, sets): (Vec<&Value>, Vec<&Value>) =
        record.iter().partition(|row| row["decoding"].is_string());
    assert_eq!((decoded.len(), sets.len()), (4 * 12, 12));
    for row in decoded {
        let set = sets.iter().find(|set| set["problem"] == row["problem"]).unwrap();
        assert_eq!(set["draw"], json!({"stream": "maj@3", "count": 5, "values": true}));
        let samples = set["samples"].as_array().unwrap();
        let read = match row["decoding"].as_str().unwrap() {
            "greedy" => {
                assert!(row["solution"].is_array() && row["sample"].is_null(), "{row}");
                continue;
            }
            "maj@3" => 3,
            _ => 5,
        };
        let tokens: u64 = samples[..read].iter().map(|s| s["tokens"].as_u64().unwrap()).sum();
        assert_eq!(row["tokens"], tokens);
        assert_eq!(row["answer"].is_string(), row["sample"].is_u64());
        if let Some(sample) = row["sample"].as_u64() {
            let chosen = &samples[..read][sample as usize];
            assert_eq!((&chosen["answer"], &chosen["correct"]), (&row["answer"], &row["correct"]));
            assert!(chosen["value"].is_f64() && chosen["steps"][0]["action"].is_string());
        }
    }

    // pass@5 of five samples: whether one of them is right; pass@1: the mean.
    let shares = sets.iter().map(|set| {
        let samples = set["samples"].as_array().unwrap();
        samples.iter().filter(|sample| sample["correct"] == true).count() as f64 / 5.0
    });
    let shares: Vec<f64> = shares.collect();
    let pass = |index: usize| summary["pass_at_k"][index]["pass"].as_f64().unwrap();
    assert!((pass(0) - shares.iter().sum::<f64>() / 12.0).abs() < 1e-9);
    let solved = shares.iter().filter(|share| **share > 0.0).count() as f64;
    assert!((pass(1) - solved / 12.0).abs() < 1e-9);
    assert_eq!(summary["pass_at_k_others"]["own"].as_array().unwrap().len(), 2);

    // The record is a file of votes, in which best-of-N chooses as the decoding did.
    let file = round.join("evaluation.jsonl");
    let votes = ["evaluate", "votes", text(&file), "--format", "evaluation"];
    let votes = rows(&run(&[&votes[..], &["--weight", "value", "--json"]].concat()));
    let accuracy = |method: &str| {
        votes.iter().find(|row| row["method"] == method).unwrap()["accuracy"].as_f64().unwrap()
    };
    let result = |decoding: &str| {
        let results = summary["results"].as_array().unwrap();
        results.iter().find(|row| row["decoding"] == decoding).unwrap()["accuracy"]
            .as_f64()
            .unwrap()
    };
    assert!((accuracy("best_of_n") - result("bon@5")).abs() < 1e-12);
    assert!((accuracy("majority") - result("maj@5")).abs() < 1e-12);
}

#[test]
fn measures_are_chosen_on_the_command_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (problems, base) = (path("problems.jsonl"), path("base"));
    run(&["generate", "--config", TINY, "--count", "10", "--out", text(&problems), "--set", THREE]);
    let pretrain = ["pretrain", "--config", TINY, "--set", "bootstrap.lines=10000", "--set", THREE];
    run(&[&pretrain[..], &["--out", text(&base)]].concat());
    let evaluate = [
        "evaluate",
        "--config",
        TINY,
        "--checkpoint",
        text(&base),
        "--problems",
        text(&problems),
        "--json",
    ];
    let schemas = |arguments: &[&str]| -> Vec<String> {
        let rows = rows(&run(&[&evaluate[..], arguments].concat()));
        rows.iter().map(|row| row["schema"].as_str().unwrap().to_owned()).collect()
    };
    let accuracy = "espalier.accuracy/1";
    assert_eq!(schemas(&["--decoding", "greedy,maj@2"]), [accuracy, accuracy]);
    assert_eq!(schemas(&["--measure", "value_auc"]), ["espalier.value_auc/1"]);
    let pass = schemas(&["--measure", "pass_at_k: k = [1, 2], samples = 4"]);
    assert_eq!(pass, ["espalier.pass_at_k/1"; 2]);
    let all = schemas(&[]);
    assert_eq!((all.len(), all[4].as_str()), (5, "espalier.value_auc/1"));
    let refuse = |arguments: &[&str]| fail(&[&evaluate[..], arguments].concat(), 2);
    assert!(refuse(&["--measure", "pass"]).contains("unknown variant"));
    assert!(refuse(&["--measure", "process"]).contains("files names no file"));
    assert!(refuse(&["--measure", "value_auc", "--measure", "value_auc"]).contains("twice"));

    // maj@2 reads the first samples of maj@3, which stays as it is alone.
    let out = path("evaluation.jsonl");
    let keep = ["--decoding", "maj@3,maj@2", "--out", text(&out)];
    let first = rows(&run(&[&evaluate[..], &keep].concat()));
    let again = rows(&run(&[&evaluate[..], &["--decoding", "maj@3"]].concat()));
    assert_eq!(first[0]["accuracy"], again[0]["accuracy"]);
    assert_eq!(first[0]["tokens_per_problem"], again[0]["tokens_per_problem"]);
    assert!(first[1]["seconds"].is_null() && first[0]["seconds"].is_f64());
}
