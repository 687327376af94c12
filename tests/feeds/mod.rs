//! What other programs read of a run: TensorBoard's two readers, and a trackio server.

use std::path::Path;
use std::process::Command;

use espalier::search::testing::skipped;

use crate::program::{TINY, espalier, fail, run, text};

const PROBE: &str =
    "rounds.probe={problems=5, pass_at_k={k=[1, 2], samples=2}, search={simulations=8, samples=3}}";

/// A script of the tests for the viewers' Python; where they are not there, says so.
pub fn viewers_python(script: &str) -> Option<Command> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = root.join(".peers/viewers/bin/python");
    if !root.join(".peers/viewers/ready").exists() {
        skipped("no tensorboard and trackio in .peers/viewers/ (`make peers` fetches them)");
        return None;
    }
    let mut command = Command::new(python);
    command.arg(root.join("tests").join(script));
    Some(command)
}

/// Runs a script of this folder.
fn viewers(script: &str, arguments: &[&str]) -> Option<String> {
    let mut command = viewers_python(&format!("feeds/{script}"))?;
    let output = command.args(arguments).output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}{errors}");
    Some(told)
}

fn arguments(run_dir: &Path, rounds: &str) -> Vec<String> {
    let mut arguments = ["run", "--config", TINY, "--run-dir", text(run_dir)].to_vec();
    for assignment in
        [rounds, PROBE, "evaluation.measures=[{kind=\"decodings\"}, {kind=\"value_auc\"}]"]
    {
        arguments.extend(["--set", assignment]);
    }
    arguments.into_iter().map(str::to_owned).collect()
}

fn strs(arguments: &[String]) -> Vec<&str> {
    arguments.iter().map(String::as_str).collect()
}

#[test]
fn both_of_tensorboards_readers_have_the_numbers_of_the_metrics() {
    let folder = tempfile::tempdir().unwrap();
    let run_dir = folder.path().join("run");
    // The second goes on with the first's file.
    for rounds in ["rounds.count=1", "rounds.count=2"] {
        run(&strs(&arguments(&run_dir, rounds)));
        if viewers("tensorboard_readers.py", &[text(&run_dir)]).is_none() {
            return;
        }
    }
}

#[test]
fn a_trackio_server_shows_the_numbers_of_the_metrics() {
    let folder = tempfile::tempdir().unwrap();
    let run_dir = folder.path().join("run");
    let arguments = [
        vec![text(&run_dir).to_owned(), env!("CARGO_BIN_EXE_espalier").to_owned()],
        arguments(&run_dir, "rounds.count=1"),
        vec!["--set".to_owned(), "feeds.trackio={url=\"URL\", project=\"tiny\"}".to_owned()],
    ]
    .concat();
    viewers("trackio_server.py", &strs(&arguments));
}

#[test]
fn a_run_without_a_feed_says_so_and_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let run_dir = folder.path().join("run");
    let mut arguments = arguments(&run_dir, "rounds.count=0");
    for setting in ["feeds.trackio={url=\"http://127.0.0.1:9\"}", "feeds.tensorboard=false"] {
        arguments.extend(["--set".to_owned(), setting.to_owned()]);
    }
    let output = espalier(&strs(&arguments)).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    assert!(errors.contains("cannot reach http://127.0.0.1:9/api/bulk_log"), "{errors}");
    let events = |entry: std::io::Result<std::fs::DirEntry>| {
        entry.unwrap().file_name().to_str().unwrap().contains("tfevents")
    };
    assert!(!std::fs::read_dir(&run_dir).unwrap().any(events));
}

#[test]
fn a_token_does_not_stand_in_a_recipe() {
    let setting = "feeds.trackio={url=\"http://127.0.0.1:9/?write_token=hidden\"}";
    let message = fail(&["recipe", "--config", TINY, "--set", setting], 2);
    assert!(message.contains("feeds.trackio.url") && message.contains("TRACKIO_WRITE_TOKEN"));
    assert!(!message.contains("hidden"), "{message}");
}
