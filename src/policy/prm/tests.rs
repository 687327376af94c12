//! Tiny models in the published layouts, beside the scores that their makers' readers give (`tests/data/reward/make.py`).

use std::fs;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use espalier_search::{Cancel, Request};
use serde::Deserialize;

use super::*;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/reward")
}

#[derive(Deserialize)]
struct Reference {
    tokenizer: String,
    solutions: Vec<Scored>,
}

#[derive(Deserialize)]
struct Scored {
    question: String,
    steps: Vec<String>,
    p: Option<Vec<f64>>,
    raw: Option<Vec<f64>>,
    difference: Option<Vec<f64>>,
}

impl Scored {
    fn values(&self) -> Vec<f64> {
        let of = |numbers: &Option<Vec<f64>>, value: fn(&f64) -> f64| {
            numbers.as_ref().map(|numbers| numbers.iter().map(value).collect())
        };
        of(&self.p, |p| 2.0 * p - 1.0)
            .or_else(|| of(&self.raw, |raw| (raw / 2.0).tanh()))
            .or_else(|| of(&self.difference, |difference| *difference))
            .unwrap()
    }
}

/// A model's folder, with its tokenizer's files.
fn folder(name: &str) -> (tempfile::TempDir, Reference) {
    let from = fixtures().join(name);
    let reference: Reference =
        serde_json::from_slice(&fs::read(from.join("reference.json")).unwrap()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let tokenizer = fixtures().join("tokenizers").join(&reference.tokenizer);
    for file in fs::read_dir(from).unwrap().chain(fs::read_dir(tokenizer).unwrap()) {
        let file = file.unwrap();
        fs::copy(file.path(), folder.path().join(file.file_name())).unwrap();
    }
    (folder, reference)
}

fn form(name: &str) -> FormRecipe {
    let preset = Preset::from_str(name.strip_suffix("-bos").unwrap_or(name), false).unwrap();
    FormRecipe { preset: Some(preset), ..FormRecipe::default() }
}

fn recipe(path: &Path, form: FormRecipe) -> PrmRecipe {
    PrmRecipe { path: Some(path.to_owned()), form, ..PrmRecipe::default() }
}

fn requests(reference: &Reference) -> Vec<Request> {
    let mut requests = Vec::new();
    for Scored { question, steps, .. } in &reference.solutions {
        for count in 1..=steps.len() {
            let written = Written { question: question.clone(), steps: steps[..count].to_vec() };
            requests.push(Request::value(serde_json::to_string(&written).unwrap().into()));
        }
    }
    requests
}

/// The largest difference of a reading from the reference's values, or why there is none.
fn off(path: &Path, reference: &Reference, form: FormRecipe) -> Result<f64, String> {
    let recipe = recipe(path, form);
    recipe.validate().map_err(|error| error.to_string())?;
    let compute = ComputeRecipe { threads: 1, kv_cache_megabytes: 16, ..ComputeRecipe::default() };
    let policy = recipe.verifier(Judged::Steps, &compute).map_err(|error| error.to_string())?;
    let answers = policy.evaluator().evaluate(&requests(reference), &Cancel::new());
    let expected = reference.solutions.iter().flat_map(Scored::values);
    answers.into_iter().zip(expected).try_fold(0.0, |most: f64, (answer, expected)| {
        let value = answer.map_err(|error| error.to_string())?.value;
        Ok(most.max((value - expected).abs()))
    })
}

/// What a careless reader does, where it can be done in this form.
fn wrong_readings(name: &str) -> Vec<(&'static str, FormRecipe)> {
    let resolved = form(name).resolve();
    let mut readings = Vec::new();
    let mut wrong = |what, change: fn(&mut FormRecipe)| {
        let mut form = form(name);
        change(&mut form);
        readings.push((what, form));
    };
    match &resolved.head {
        HeadRecipe::Classes { .. } => wrong("the other class", |form| {
            form.head = Some(HeadRecipe::Classes { good: vec![0] });
        }),
        HeadRecipe::Tokens { .. } => wrong("the words the other way round", |form| {
            if let HeadRecipe::Tokens { good, bad } = form.resolve().head {
                form.head = Some(HeadRecipe::Tokens { good: bad, bad: good });
            }
        }),
        HeadRecipe::Implicit { .. } | HeadRecipe::Scalar | HeadRecipe::MeanLogit => {}
    }
    if !matches!(resolved.head, HeadRecipe::Implicit { .. }) {
        wrong("a token earlier", |form| form.shift = Some(form.resolve().shift + 1));
    }
    if !resolved.tag.is_empty() && resolved.chat != ChatUse::Turns {
        wrong("only the last tag", |form| form.tag_every = Some(false));
    }
    if !resolved.system.is_empty() {
        wrong("without the system's turn", |form| form.system = Some(String::new()));
    }
    if resolved.step.contains("{n}") {
        wrong("without numbers", |form| form.step = Some("{step}".to_owned()));
    }
    readings
}

#[test]
fn every_preset_reads_as_its_makers_do() {
    let mut presets = 0;
    for entry in fs::read_dir(fixtures()).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if !entry.path().join("reference.json").exists() || name == "eurus-reference" {
            continue;
        }
        let (path, reference) = folder(&name);
        let (other, _) = folder("eurus-reference");
        let complete = |mut form: FormRecipe| {
            if name == "eurus-prm" {
                let reference = other.path().to_owned();
                form.head = Some(HeadRecipe::Implicit { reference, beta: 0.05 });
            }
            form
        };
        let right = off(path.path(), &reference, complete(form(&name)));
        assert!(right.as_ref().is_ok_and(|off| *off < 2e-5), "{name}: {right:?}");
        for (what, wrong) in wrong_readings(&name) {
            let found = off(path.path(), &reference, complete(wrong));
            assert!(found.as_ref().map_or(true, |off| *off > 1e-3), "{name}, {what}: {found:?}");
        }
        presets += 1;
    }
    // All of them, and one with a token that begins a text.
    assert_eq!(presets, Preset::value_variants().len() + 1);
}

