//! Torn and flipped bytes in every file of a run directory.

use std::fs;
use std::path::Path;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::Rng;

use super::subject::{Subject, assert_alike, copy, files};
use super::{amount, random};

/// What becomes of a run one of whose files is damaged.
#[derive(Default)]
struct Outcomes {
    told: usize,
    mended: usize,
}

/// Changes a file as a broken disk does.
fn spoil(path: &Path, torn: bool, random: &mut ChaCha8Rng) -> String {
    let mut bytes = fs::read(path).unwrap();
    let place = random.next_u32() as usize % bytes.len();
    let how = if torn {
        bytes.truncate(place);
        format!("cut at byte {place}")
    } else {
        let bit = random.next_u32() % 8;
        bytes[place] ^= 1 << bit;
        format!("bit {bit} of byte {place} flipped")
    };
    // Not in place: the file may be linked from elsewhere.
    fs::remove_file(path).unwrap();
    fs::write(path, bytes).unwrap();
    how
}

/// Goes on with a run of which one file is damaged: it says so by the file's name or its folder's, or ends as if nothing had been.
fn goes_on(subject: &Subject, whole: &Path, damaged: &Path, name: &str, how: &str) -> bool {
    let output = subject.command(damaged).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(!errors.contains("panicked"), "{name}, {how}: {errors}");
    if output.status.success() {
        if name.contains("checkpoint/") {
            // A net has sums of its own, by which it is told when it is read; this one was not, and is as it was damaged.
            fs::copy(whole.join(name), damaged.join(name)).unwrap();
        }
        assert_alike(whole, damaged, &format!("{name}, {how}"));
        return false;
    }
    let file = damaged.join(name);
    let named = [file.file_name(), file.parent().and_then(Path::file_name)];
    let is_named = named.iter().flatten().any(|part| errors.contains(part.to_str().unwrap()));
    assert!(is_named, "{name}, {how}: {errors}");
    true
}

#[test]
fn damage_in_any_file_of_a_run_is_told_or_mended() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (subject, whole) = (Subject::countdown(), path("whole"));
    subject.finish(&whole);
    let mut random = random(20);
    let mut outcomes = Outcomes::default();
    // As a kill in the last round leaves it.
    let states: [(&str, &[&str]); 3] = [
        ("rounds/2/trees.jsonl.log", &["search"]),
        ("rounds/2/checkpoint.partial/config.json", &["search", "harvest"]),
        ("rounds/2/evaluation.jsonl.log", &["search", "harvest", "train", "gate", "probe"]),
    ];
    for (reached, _) in states {
        let state = path("state");
        stop_when(&subject, &state, reached);
        let mut names: Vec<String> = files(&state).into_keys().collect();
        names.retain(|name| name != ".lock" && fs::metadata(state.join(name)).unwrap().len() > 0);
        // All of them with a large amount, else some.
        let every = names.len().div_ceil(3 * amount());
        for (number, name) in names.iter().enumerate() {
            if number % every != random.next_u32() as usize % every {
                continue;
            }
            for torn in [false, true] {
                let damaged = path("damaged");
                copy(&state, &damaged);
                let how = spoil(&damaged.join(name), torn, &mut random);
                match goes_on(&subject, &whole, &damaged, name, &how) {
                    true => outcomes.told += 1,
                    false => outcomes.mended += 1,
                }
                fs::remove_dir_all(&damaged).unwrap();
            }
        }
        fs::remove_dir_all(&state).unwrap();
    }
    let Outcomes { told, mended } = outcomes;
    println!("chaos: damaged files: {told} told, {mended} done again or of no account, all alike");
    assert!(told > 0 && mended > 0);
}

/// Runs until a file is there, and kills the program.
fn stop_when(subject: &Subject, folder: &Path, file: &str) {
    let mut child = subject.command(folder).stderr(std::process::Stdio::null()).spawn().unwrap();
    while !folder.join(file).exists() {
        assert!(child.try_wait().unwrap().is_none(), "{file} never came");
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
}
