//! Files of version 1, written by the program before `espalier.tree/2`.

use std::fs;
use std::path::{Path, PathBuf};

use espalier::recipe;
use espalier::run_dir::RunDir;
use serde_json::Value;

use crate::program::{TINY, fail, run, text};

const OLD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/version-1/run");

/// A copy that may be changed.
fn copy(folder: &Path) -> PathBuf {
    let copy = folder.join("run");
    for file in [
        "recipe.toml",
        "manifest.json",
        "problems/round-1.jsonl",
        "rounds/1/trees.jsonl",
        "rounds/1/labels.jsonl",
        "rounds/1/search.json",
        "rounds/1/evaluation.jsonl.log",
    ] {
        let to = copy.join(file);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(Path::new(OLD).join(file), to).unwrap();
    }
    copy
}

/// Trees without their schemas, each step's text as action and observation.
fn steps(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    let mut trees: Vec<Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for tree in &mut trees {
        tree["schema"].take();
        for (tag, node) in tree["react"].as_object_mut().unwrap() {
            let keys: &[&str] = if tag == "0" { &["action", "observation"] } else { &["text"] };
            for key in keys {
                node.as_object_mut().unwrap().shift_remove(*key);
            }
        }
    }
    trees
}

#[test]
fn old_trees_and_labels_are_read_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let old = Path::new(OLD).join("rounds/1");
    let labels = folder.path().join("labels.jsonl");
    let trees = old.join("trees.jsonl");
    // All paths: which of them a harvest keeps depends on its seed.
    let all = ["--set", "labels.paths.max_correct=99", "--set", "labels.paths.max_incorrect=99"];
    let harvest = ["harvest", "--config", TINY, "--trees", text(&trees), "--out", text(&labels)];
    run(&[&harvest[..], &all].concat());
    let [found, expected] =
        [&labels, &old.join("labels.jsonl")].map(|path| fs::read_to_string(path).unwrap());
    let found: Vec<&str> = found.lines().collect();
    assert!(expected.lines().count() > 20);
    for line in expected.lines() {
        assert!(found.contains(&line), "{line}");
    }
    run(&["inspect", "tree", text(&trees)]);
}

#[test]
fn a_run_directory_is_converted_and_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let old = copy(folder.path());
    let arguments = ["run", "--config", TINY, "--run-dir", text(&old)];
    let message = fail(&arguments, 3);
    assert!(
        message.contains("espalier.manifest/1") && message.contains("espalier upgrade"),
        "{message}"
    );

    let told = run(&["upgrade", text(&old)]);
    for change in [
        "labels.max_correct is now labels.paths.max_correct",
        "rounds.data is now rounds.window",
        "trees.jsonl: rewritten as espalier.tree/2",
        "evaluation.jsonl.log: set aside",
        "espalier.manifest/2",
    ] {
        assert!(told.contains(change), "{change}: {told}");
    }
    assert_eq!(run(&["upgrade", text(&old)]), format!("{} is of the newest form\n", text(&old)));
    RunDir::open(&old, &recipe::load(Some(Path::new(TINY)), &[]).unwrap()).unwrap();
    let trees = "rounds/1/trees.jsonl";
    assert_eq!(steps(&old.join(trees)), steps(&Path::new(OLD).join(trees)));
    let size = |run: &Path| fs::metadata(run.join(trees)).unwrap().len();
    assert!(size(&old) < size(Path::new(OLD)));
    let labels = "rounds/1/labels.jsonl";
    assert!(fs::read(old.join(labels)).unwrap() == fs::read(Path::new(OLD).join(labels)).unwrap());
}

#[test]
fn a_form_that_is_too_new_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let run_dir = copy(folder.path());
    let change = |file: &str, from: &str, to: &str| {
        let path = run_dir.join(file);
        fs::write(&path, fs::read_to_string(&path).unwrap().replace(from, to)).unwrap();
        path
    };
    let trees = change("rounds/1/trees.jsonl", "espalier.tree/1", "espalier.tree/3");
    let message = fail(&["upgrade", text(&trees)], 3);
    assert!(message.contains("espalier.tree/3") && message.contains("newer"), "{message}");
    let labels = change("rounds/1/labels.jsonl", "espalier.solution/1", "espalier.solution/9");
    let (out, base) = (folder.path().join("out"), folder.path().join("base"));
    run(&["pretrain", "--config", TINY, "--set", "bootstrap.lines=50", "--out", text(&base)]);
    let train = [
        "train",
        "--config",
        TINY,
        "--checkpoint",
        text(&base),
        "--labels",
        text(&labels),
        "--out",
        text(&out),
    ];
    let message = fail(&train, 3);
    assert!(message.contains("espalier.solution/9") && message.contains("newer"), "{message}");
    change("manifest.json", "espalier.manifest/1", "espalier.manifest/9");
    for arguments in
        [&["upgrade", text(&run_dir)][..], &["run", "--config", TINY, "--run-dir", text(&run_dir)]]
    {
        let message = fail(arguments, 3);
        assert!(message.contains("espalier.manifest/9"), "{message}");
    }
    let message = fail(&["upgrade", TINY], 3);
    assert!(message.contains("neither trees nor labels"), "{message}");
}

#[test]
fn an_old_key_of_a_recipe_is_refused_by_its_new_name() {
    let message = fail(&["generate", "--set", "labels.max_correct=3"], 2);
    assert!(message.contains("write labels.paths.max_correct = 3"), "{message}");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("old.toml");
    fs::write(&path, "[rounds]\ndata = \"latest\"\n").unwrap();
    let message = fail(&["generate", "--config", text(&path)], 2);
    assert!(
        message.contains("old.toml") && message.contains("write rounds.window = 1"),
        "{message}"
    );
}