#[test]
fn a_whole_solution_is_the_aggregate_of_its_steps() {
    let (path, reference) = folder("trl");
    let steps = reference.solutions[1].values();
    for aggregation in [Aggregation::Min, Aggregation::Product, Aggregation::Last] {
        let form = FormRecipe { aggregation: Some(aggregation), ..form("trl") };
        let compute = ComputeRecipe::default();
        let recipe = recipe(path.path(), form);
        let policy = recipe.verifier(Judged::Solutions, &compute).unwrap();
        let answers = policy.evaluator().evaluate(&requests(&reference), &Cancel::new());
        // The last prefix of the second solution.
        let value = answers[4].as_ref().unwrap().value;
        assert!((value - aggregation.of(&steps)).abs() < 2e-5, "{aggregation:?}: {value}");
    }
    let nothing = Written { question: "1 + 1?".into(), steps: vec![] };
    let request = Request::value(serde_json::to_string(&nothing).unwrap().into());
    let recipe = recipe(path.path(), form("trl"));
    let policy = recipe.verifier(Judged::Steps, &ComputeRecipe::default()).unwrap();
    let answer = policy.evaluator().evaluate(&[request], &Cancel::new()).remove(0).unwrap();
    assert_eq!(answer.value, 0.0);
}

#[test]
fn a_model_of_another_kind_is_refused() {
    let refused = |name: &str, as_preset: &str| {
        let (path, reference) = folder(name);
        off(path.path(), &reference, form(as_preset)).unwrap_err()
    };
    let error = refused("easy-to-hard", "trl");
    assert!(error.contains("score.weight"), "{error}");
    let error = refused("trl", "skywork-o1");
    assert!(error.contains("gives 2 numbers") && error.contains("classes"), "{error}");
    let error = refused("math-minos", "qwen2.5-math-prm");
    assert!(error.contains("chat template"), "{error}");
    let error = refused("trl", "math-shepherd");
    assert!(error.contains("lm_head.weight"), "{error}");
    let error = refused("reasoneval-34b", "pqm");
    assert!(error.contains("[PRM]") && error.contains("no token"), "{error}");
    let (path, reference) = folder("trl");
    let classes = FormRecipe { head: Some(HeadRecipe::Classes { good: vec![2] }), ..form("trl") };
    let error = off(path.path(), &reference, classes).unwrap_err();
    assert!(error.contains("2 classes"), "{error}");
    let error = off(path.path(), &reference, FormRecipe::default()).unwrap_err();
    assert!(error.contains("value.form") && error.contains("qwen2.5-math-prm"), "{error}");
}

#[test]
fn too_long_a_solution_is_told_and_not_cut() {
    let (path, _) = folder("trl");
    let recipe = recipe(path.path(), form("trl"));
    let policy = recipe.verifier(Judged::Steps, &ComputeRecipe::default()).unwrap();
    let written = Written { question: "1 + 1?".into(), steps: vec!["7 + 7 ".repeat(200)] };
    let request = Request::value(serde_json::to_string(&written).unwrap().into());
    let answer = policy.evaluator().evaluate(&[request], &Cancel::new()).remove(0);
    assert!(
        matches!(answer, Err(EvaluatorError::ContextTooLong { tokens: 257.., limit: 256 })),
        "{answer:?}"
    );
}
