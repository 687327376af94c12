//! A disk that is full, and one that fails, at random calls: `faults.c`, compiled here, stands between the program and the C library.

use std::collections::BTreeMap;
use std::env::consts::DLL_SUFFIX;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use rand_chacha::rand_core::Rng;

use super::subject::{Subject, assert_alike};
use super::{amount, random};
use crate::program::{TINY, espalier, text};

/// What each kind of call fails with, and what the program's message says of it.
const FAULTS: [(&str, i32, &str); 4] = [
    ("write", 28, "No space left on device"),
    ("write", 5, "Input/output error"),
    ("sync", 5, "Input/output error"),
    ("rename", 5, "Input/output error"),
];

/// The library between, or nothing where there is no C compiler.
fn library(folder: &Path) -> Option<PathBuf> {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/chaos/faults.c");
    let library = folder.join(format!("faults{DLL_SUFFIX}"));
    let arguments = ["-shared", "-fPIC", "-O1", "-o", text(&library), source, "-ldl"];
    match Command::new("cc").args(arguments).output() {
        Ok(output) => {
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            Some(library)
        }
        Err(error) => {
            println!("SKIPPED: no faults of the disk without a C compiler: cc: {error}");
            None
        }
    }
}

fn with(mut command: Command, library: &Path, folder: &Path, more: &[(&str, &str)]) -> Output {
    command.env("LD_PRELOAD", library).env("CHAOS_DIR", folder);
    command.envs(more.iter().copied()).output().unwrap()
}

#[test]
fn a_disk_that_is_full_or_fails_at_any_call_is_told_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().canonicalize().unwrap();
    let Some(library) = library(&place) else { return };
    let subject = Subject::countdown();
    let (whole, counts) = (place.join("whole"), place.join("counts"));
    let count = [("CHAOS_COUNT", text(&counts))];
    let output = with(subject.command(&whole), &library, &whole, &count);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let calls: BTreeMap<String, u32> = fs::read_to_string(&counts)
        .unwrap()
        .lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(kind, number)| (kind.to_owned(), number.parse().unwrap()))
        .collect();
    let mut random = random(10);
    for (kind, errno, message) in FAULTS {
        let (mut told, mut runs) = (0, 0);
        while told < amount() {
            runs += 1;
            let faulty = place.join("faulty");
            while (subject.stage)(&faulty).is_some() {
                let number = 1 + random.next_u32() % calls[kind];
                let fault = format!("{kind}:{number}:{errno}");
                let given = [("CHAOS_FAULT", &*fault)];
                let output = with(subject.command(&faulty), &library, &faulty, &given);
                let errors = String::from_utf8_lossy(&output.stderr);
                assert!(!errors.contains("panicked"), "{fault}: {errors}");
                if output.status.success() {
                    // It had fewer calls left.
                    break;
                }
                let place = text(&faulty);
                assert!(errors.contains(message) && errors.contains(place), "{fault}: {errors}");
                told += 1;
                if told >= amount() {
                    break;
                }
            }
            subject.finish(&faulty);
            assert_alike(&whole, &faulty, kind);
            fs::remove_dir_all(&faulty).unwrap();
        }
        println!(
            "chaos: {kind} fails ({message}): {told} times in {runs} runs; all told, all alike"
        );
    }
}

#[test]
fn a_disk_without_room_is_told_before_it_is_full() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().canonicalize().unwrap();
    let Some(library) = library(&place) else { return };
    let run_dir = place.join("run");
    let run = |free: usize, rounds: usize| {
        let count = format!("rounds.count={rounds}");
        let few = ["--set", "bootstrap.lines=50", "--set", "evaluation.problems=4"];
        let arguments = ["run", "--config", TINY, "--run-dir", text(&run_dir), "--set", &count];
        let command = espalier(&[&arguments[..], &few].concat());
        with(command, &library, &place, &[("CHAOS_FREE", &free.to_string())])
    };
    let refused = |output: Output| {
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(3), "{errors}");
        assert!(errors.contains("rounds.keep") && errors.contains(text(&run_dir)), "{errors}");
        errors
    };
    // The net takes a quarter of a megabyte with its moments, and 16 MiB are left for the rest.
    let errors = refused(run(16 << 20, 1));
    assert!(errors.contains("of 2 rounds") && errors.contains("has 16.0 MiB left"), "{errors}");
    assert!(!run_dir.join("problems").exists(), "nothing is begun");
    let output = run(24 << 20, 1);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    // A finished run needs no more room.
    assert!(run(0, 1).status.success());
    assert!(refused(run(16 << 20, 2)).contains("of 1 rounds"));
}
