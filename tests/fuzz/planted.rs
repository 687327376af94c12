//! The harness against readers with a fault: it finds each.

use std::env;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{Amount, Report, run};
use crate::mutate::json::Json;
use crate::random::Random;
use crate::watch::Bounds;

const AMOUNT: Amount = Amount { seconds: 20.0, inputs: 20_000, ..Amount::SHORT };
const BOUNDS: Bounds = Bounds {
    time: Duration::from_millis(100),
    patience: Duration::from_secs(100),
    memory: 1 << 20,
    memory_a_byte: 64,
};

fn files() -> Json {
    Json::of(vec![
        json!({"name": "a", "shape": [2, 3], "next": {"name": "b", "shape": [4], "next": null}}),
    ])
}

fn tried(target: &'static str, reader: impl Fn(&Value) -> bool) -> Report {
    tried_within(BOUNDS, target, reader)
}

fn tried_within(bounds: Bounds, target: &'static str, reader: impl Fn(&Value) -> bool) -> Report {
    let files = files();
    let changed = |random: &mut Random| files.changed(random);
    run(target, AMOUNT, bounds, changed, |input| {
        serde_json::from_slice(input).is_ok_and(|value| reader(&value))
    })
}

/// A reader that trusts the shape.
fn elements(value: &Value) -> Option<u64> {
    value["shape"].as_array()?.iter().map(Value::as_u64).product()
}

#[test]
fn sound() {
    let report = tried_within(Bounds::default(), "sound", |value| value["name"].is_string());
    assert!(report.faults.is_empty());
    report.check();
}

#[test]
fn panics() {
    // Two levels down, and only where the list is empty.
    let report = tried("panics", |value| {
        let shape = value["next"]["shape"].as_array();
        shape.is_none_or(|shape| shape[0] != 9)
    });
    assert!(report.faults.keys().any(|fault| fault.contains("planted.rs")), "{report}");
}

#[test]
fn memory() {
    let report = tried("memory", |value| {
        let count = elements(value).unwrap_or(0).min(1 << 26);
        vec![1_u8; count as usize].iter().all(|byte| *byte == 1)
    });
    assert!(report.faults.contains_key("memory"), "{report}");
}

#[test]
fn time() {
    let report = tried("time", |value| {
        let begun = Instant::now();
        let many = elements(value).is_some_and(|count| count > 1 << 40);
        while many && begun.elapsed() < 3 * BOUNDS.time / 2 {}
        true
    });
    assert!(report.faults.contains_key("time"), "{report}");
}

/// What a test that ends its process says.
fn last_words(test: &str) -> String {
    let mut again = Command::new(env::current_exe().unwrap());
    again.args(["--exact", &format!("planted::{test}"), "--ignored", "--nocapture"]);
    let output = again.output().unwrap();
    assert!(!output.status.success());
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn what_does_not_come_back_is_told_by_number() {
    let endless = last_words("endless");
    assert!(
        endless.contains("fuzz endless: input ") && endless.contains("has not ended after"),
        "{endless}"
    );
    let overflows = last_words("overflows");
    assert!(overflows.contains("fuzz overflows: aborted while reading input "), "{overflows}");
}

#[test]
#[ignore = "ends its process"]
fn endless() {
    let bounds = Bounds { patience: Duration::from_millis(300), ..BOUNDS };
    tried_within(bounds, "endless", |value| {
        while elements(value).is_some_and(|count| count > 1 << 40) {
            std::hint::black_box(value);
        }
        true
    });
}

#[test]
#[ignore = "ends its process"]
fn overflows() {
    fn depth(text: &[u8]) -> usize {
        match text.split_first() {
            Some((b'[', rest)) => std::hint::black_box(1 + depth(std::hint::black_box(rest))),
            _ => 0,
        }
    }
    let files = files();
    run(
        "overflows",
        AMOUNT,
        BOUNDS,
        |random| files.changed(random),
        |input| {
            let start = input.iter().position(|byte| *byte == b'[').unwrap_or(0);
            depth(&input[start..]) < usize::MAX
        },
    );
}
