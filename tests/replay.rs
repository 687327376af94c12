//! Trees and beams grown by the original AlphaMath code, node for node.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::program::{espalier, fail, skipped, text};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/alphamath")
}

/// The traces of a folder, in the order of their names.
fn traces(folder: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let mut traces: Vec<PathBuf> =
        files.filter(|path| path.extension().is_some_and(|kind| kind == "json")).collect();
    traces.sort();
    traces
}

/// Replays traces with `--json`: the exit status and one object a trace.
fn replay(traces: &[PathBuf]) -> (Option<i32>, Vec<Value>) {
    let mut arguments = vec!["replay", "--json"];
    arguments.extend(traces.iter().map(|path| text(path)));
    let output = espalier(&arguments).output().unwrap();
    let lines = String::from_utf8(output.stdout).unwrap();
    (output.status.code(), lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

fn assert_all_equal(traces: &[PathBuf]) {
    let (status, results) = replay(traces);
    assert_eq!(results.len(), traces.len());
    for result in &results {
        assert_eq!(result["schema"], "espalier.replay/1");
        assert_eq!((&result["equal"], &result["first_difference"]), (&true.into(), &Value::Null));
    }
    assert_eq!(status, Some(0));
}

#[test]
fn trees_and_beams_are_the_originals() {
    let traces = traces(&fixtures());
    let beams = traces.iter().filter(|path| text(path).contains("/sbs_")).count();
    assert_eq!((traces.len() - beams, beams), (12, 7), "the traces are not there");
    assert_all_equal(&traces);
}

#[test]
fn all_recorded_traces_are_equal() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/golden_alphamath");
    if !folder.exists() {
        return skipped(&format!("{} is not there", folder.display()));
    }
    let traces = traces(&folder);
    assert_eq!(traces.len(), 54);
    assert_all_equal(&traces);
}

/// The first difference of a fixture in which the value at `pointer` is replaced.
fn tampered(folder: &Path, fixture: &str, pointer: &str, value: impl Into<Value>) -> String {
    let path = fixtures().join(fixture);
    let mut trace: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let place = trace.pointer_mut(pointer).unwrap_or_else(|| panic!("{fixture} has no {pointer}"));
    let value = value.into();
    assert_ne!(*place, value, "{pointer}");
    *place = value;
    let path = folder.join("tampered.json");
    fs::write(&path, trace.to_string()).unwrap();
    let (status, results) = replay(&[path]);
    assert_eq!((status, results.len()), (Some(1), 1), "{fixture} {pointer}");
    assert_eq!(results[0]["equal"], false);
    results[0]["first_difference"].as_str().unwrap().to_owned()
}

#[test]
fn a_difference_is_named_by_tag_and_field() {
    let folder = tempfile::tempdir().unwrap();
    let tampered =
        |fixture, pointer, value: Value| tampered(folder.path(), fixture, pointer, value);
    let (tree, beam) = ("train-mixed.json", "sbs_3x5-overlong.json");
    let cases = [
        (tree, "/react/0.1/visit_count", Value::from(1000), "tag 0.1, visit_count: found "),
        (tree, "/react/0.0.3/value", 0.125.into(), "tag 0.0.3, value: found "),
        (tree, "/react/0.0/q_value", 0.125.into(), "tag 0.0, q_value: found "),
        (tree, "/react/0.2/prior", 0.125.into(), "tag 0.2, prior: found "),
        (tree, "/iterations_used", 39.into(), "tag 0, iterations_used: found 40, expected 39"),
        (tree, "/calls/0/samples/2/text", "x".into(), "tag 0.2, text: found \"x\""),
        (tree, "/calls/1/value", 0.125.into(), "tag 0"),
        (tree, "/config/c_puct", 9.0.into(), "calls: found expand 0"),
        (tree, "/calls/39/samples", Value::Array(vec![]), "samples: found 5, expected 0"),
        (beam, "/react/0.3/value", 0.125.into(), "tag 0.3, value: found "),
        (beam, "/calls/0/samples/7/text", "x".into(), "tag 0.7, text: found \"x\""),
        (beam, "/calls/4/value", 0.75.into(), "expand"),
        (beam, "/solutions/1/value", 0.125.into(), "tag 0.0.2.4.0.0.0.0.0, solutions.value"),
        (beam, "/solutions/0/final_answer", "7".into(), "tag 0.8.1, solutions.final_answer"),
        (beam, "/solutions", Value::Array(vec![]), "tag 0, solutions: found 3, expected 0"),
        (beam, "/config/max_depth", 2.into(), "the end of the search"),
        (beam, "/iterations_used", 7.into(), "tag 0, iterations_used: found 8, expected 7"),
    ];
    for (fixture, pointer, value, expected) in cases {
        let difference = tampered(fixture, pointer, value);
        assert!(difference.contains(expected), "{pointer}: {difference}");
        assert!(difference.starts_with("tag 0"), "{pointer}: {difference}");
    }
}

#[test]
fn the_table_counts_what_is_equal() {
    let folder = tempfile::tempdir().unwrap();
    let (good, bad) = (fixtures().join("dedup-duplicates.json"), folder.path().join("bad.json"));
    let changed = fs::read_to_string(fixtures().join("narrow-deep.json")).unwrap();
    fs::write(&bad, changed.replace("\"iterations_used\":60", "\"iterations_used\":61")).unwrap();
    let output = espalier(&["replay", text(&good), text(&bad)]).output().unwrap();
    let table = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{table}");
    assert!(table.ends_with("\n1 of 2 equal\n"), "{table}");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "espalier: 1 of 2 traces differ\n");
    assert!(table.contains("tag 0, iterations_used: found 60, expected 61"), "{table}");
}

#[test]
fn a_file_that_is_no_trace_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("broken.json");
    let good = fixtures().join("train-mixed.json");
    let whole = fs::read_to_string(&good).unwrap();
    let broken = |content: &str| {
        fs::write(&path, content).unwrap();
        let message = fail(&["replay", text(&good), text(&path)], 3);
        assert!(message.contains("broken.json"), "{message}");
        message
    };
    assert!(broken("").contains("line 1 column 0"));
    assert!(broken(&whole[..whole.len() / 2]).contains("line "));
    assert!(broken("{\"name\": \"x\"}").contains("a trace is one JSON object with `name`"));
    assert!(broken(&whole.replacen("\"tag\"", "\"gat\"", 1)).contains("missing field `tag`"));
    assert!(broken(&whole.replacen("\"0.0\":", "\"9\":", 1)).contains("no path"));
    let none = whole.replacen("\"n_generate_sample\":5", "\"n_generate_sample\":0", 1);
    assert!(broken(&none).contains("samples = 0"));
    let absent = folder.path().join("absent.json");
    assert!(fail(&["replay", text(&absent)], 3).contains("absent.json"));
    assert!(fail(&["replay"], 2).contains("TRACE"));
}
