//! What `fixtures/make.py` made with `transformers`.

use std::path::{Path, PathBuf};

use safetensors::SafeTensors;

/// A fixture's path.
#[must_use]
pub fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures").join(name)
}

/// The names in a folder of fixtures, in order.
///
/// # Panics
/// When there is no such folder.
#[must_use]
pub fn names(of: &str) -> Vec<String> {
    let entries = std::fs::read_dir(folder(of)).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// A text with `transformers`' tokens and logits `[T, V]`.
pub struct Reference {
    /// The text.
    pub text: String,
    /// Its tokens.
    pub ids: Vec<u32>,
    /// Row-major.
    pub logits: Vec<f32>,
}

/// The reference in a fixture's folder.
///
/// # Panics
/// When the folder has none.
#[must_use]
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

/// The largest distance between two lists of numbers.
///
/// # Panics
/// When their lengths differ.
#[must_use]
pub fn largest_difference(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    found.iter().zip(expected).map(|(one, other)| (one - other).abs()).fold(0.0, f32::max)
}
