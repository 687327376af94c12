//! Trees and beams grown by the original AlphaMath code, node for node.

use std::fs;
use std::path::{Path, PathBuf};

use espalier_search::testing::data_set;
use serde_json::Value;

use super::{run, traces};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/alphamath")
}

/// Replays traces with `--json`: how many differ, and one object a trace.
fn replay(paths: &[PathBuf]) -> (usize, Vec<Value>) {
    let mut output = Vec::new();
    let differ = run(paths, true, &mut output).unwrap();
    let lines = String::from_utf8(output).unwrap();
    (differ, lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

fn assert_all_equal(folder: PathBuf, traces: usize) {
    let (differ, results) = replay(&[folder]);
    assert_eq!(results.len(), traces);
    for result in &results {
        assert_eq!(result["schema"], "espalier.replay/1");
        assert_eq!((&result["equal"], &result["first_difference"]), (&true.into(), &Value::Null));
    }
    assert_eq!(differ, 0);
}

#[test]
fn trees_and_beams_are_the_originals() {
    let traces = traces(&fixtures()).unwrap();
    let beams = traces.iter().filter(|path| path.to_str().unwrap().contains("/sbs_")).count();
    assert_eq!((traces.len() - beams, beams), (12, 7), "the traces are not there");
    assert_all_equal(fixtures(), 19);
}

#[test]
fn all_recorded_traces_are_equal() {
    if let Some(folder) = data_set("golden_alphamath") {
        assert_all_equal(folder, 54);
    }
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
    let (differ, results) = replay(&[path]);
    assert_eq!((differ, results.len()), (1, 1), "{fixture} {pointer}");
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
fn the_last_line_counts_the_equal_ones() {
    let folder = tempfile::tempdir().unwrap();
    let (good, bad) = (fixtures().join("dedup-duplicates.json"), folder.path().join("bad.json"));
    let changed = fs::read_to_string(fixtures().join("narrow-deep.json")).unwrap();
    fs::write(&bad, changed.replace("\"iterations_used\":60", "\"iterations_used\":61")).unwrap();
    let mut output = Vec::new();
    assert_eq!(run(&[good, bad], false, &mut output).unwrap(), 1);
    let text = String::from_utf8(output).unwrap();
    assert!(text.ends_with("\n1 of 2 equal\n"), "{text}");
    assert!(text.contains("tag 0, iterations_used: found 60, expected 61"), "{text}");
}

#[test]
fn a_file_that_is_no_trace_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("broken.json");
    let good = fixtures().join("train-mixed.json");
    let whole = fs::read_to_string(&good).unwrap();
    let refuse = |path: &Path| {
        let error = run(&[good.clone(), path.to_owned()], false, &mut Vec::new()).unwrap_err();
        format!("{error:#}")
    };
    let broken = |content: &str| {
        fs::write(&path, content).unwrap();
        let message = refuse(&path);
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
    assert!(refuse(&folder.path().join("absent.json")).contains("absent.json"));
    fs::remove_file(&path).unwrap();
    assert!(refuse(folder.path()).contains("holds no *.json"));
}
