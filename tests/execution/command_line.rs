//! `espalier execute`.

use std::fs;

use serde_json::Value;

use super::{cpython, python};
use crate::program::{fail, run, text};
use espalier::execution::ExecutorConfig;

#[test]
fn files_are_the_steps_of_one_path() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, code: &str| {
        let path = folder.path().join(name);
        fs::write(&path, code).unwrap();
        path
    };
    let first = write("first.py", "x = 6\n");
    let (wrong, last) = (write("wrong.py", "x / 0"), write("last.py", "print(x)\nx * 7"));
    let files = [text(&first), text(&wrong), text(&last)];
    let python = python();
    let mut executors = vec!["embedded"];
    executors.extend(cpython(&ExecutorConfig::default()).map(|_| "cpython"));
    for executor in executors {
        let execute = ["execute", "--executor", executor, "--python", &python];
        let rows: Vec<Value> = run(&[&execute[..], &files, &["--json"]].concat())
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(rows.len(), 3);
        for (row, (outcome, observation)) in rows.iter().zip([
            ("ok", ""),
            ("error", "ZeroDivisionError: division by zero"),
            ("ok", "6\n42"),
        ]) {
            assert_eq!(row["schema"], "espalier.execution/1");
            assert_eq!(
                (&row["outcome"], &row["observation"]),
                (&outcome.into(), &observation.into())
            );
            assert!(row["seconds"].as_f64().unwrap() >= 0.0);
        }
        let shown = run(&[&execute[..], &files].concat());
        assert!(shown.contains("last.py: ok") && shown.contains("  42"), "{shown}");
    }
}

#[test]
fn many_paths_are_set_beside_what_cpython_made_of_them() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("steps.jsonl");
    let rows = concat!(
        r#"{"id": "a", "steps": ["x = 0.3 ** 3", "x"], "cpython": [{"outcome": "ok", "observation": ""}, {"outcome": "ok", "observation": "0.026999999999999996"}]}"#,
        "\n",
        r#"{"id": "b", "steps": ["class A: pass"], "cpython": [{"outcome": "ok", "observation": ""}]}"#,
        "\n",
        r#"{"id": "c", "tag": "wrong on purpose", "steps": ["1 + 1"], "cpython": [{"outcome": "ok", "observation": "3"}]}"#,
        "\n",
        r#"{"id": "d", "steps": ["2"]}"#,
        "\n"
    );
    fs::write(&file, rows).unwrap();
    let execute = ["execute", "--executor", "embedded", "--paths", text(&file)];
    let shown = run(&execute);
    assert!(shown.contains("2 agree with CPython, 1 unsupported, 1 differ"), "{shown}");
    assert!(
        shown.contains("c, step 0: ok, \"2\"") && shown.contains("CPython: ok, \"3\""),
        "{shown}"
    );
    let rows: Vec<Value> = run(&[&execute[..], &["--json"]].concat())
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(rows.len(), 5);
    assert_eq!((&rows[2]["outcome"], &rows[2]["agrees"]), (&"unsupported".into(), &false.into()));
    assert_eq!(rows[4]["agrees"], Value::Null);
    fs::write(
        &file,
        r#"{"id": "a", "steps": ["1", "2"], "cpython": [{"outcome": "ok", "observation": "1"}]}"#,
    )
    .unwrap();
    assert!(fail(&execute, 3).contains("steps.jsonl, line 1: cpython must have one entry a step"));
    fail(&["execute", "--paths", text(&file), "more.py"], 2);
}

#[test]
fn steps_are_timed() {
    let rows = run(&["bench", "execution", "--repetitions", "1", "--threads", "1", "--json"]);
    let rows: Vec<Value> = rows.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(rows.iter().any(|row| row["case"] == "embedded: step"), "{rows:?}");
    for row in rows {
        assert_eq!(
            (&row["schema"], &row["bench"]),
            (&"espalier.bench/1".into(), &"execution".into())
        );
        assert!(row["unit"] == "steps" && row["per_second"].as_f64().unwrap() > 0.0, "{row}");
    }
}

#[test]
fn bad_input_is_named() {
    assert!(fail(&["execute", "absent.py"], 3).contains("cannot read absent.py"));
    fail(&["execute"], 2);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.py");
    fs::write(&file, "1").unwrap();
    let execute = |more: &[&str], status| fail(&[&["execute", text(&file)], more].concat(), status);
    assert!(execute(&["--timeout-seconds", "0"], 2).contains("timeout_seconds = 0"));
    assert!(execute(&["--executor", "pypy"], 2).contains("embedded"));
    let message = execute(&["--executor", "cpython", "--python", "no-such-python"], 2);
    assert!(message.contains("python = \"no-such-python\""), "{message}");
    fs::write(&file, [0xff, 0xfe]).unwrap();
    assert!(execute(&[], 3).contains("cannot read"));
}
