//! What `fixtures/make.py` made with `transformers`.

use std::io::Write;
use std::path::{Path, PathBuf};

use espalier_training::{Checkpoint, PolicyValueNet};
use safetensors::SafeTensors;
use tch::Tensor;

pub fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// Says that a test is skipped, past the test runner's capture, so that it is seen.
pub fn skipped(test: &str, why: &str) {
    let _ = writeln!(std::io::stderr(), "SKIPPED {test}: {why}");
}

/// The names in a folder of fixtures.
pub fn names(of: &str) -> Vec<String> {
    let entries = std::fs::read_dir(folder(of)).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// A text with `transformers`' tokens and logits `[T, V]`.
pub struct Reference {
    pub text: String,
    pub ids: Vec<u32>,
    pub logits: Vec<f32>,
}

pub fn reference(dir: &Path) -> Reference {
    let json = std::fs::read(dir.join("reference.json")).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    let bytes = std::fs::read(dir.join("reference.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let logits = file.tensor("logits").unwrap();
    let logits = logits.data().as_chunks().0.iter().map(|&number| f32::from_le_bytes(number));
    Reference {
        text: json["text"].as_str().unwrap().to_owned(),
        ids: serde_json::from_value(json["ids"].clone()).unwrap(),
        logits: logits.collect(),
    }
}

/// Logits `[T, V]` of the training net.
pub fn logits(checkpoint: &Checkpoint, ids: &[u32]) -> Vec<f32> {
    tch::set_num_threads(1);
    let net = PolicyValueNet::new(checkpoint);
    let ids: Vec<i64> = ids.iter().map(|&id| i64::from(id)).collect();
    tch::no_grad(|| {
        let hidden = net.forward(&Tensor::from_slice(&ids).unsqueeze(0)).unwrap();
        Vec::try_from(&net.logits(&hidden).unwrap().view([-1])).unwrap()
    })
}

pub fn largest_difference(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    found.iter().zip(expected).map(|(one, other)| (one - other).abs()).fold(0.0, f32::max)
}

/// Checks tokens and logits; gives the largest difference.
pub fn check(name: &str, checkpoint: &Checkpoint, reference: &Reference) -> f32 {
    assert_eq!(checkpoint.tokenizer.encode(&reference.text).unwrap(), reference.ids, "{name}");
    assert_eq!(checkpoint.tokenizer.decode(&reference.ids), reference.text, "{name}");
    let difference = largest_difference(&logits(checkpoint, &reference.ids), &reference.logits);
    println!("{name}: logits differ from transformers' by at most {difference:.1e}");
    assert!(difference < 1e-4, "{name}: {difference}");
    difference
}
