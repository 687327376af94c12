//! The program under test.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

pub const TINY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tiny.toml");

pub fn espalier(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_espalier"));
    command.args(arguments).stdin(Stdio::null()).env_remove("RUST_LOG");
    command
}

/// Runs to the end, which must be success.
pub fn run(arguments: &[&str]) -> String {
    let output = espalier(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", errors(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// Runs to the end, which must be a failure with this status and no panic; returns the message.
pub fn fail(arguments: &[&str], status: i32) -> String {
    let output = espalier(arguments).output().unwrap();
    let message = errors(&output);
    assert_eq!(output.status.code(), Some(status), "{arguments:?}: {message}");
    assert!(!message.contains("panicked"), "{arguments:?}: {message}");
    message
}

/// A file or folder of the first rows of public data sets.
pub fn first_rows(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/sets").join(name)
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A path as an argument.
pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A run of the tiny recipe with these overrides, finished.
pub fn tiny_run(folder: &Path, overrides: &[&str]) -> PathBuf {
    let run_dir = folder.join("run");
    let mut arguments = vec!["run", "--config", TINY, "--run-dir", text(&run_dir)];
    for assignment in overrides {
        arguments.extend(["--set", assignment]);
    }
    run(&arguments);
    run_dir
}

/// All files below a folder, with what they hold.
pub fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    found
}
