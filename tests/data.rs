//! `espalier data`, and runs on problems of a data set.

use std::fs;
use std::path::{Path, PathBuf};

use espalier::search::testing::data_set;
use serde_json::{Value, json};

use crate::program::{TINY, fail, first_rows, run, text};

fn file(folder: &Path, name: &str, rows: &[Value]) -> PathBuf {
    let path = folder.join(name);
    let lines: Vec<String> = rows.iter().map(|row| format!("{row}\n")).collect();
    fs::write(&path, lines.concat()).unwrap();
    path
}

fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn rows_become_problems_and_a_report() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let row = |question: &str| json!({"question": question, "answer": "1+1=<<1+1=2>>2\n#### 2"});
    let long = "A farmer has two red barns and in each of them live one cow and no horse.";
    let train = file(
        folder.path(),
        "train.jsonl",
        &[
            row("How much is 1 + 1?"),
            json!({"question": "q"}),
            row("how much is 1+1"),
            row(long),
            row("Other?"),
        ],
    );
    let question = format!("Once: {long} How many?");
    let test = file(folder.path(), "test.jsonl", &[json!({"problem": question})]);
    let out = path("problems.jsonl");

    let message = fail(&["data", "gsm8k", text(&train), "--out", text(&out)], 3);
    assert!(message.contains("train.jsonl:2: `answer` is missing"), "{message}");
    assert!(!out.exists());

    let against = format!("math:{}", text(&test));
    let clean =
        ["data", "gsm8k", text(&train), "--skip-bad-rows", "--deduplicate", "--against", &against];
    let report = run(&[&clean[..], &["--out", text(&out), "--json"]].concat());
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["schema"], "espalier.data/1");
    assert_eq!(
        (&report["rows"], &report["problems"], &report["with_solution"]),
        (&json!(5), &json!(2), &json!(2))
    );
    assert_eq!(report["bad_rows"][0]["place"], format!("{}:2", text(&train)));
    assert_eq!(report["duplicates"][0]["matched"], format!("{}:1", text(&train)));
    let contaminated = &report["contaminated"][0];
    assert_eq!((&contaminated["id"], &contaminated["by"]), (&json!("train-4"), &json!("ngram")));
    assert_eq!(contaminated["matched"], format!("{}:1", text(&test)));
    let problems = lines(&out);
    assert_eq!(
        problems[0],
        json!({"id": "train-1", "question": "How much is 1 + 1?", "answer": "2", "metadata": {"solution": ["1+1=2"]}})
    );
    assert_eq!(problems[1]["id"], "train-5");

    let shown = run(&clean);
    for part in [
        "5 rows of gsm8k, 2 problems",
        "bad row: ",
        "duplicate: ",
        "in a test set: ",
        "\"a farmer has two",
    ] {
        assert!(shown.contains(part), "{part} in {shown}");
    }
    // Seventeen words are shared, and no more.
    let shown = run(&[&clean[..], &["--ngram", "18"]].concat());
    assert!(!shown.contains("in a test set"), "{shown}");
    // What was written is read again as it is.
    let again = path("again.jsonl");
    run(&["data", "generic", text(&out), "--out", text(&again)]);
    assert_eq!(lines(&again), problems);
}

#[test]
fn wrong_usage_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let rows = file(folder.path(), "rows.jsonl", &[json!({"prompt": "q", "answer": "1"})]);
    let data = |arguments: &[&str], status| fail(&[&["data"], arguments].concat(), status);
    assert!(data(&["gsm9k", text(&rows)], 2).contains("gsm8k"));
    assert!(data(&["gsm8k"], 2).contains("FILE"));
    assert!(data(&["gsm8k", text(&rows), "--field", "question=prompt"], 2).contains("`generic`"));
    assert!(data(&["generic", text(&rows), "--field", "question"], 2).contains("PART=PATH"));
    assert!(
        data(&["generic", text(&rows), "--field", "qestion=prompt"], 2).contains("the parts are")
    );
    assert!(data(&["generic", text(&rows), "--ngram", "3"], 2).contains("--against"));
    let zero = ["generic", text(&rows), "--against", text(&rows), "--ngram", "0"];
    assert!(data(&zero, 2).contains("n = 0"));
    assert!(data(&["generic", text(&folder.path().join("absent"))], 3).contains("cannot read"));
    let report = run(&["data", "generic", text(&rows), "--field", "question=prompt"]);
    assert!(report.contains("1 rows of generic, 1 problems"), "{report}");
}

