//! Keys of GGUF metadata that change what a net computes.

use std::fs;

use espalier_fixtures::fixtures::folder;
use espalier_model::{Checkpoint, Error};

/// A value of a metadata pair.
pub enum Value {
    Float(f32),
    Text(&'static str),
    Integer(u32),
}

/// A file with further pairs before its own.
pub fn with(file: &[u8], pairs: &[(&str, Value)]) -> Vec<u8> {
    let text = |text: &[u8]| [&(text.len() as u64).to_le_bytes(), text].concat();
    let mut inserted = Vec::new();
    for (key, value) in pairs {
        inserted.extend(text(key.as_bytes()));
        inserted.extend(match value {
            Value::Float(number) => [6_u32.to_le_bytes(), number.to_le_bytes()].concat(),
            Value::Integer(number) => [4_u32, *number].map(u32::to_le_bytes).concat(),
            Value::Text(word) => [&8_u32.to_le_bytes()[..], &text(word.as_bytes())].concat(),
        });
    }
    // The tensors lie at a multiple of 32 bytes: so must what moves them.
    let filler = vec![b'x'; 32 - (inserted.len() + 8 + 1 + 4 + 8) % 32];
    inserted.extend(text(b"f"));
    inserted.extend([&8_u32.to_le_bytes()[..], &text(&filler)].concat());
    let (counts, rest) = file[4..].split_at(20);
    let own = u64::from_le_bytes(counts[12..].try_into().unwrap());
    let count = own + pairs.len() as u64 + 1;
    [&file[..4], &counts[..12], &count.to_le_bytes(), &inserted, rest].concat()
}

fn load(fixture: &str, pairs: &[(&str, Value)]) -> Result<Checkpoint, Error> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.gguf");
    let whole = fs::read(folder("gguf").join(fixture).join("model.gguf")).unwrap();
    fs::write(&path, with(&whole, pairs)).unwrap();
    Checkpoint::load(&path)
}

const YARN: (&str, Value) = ("qwen3.rope.scaling.type", Value::Text("yarn"));

fn factor(factor: f32) -> (&'static str, Value) {
    ("qwen3.rope.scaling.factor", Value::Float(factor))
}

#[test]
fn scaling_is_read_as_by_llama_cpp() {
    let scaling = |pairs: &[(&str, Value)]| {
        let other = load("qwen3", pairs).unwrap().config.other;
        other.get("rope_scaling").cloned().unwrap_or_default()
    };
    let linear = serde_json::json!({"factor": 4.0, "rope_type": "linear"});
    assert_eq!(scaling(&[factor(4.0)]), linear, "a factor alone");
    assert_eq!(scaling(&[("qwen3.rope.scale_linear", Value::Float(4.0))]), linear);
    assert!(scaling(&[("qwen3.rope.scaling.type", Value::Text("none")), factor(4.0)]).is_null());
    assert!(scaling(&[("qwen3.rope.scaling.type", Value::Text("linear"))]).is_null());
    // What changes nothing may be said.
    let yarn = scaling(&[
        YARN,
        factor(4.0),
        ("qwen3.rope.scaling.yarn_beta_fast", Value::Float(32.0)),
        ("qwen3.rope.scaling.yarn_ext_factor", Value::Float(1.0)),
        ("qwen3.rope.scaling.attn_factor", Value::Float(1.5)),
    ]);
    assert_eq!(yarn["original_max_position_embeddings"], 64);
    let attention = yarn["attention_factor"].as_f64().unwrap();
    assert!((attention - 1.5 * (0.1 * 4.0_f64.ln() + 1.0)).abs() < 1e-12, "{attention}");
}

#[test]
fn scaling_that_llama_cpp_does_not_read_is_refused_by_its_key() {
    for name in ["beta_fast", "beta_slow", "ext_factor", "attn_factor", "log_multiplier"] {
        let key = format!("qwen3.rope.scaling.yarn_{name}");
        let error = load("qwen3", &[YARN, factor(4.0), (&key, Value::Float(0.5))]).unwrap_err();
        assert!(error.to_string().contains(&format!("{key}: 0.5 is not supported")), "{error}");
    }
    let key = "qwen3.rope.scaling.attn_factor";
    let error = load("qwen3", &[factor(4.0), (key, Value::Float(1.5))]).unwrap_err();
    assert!(error.to_string().contains(&format!("{key}: 1.5")), "{error}");
}
