//! Every recipe of `configs/` does what its text says: those that need nothing from elsewhere run a whole tiny round, the others
//! are read, checked and told what they would take. A new recipe is found by itself.

use std::fs;
use std::path::{Path, PathBuf};

use espalier::pipeline::Ablation;
use espalier::recipe;
use serde_json::Value;

use crate::program::{run, text};

/// What makes a round small, where a recipe has the key. Problems of two numbers are solved by chance, so that objectives have
/// something to learn.
const SMALL: &[(&str, &str)] = &[
    ("problems.numbers", "[2, 2]"),
    ("problems.max_value", "9"),
    ("net.layers", "2"),
    ("net.width", "32"),
    ("net.heads", "2"),
    ("net.key_value_heads", "2"),
    ("net.intermediate", "64"),
    ("bootstrap.lines", "8000"),
    ("bootstrap.problems", "0"),
    ("bootstrap.epochs", "4"),
    ("rounds.count", "1"),
    ("rounds.problems", "40"),
    ("rounds.trees_per_problem", "1"),
    ("rounds.probe.problems", "6"),
    ("search.simulations", "6"),
    ("search.samples", "4"),
    ("training.epochs", "1"),
    ("training.batch_tokens", "512"),
    ("evaluation.problems", "6"),
    ("evaluation.decodings", "[\"greedy\", \"mcts:4\"]"),
    ("compute.threads", "2"),
    ("compute.concurrent_problems", "8"),
    ("compute.kv_cache_megabytes", "16"),
];

fn files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let entries = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|end| end == "toml")).collect();
    files.sort();
    files
}

/// Files and addresses that a recipe names.
fn wants(value: &Value) -> Vec<String> {
    match value {
        Value::Object(table) => table
            .iter()
            .flat_map(|(key, value)| match value {
                Value::String(place) if key == "path" || key == "url" => vec![place.clone()],
                value => wants(value),
            })
            .filter(|place| !place.is_empty())
            .collect(),
        Value::Array(values) => values.iter().flat_map(wants).collect(),
        _ => Vec::new(),
    }
}

fn has(recipe: &Value, key: &str) -> bool {
    key.split('.').try_fold(recipe, |value, part| value.get(part)).is_some()
}

fn small(recipe: &Value) -> Vec<String> {
    let settings = SMALL.iter().filter(|(key, _)| has(recipe, key));
    settings.flat_map(|(key, value)| ["--set".to_owned(), format!("{key}={value}")]).collect()
}

fn lines(path: &Path) -> usize {
    fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display())).lines().count()
}

/// Search, labels, training and measures of one round.
fn round(file: &Path, overrides: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("run");
    let arguments = ["run", "--config", text(file), "--run-dir", text(&dir)];
    let table = run(&[&arguments, overrides].concat());
    assert!(table.contains("greedy"), "{}: {table}", file.display());
    for name in ["trees.jsonl", "labels.jsonl"] {
        assert!(lines(&dir.join("rounds/1").join(name)) > 0, "{}: {name}", file.display());
    }
    assert!(dir.join("rounds/1/checkpoint/model.safetensors").exists(), "{}", file.display());
}

/// Search and labels, where no net is trained.
fn stages(file: &Path, overrides: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (problems, trees, labels) = (path("problems"), path("trees"), path("labels"));
    let stage = |name: &str, arguments: &[&str]| {
        run(&[&[name, "--config", text(file)], arguments, overrides].concat())
    };
    stage("generate", &["--split", "train", "--count", "40", "--out", text(&problems)]);
    stage("search", &["--problems", text(&problems), "--out", text(&trees)]);
    stage("harvest", &["--trees", text(&trees), "--out", text(&labels)]);
    assert!(lines(&labels) > 0, "{}", file.display());
}

#[test]
fn every_recipe_runs_a_round_or_tells_what_it_would_take() {
    let files = files("configs");
    let mut whole = 0;
    for file in &files {
        let loaded = recipe::load(Some(file), &[]).unwrap();
        let value = serde_json::to_value(&loaded).unwrap();
        let stem = file.file_stem().unwrap().to_str().unwrap();
        assert_eq!(loaded.name, stem, "a recipe's runs are found by its file's name");
        assert!(!loaded.about.is_empty(), "{stem} does not say what it is for");
        let overrides = small(&value);
        let overrides: Vec<&str> = overrides.iter().map(String::as_str).collect();
        let wants = wants(&value);
        if !wants.is_empty() {
            let output = run(&["run", "--config", text(file), "--dry-run", "--json"]);
            let report: Value = serde_json::from_str(&output).unwrap();
            assert_eq!(report["recipe"], *stem, "wants {wants:?}");
        } else if loaded.policy.kind().local().is_some() {
            round(file, &overrides);
            whole += 1;
        } else {
            stages(file, &overrides);
            whole += 1;
        }
    }
    assert!(whole >= 2, "{whole} of {} recipes need nothing from elsewhere", files.len());
}

#[test]
fn every_ablation_varies_settings_that_there_are() {
    let files = files("configs/ablations");
    assert!(!files.is_empty());
    for file in files {
        let (ablation, cells) = Ablation::read(&file, &[]).unwrap();
        assert_eq!(file.file_stem().unwrap().to_str(), Some(ablation.name.as_str()));
        assert!(cells.len() > 1, "{}", file.display());
    }
}