/// Files that pyarrow wrote.
const PARQUET: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/parquet");

#[test]
fn parquet_is_read_however_it_is_compressed() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("problems.jsonl");
    for name in ["none", "snappy", "gzip", "zstd", "brotli", "lz4"] {
        let file = format!("{PARQUET}/{name}.parquet");
        let fields = ["question=problem", "answer=reward.answer", "solution=steps"];
        let fields = fields.iter().flat_map(|field| ["--field", field]);
        let arguments: Vec<&str> =
            ["data", "generic", &file, "--out", text(&out)].into_iter().chain(fields).collect();
        run(&arguments);
        let problems = lines(&out);
        assert_eq!(problems.len(), 3);
        assert_eq!(problems[0]["question"], "How many legs have two hens?");
        let metadata = &problems[0]["metadata"];
        assert_eq!(metadata["solution"], json!(["A hen has 2 legs.", "2*2=4"]));
        assert_eq!((&metadata["level"], &problems[1]["metadata"].get("level")), (&json!(1), &None));
        assert_eq!(problems[1]["answer"], "\\frac{2}{3}");
        assert_eq!(problems[2]["id"], format!("{name}-3"));
    }
}

#[test]
fn a_folder_that_datasets_saved_is_read_split_by_split() {
    let saved = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/arrow/saved");
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("problems.jsonl");
    run(&["data", "generic", &format!("{saved}/train"), "--out", text(&out)]);
    let problems = lines(&out);
    assert_eq!(problems.len(), 4);
    assert_eq!(problems[3]["question"], "How much is 3 + 1?");
    assert_eq!(problems[3]["id"], "data-00001-of-00002-2");
    let message = fail(&["data", "generic", saved], 3);
    assert!(message.contains("splits (train, test): name the folder of one"), "{message}");
    assert!(message.contains("arrow/saved/train"), "{message}");
}

#[test]
fn damaged_parquet_is_an_error_and_no_panic() {
    let bytes = fs::read(format!("{PARQUET}/zstd.parquet")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("damaged.parquet");
    let read = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        espalier::data::typed_rows::<Value>(&path).map(|rows| rows.len())
    };
    assert_eq!(read(&bytes).unwrap(), 3);
    for cut in [4, 12, bytes.len() / 2, bytes.len() - 1] {
        let error = format!("{:#}", read(&bytes[..cut]).unwrap_err());
        assert!(error.contains("damaged.parquet: cannot read it as Parquet"), "{error}");
    }
    let (mut refused, mut caught) = (0, None);
    for at in 4..bytes.len() {
        for mask in [0x01, 0x80, 0xff] {
            let mut damaged = bytes.clone();
            damaged[at] ^= mask;
            if let Err(error) = read(&damaged) {
                refused += 1;
                if format!("{error:#}").contains("the Parquet file is damaged") {
                    caught = Some(damaged);
                }
            }
        }
    }
    // Most of the file is statistics and descriptions that rows do not need.
    assert!(refused > 500, "{refused}");
    // Where the reader itself panics, the program does not.
    fs::write(&path, caught.unwrap()).unwrap();
    assert!(fail(&["data", "generic", text(&path)], 3).contains("the Parquet file is damaged"));
}

