//! `espalier grade`.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::program::{espalier, fail, run, text};

fn rows(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn string<'a>(row: &'a Value, key: &str) -> &'a str {
    row[key].as_str().unwrap_or_else(|| panic!("{key} in {row}"))
}

#[test]
fn the_command_prints_a_verdict_a_row() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pairs.jsonl");
    let pairs = [
        json!({"gold": "\\frac{1}{2}", "pred": "0.5", "id": 7}),
        json!({"gold": 3.5, "pred": "7/2"}),
        json!({"gold": "[0,1)", "pred": "[0,1]"}),
        json!({"gold": "5", "pred": null}),
        json!({"gold": "\\int x", "pred": "5"}),
    ];
    let lines: Vec<String> = pairs.iter().map(Value::to_string).collect();
    fs::write(&file, format!("{}\n\n{}\n", lines[0], lines[1..].join("\n"))).unwrap();
    let output = espalier(&["grade", text(&file), "--json"]).output().unwrap();
    assert!(output.status.success());
    let graded = rows(std::str::from_utf8(&output.stdout).unwrap());
    let seen: Vec<(u64, &str, &str)> = graded
        .iter()
        .map(|row| (row["line"].as_u64().unwrap(), string(row, "verdict"), string(row, "rule")))
        .collect();
    assert_eq!(
        seen,
        [
            (1, "equal", "number"),
            (3, "equal", "number"),
            (4, "different", "interval"),
            (5, "different", "missing"),
            (6, "undecided", "unreadable"),
        ]
    );
    assert!(graded.iter().all(|row| row["schema"] == "espalier.grade/1"));
    let summary = String::from_utf8(output.stderr).unwrap();
    assert!(summary.contains("5 pairs: 2 equal, 2 different, 1 undecided"), "{summary}");
    assert!(run(&["grade", text(&file)]).starts_with("1: equal (number)\n3: "));
}

#[test]
fn answers_are_taken_out_of_solutions() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("solutions.jsonl");
    let pairs = [
        json!({"gold": "48/2 = 24, 48 + 24 = 72\n#### 72", "pred": "So it is $\\boxed{72}$."}),
        json!({"gold": "\\frac{3}{4}", "pred": "<p>\nFinal Answer: $0.75$\n</p>"}),
        json!({"gold": "5", "pred": "It may well be 5"}),
    ];
    let lines: Vec<String> = pairs.iter().map(Value::to_string).collect();
    fs::write(&file, lines.join("\n")).unwrap();
    let graded = rows(&run(&["grade", text(&file), "--extract", "--json"]));
    let seen: Vec<(&str, &str)> =
        graded.iter().map(|row| (string(row, "pred"), string(row, "verdict"))).collect();
    assert_eq!(seen, [("72", "equal"), ("0.75", "equal"), ("", "different")]);
    assert_eq!(graded[0]["gold"], "72");
}

#[test]
fn a_solution_is_read_up_to_the_next_question() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("solutions.jsonl");
    let pred = "So it is 18.\n#### 18\n\nQuestion: 1 + 1?\nAnswer: 2\n#### 2";
    fs::write(&file, json!({"gold": "18", "pred": pred}).to_string()).unwrap();
    let read = |stops: &[&str]| {
        let grade = ["grade", text(&file), "--json", "--extract"];
        let graded = rows(&run(&[&grade[..], stops].concat()));
        (string(&graded[0], "pred").to_owned(), string(&graded[0], "verdict").to_owned())
    };
    assert_eq!(read(&[]), ("2".to_owned(), "different".to_owned()));
    let stopped = ("18".to_owned(), "equal".to_owned());
    assert_eq!(read(&["--stop", "Q:", "--stop", "\\nQuestion:"]), stopped);
    let wrong = |arguments: &[&str]| fail(&[&["grade", text(&file)], arguments].concat(), 2);
    assert!(wrong(&["--stop", "Question:"]).contains("--extract"));
    assert!(wrong(&["--extract", "--stop", "\\x"]).contains("--stop"));
    assert!(wrong(&["--extract", "--stop", ""]).contains("--stop must not be empty"));
}

#[test]
fn bad_rows_are_named_by_file_and_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let good = "{\"gold\": \"1\", \"pred\": \"1\"}\n";
    for (row, reason) in [
        ("{\"gold\": \"1\"", "EOF"),
        ("{\"gold\": \"1\"}", "missing field `pred`"),
        ("{\"pred\": \"1\"}", "missing field `gold`"),
        ("{\"gold\": null, \"pred\": \"1\"}", "gold is null"),
        ("{\"gold\": [1], \"pred\": \"1\"}", "[1] is neither a text nor a number"),
        ("5", "invalid type"),
    ] {
        fs::write(path("bad.jsonl"), format!("{good}{row}\n")).unwrap();
        let message = fail(&["grade", text(&path("bad.jsonl"))], 3);
        assert!(message.contains("bad.jsonl:2: ") && message.contains(reason), "{message}");
    }
    fs::write(path("bytes.jsonl"), [0xff, 0xfe]).unwrap();
    assert!(fail(&["grade", text(&path("bytes.jsonl"))], 3).contains("bytes.jsonl"));
    fs::write(path("empty.jsonl"), "\n").unwrap();
    assert!(fail(&["grade", text(&path("empty.jsonl"))], 3).contains("holds no pairs"));
    assert!(fail(&["grade", text(&path("absent.jsonl"))], 3).contains("cannot read"));
    let pairs = path("good.jsonl");
    fs::write(&pairs, good).unwrap();
    let absent = ["grade", text(&pairs), "--math-verify", "/no/such/python"];
    assert!(fail(&absent, 2).contains("cannot run /no/such/python"));
    let missing = fail(&["grade", text(&pairs), "--math-verify", "true"], 2);
    assert!(missing.contains("pip install math-verify"), "{missing}");
}

/// A stand-in for Python with math-verify: says that everything is equal, and hangs where the gold answer says so.
fn stand_in(folder: &Path) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let file = folder.join("python");
    let script = "#!/bin/sh\necho '{\"version\": \"0\"}'\nwhile read -r row; do\n\
                  case \"$row\" in *hang*) exec sleep 600;; *die*) exit 1;; esac\n\
                  echo '{\"equal\": true}'\ndone\n";
    fs::write(&file, script).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    file
}

#[test]
fn a_worker_that_hangs_or_dies_leaves_its_pair_undecided() {
    let folder = tempfile::tempdir().unwrap();
    let python = stand_in(folder.path());
    let file = folder.path().join("pairs.jsonl");
    let pairs = [("\\foo{1}", "1"), ("\\hang", "1"), ("\\die", "1"), ("\\foo{2}", "1"), ("1", "2")];
    let lines = pairs.map(|(gold, pred)| json!({"gold": gold, "pred": pred}).to_string());
    fs::write(&file, lines.join("\n")).unwrap();
    let limit = ["--math-verify-limit", "1", "--json"];
    let grade = ["grade", text(&file), "--math-verify", text(&python)];
    let graded = rows(&run(&[&grade[..], &limit].concat()));
    let seen: Vec<(&str, &str)> =
        graded.iter().map(|row| (string(row, "verdict"), string(row, "rule"))).collect();
    assert_eq!(
        seen,
        [
            ("equal", "math_verify"),
            ("undecided", "math_verify"),
            ("undecided", "math_verify"),
            ("equal", "math_verify"),
            ("different", "number"),
        ]
    );
    assert!(graded[..4].iter().all(|row| row["exact"] == false));
}
