//! Policies that are slow, fail, fall silent, or answer with what is no number.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::sleep;
use std::time::Duration;

use serde_json::{Value, json};

use super::subject::Subject;
use crate::completions::stub::{Received, Reply, Stub, good};
use crate::program::{TINY, fail, run, text};

/// Problems that the step of [`good`] solves.
const PROBLEMS: usize = 48;

/// A file of problems in a folder.
fn problems(folder: &std::path::Path) -> String {
    let row = |number: usize| {
        json!({
            "id": format!("p{number}"),
            "question": "Make 21 of 3 and 7.",
            "answer": "21",
            "metadata": { "numbers": [3, 7], "target": 21 },
        })
    };
    let path = folder.join("problems.jsonl");
    let rows: Vec<String> = (0..PROBLEMS).map(|number| row(number).to_string()).collect();
    fs::write(&path, rows.join("\n")).unwrap();
    text(&path).to_owned()
}

fn settings(url: &str) -> Vec<String> {
    let settings = [
        format!("policy.url={url}"),
        "policy.kind=completions".to_owned(),
        "policy.model=stub".to_owned(),
        "policy.http.retries=1".to_owned(),
        "policy.http.backoff_seconds=0.001".to_owned(),
        "policy.http.request_seconds=0.5".to_owned(),
        "compute.concurrent_problems=4".to_owned(),
    ];
    let given = settings.into_iter().flat_map(|setting| ["--set".to_owned(), setting]);
    ["--config".to_owned(), TINY.to_owned()].into_iter().chain(given).collect()
}

/// A server that takes its time.
pub fn slow_server() -> Stub {
    Stub::start(|request| {
        sleep(Duration::from_millis(10));
        good(request)
    })
}

/// The commands that ask a server, and the folder of their problems.
pub fn served(server: &Stub, folder: &std::path::Path) -> [Subject; 2] {
    let of = |name, command: &str, more: &[&str], out| {
        let arguments = [command, "--problems", &problems(folder)].map(str::to_owned);
        let more = more.iter().map(|&argument| argument.to_owned());
        let arguments = arguments.into_iter().chain(more).chain(settings(server.url()));
        Subject::single(name, arguments.collect(), out)
    };
    [
        of("served search", "search", &[], "trees.jsonl"),
        of("served evaluate", "evaluate", &["--decoding", "greedy,sbs:2x3"], "answers.jsonl"),
    ]
}

/// Searches with a server whose first answers of a problem are of a kind, and then again with a good one.
fn goes_on_after(kind: &str, bad: impl Fn(&Received) -> Reply + Send + Sync + 'static) {
    let folder = tempfile::tempdir().unwrap();
    let (left, bad) = (Arc::new(AtomicUsize::new(usize::MAX)), bad);
    let broken = Arc::clone(&left);
    let server = Stub::start(move |request| {
        let is_bad = broken.load(Ordering::SeqCst) > 0;
        if is_bad { bad(request) } else { good(request) }
    });
    let (rows, trees) = (problems(folder.path()), folder.path().join("trees.jsonl"));
    let own = ["search", "--problems", &rows, "--out", text(&trees), "--json"].map(str::to_owned);
    let arguments: Vec<String> = own.into_iter().chain(settings(server.url())).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let error = fail(&arguments, 3);
    assert!(
        error.contains("every search failed") && error.contains(server.url()),
        "{kind}: {error}"
    );
    assert!(!trees.exists(), "{kind}");
    left.store(0, Ordering::SeqCst);
    let summary: Value = serde_json::from_str(run(&arguments).lines().next().unwrap()).unwrap();
    assert_eq!(
        (&summary["problems"], &summary["solved"], &summary["failed"]),
        (&PROBLEMS.into(), &PROBLEMS.into(), &json!({})),
        "{kind}"
    );
    println!("chaos: a policy that {kind}: told, and the same command goes on");
}

#[test]
fn a_policy_that_fails_falls_silent_or_gives_no_numbers_is_told_and_the_command_goes_on() {
    goes_on_after("fails", |_| Reply::Http(500, &[], "out of memory".into()));
    goes_on_after("falls silent", |_| Reply::Silence);
    for number in ["NaN", "-Infinity", "null", "\"-0.5\"", "1e999", "0.5"] {
        goes_on_after(&format!("gives {number} as a log-probability"), move |request| {
            let Reply::Http(status, headers, body) = good(request) else { unreachable!() };
            Reply::Http(status, headers, body.replace("-0.25", number))
        });
    }
}