/// Rows of countdown under other names: the only environment whose problems a small net can be run on.
#[test]
fn a_run_takes_its_problems_from_a_data_set() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let problem = |a: u64, b: u64| json!({"prompt": format!("{a} and {b} make?"), "target_text": a * b, "metadata": {"numbers": [a, b], "target": a * b}});
    let train: Vec<Value> = (2..12).flat_map(|a| (2..a).map(move |b| problem(a, b))).collect();
    let test: Vec<Value> = (13..19).map(|a| problem(a, 2)).collect();
    let (train, test) =
        (file(folder.path(), "train.jsonl", &train), file(folder.path(), "test.jsonl", &test));
    let fields = "fields={question=\"prompt\", answer=\"target_text\"}";
    let problems = format!(
        "problems={{kind=\"dataset\", format=\"generic\", path=\"{}\", {fields}, deduplicate=true, decontaminate={{}}, test={{format=\"generic\", path=\"{}\", {fields}}}}}",
        text(&train),
        text(&test)
    );
    let draw = |split: &str| {
        let out = path(split);
        run(&[
            "generate",
            "--config",
            TINY,
            "--set",
            &problems,
            "--split",
            split,
            "--count",
            "1000",
            "--out",
            text(&out),
        ]);
        let mut ids: Vec<String> =
            lines(&out).iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect();
        ids.sort();
        ids
    };
    let (train_ids, validation_ids, test_ids) = (draw("train"), draw("validation"), draw("test"));
    assert_eq!(test_ids, (1..=6).map(|n| format!("test-{n}")).collect::<Vec<_>>());
    assert_eq!(train_ids.len() + validation_ids.len(), 45);
    assert!(train_ids.iter().all(|id| !validation_ids.contains(id)) && !validation_ids.is_empty());

    let run_dir = path("run");
    let mut arguments =
        vec!["run", "--config", TINY, "--run-dir", text(&run_dir), "--set", &problems];
    for set in
        ["rounds.count=1", "rounds.problems=10", "evaluation.problems=6", "bootstrap.lines=100"]
    {
        arguments.extend(["--set", set]);
    }
    run(&arguments);
    let held_out = lines(&run_dir.join("problems/test.jsonl"));
    assert!(
        held_out.len() == 6
            && held_out.iter().all(|row| row["id"].as_str().unwrap().starts_with("test-"))
    );

    let wrong = problems.replace("deduplicate", "dedupliate");
    let message = fail(&["generate", "--config", TINY, "--set", &wrong], 2);
    assert!(message.contains("did you mean `deduplicate`"), "{message}");
    let absent = problems.replace("prompt", "prmpt");
    let message = fail(&["generate", "--config", TINY, "--set", &absent], 3);
    assert!(message.contains("train.jsonl:1: `prmpt` is missing"), "{message}");
}

/// Finds a planted question among all of a test set; training and test set themselves share nothing that 13 words would show.
fn find_planted(gsm8k: &Path, rows: u64, planted: usize) {
    let folder = tempfile::tempdir().unwrap();
    let (train, test) = (gsm8k.join("train.jsonl"), gsm8k.join("test_first_half.jsonl"));
    let question = lines(&test)[planted - 1]["question"].as_str().unwrap().to_owned();
    let row = json!({"question": format!("Listen. {question}"), "answer": "#### 1"});
    let file = file(folder.path(), "planted.jsonl", &[row]);
    let report =
        run(&["data", "gsm8k", text(&train), text(&file), "--against", text(&test), "--json"]);
    let report: Value = serde_json::from_str(&report).unwrap();
    let contaminated = report["contaminated"].as_array().unwrap();
    let ours = contaminated.iter().find(|removed| removed["id"] == "planted-1").unwrap();
    let place = format!("test_first_half.jsonl:{planted}");
    assert!(ours["matched"].as_str().unwrap().ends_with(&place));
    assert_eq!(report["problems"].as_u64().unwrap(), rows + 1 - contaminated.len() as u64);
}

#[test]
fn a_planted_question_is_found() {
    find_planted(&first_rows("gsm8k"), 20, 13);
}

#[test]
fn a_planted_question_is_found_in_a_whole_data_set() {
    if let Some(gsm8k) = data_set("gsm8k") {
        find_planted(&gsm8k, 7473, 100);
    }
}
