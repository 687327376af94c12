//! Tokens against llama.cpp (`fixtures/llama_cpp.py`).

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::Value as Json;

use super::file::{GgufFile, Value};
use super::tokenizer;
use crate::tokenizer::Tokenizer;

fn reference() -> Json {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/llama_cpp.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn list(json: &Json, of: impl Fn(&Json) -> Value) -> Value {
    Value::List(json.as_array().unwrap().iter().map(of).collect())
}

fn text(json: &Json) -> Value {
    Value::Text(json.as_str().unwrap().to_owned())
}

fn number(json: &Json) -> Value {
    Value::Unsigned(json.as_u64().unwrap())
}

fn tokenizer(fields: &[(&str, Value)]) -> Tokenizer {
    let metadata: BTreeMap<String, Value> = fields
        .iter()
        .map(|(key, value)| (format!("tokenizer.ggml.{key}"), value.clone()))
        .collect();
    let file = GgufFile {
        path: PathBuf::from("net.gguf"),
        metadata,
        tensors: Vec::new(),
        parts: Vec::new(),
    };
    tokenizer::tokenizer(&file).unwrap()
}

/// Every text whose ids differ.
fn differences(name: &str, tokenizer: &Tokenizer, texts: &Json, expected: &Json) -> Vec<String> {
    let pairs = texts.as_array().unwrap().iter().zip(expected.as_array().unwrap());
    pairs
        .filter_map(|(text, expected)| {
            let text = text.as_str().unwrap();
            let expected: Vec<u32> = serde_json::from_value(expected.clone()).unwrap();
            let found = tokenizer.encode(text).unwrap();
            (found != expected).then(|| {
                let words =
                    |ids: &[u32]| ids.iter().map(|id| tokenizer.decode(&[*id])).collect::<Vec<_>>();
                format!("{name} {text:?}\n  {:?}\n  {:?}", words(&found), words(&expected))
            })
        })
        .collect()
}

#[test]
fn byte_level_tokenizers_of_every_name_make_the_same_tokens() {
    let reference = reference();
    let mut wrong = Vec::new();
    let mut names = 0;
    for entry in reference["byte_level"].as_array().unwrap() {
        for name in entry["names"].as_array().unwrap() {
            names += 1;
            let fields = [
                ("model", Value::Text("gpt2".to_owned())),
                ("pre", text(name)),
                ("tokens", list(&reference["tokens"], text)),
                ("token_type", list(&reference["kinds"], number)),
                ("merges", list(&reference["merges"], text)),
                ("eos_token_id", Value::Unsigned(0)),
                ("bos_token_id", Value::Unsigned(1)),
            ];
            let name = name.as_str().unwrap();
            wrong.extend(differences(
                name,
                &tokenizer(&fields),
                &reference["texts"],
                &entry["ids"],
            ));
            if name == "default" {
                let silent: Vec<_> =
                    fields.iter().filter(|(key, _)| *key != "pre").cloned().collect();
                wrong.extend(differences(
                    "silent",
                    &tokenizer(&silent),
                    &reference["texts"],
                    &entry["ids"],
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(names > 60, "{names}");
}

#[test]
fn sentencepiece_tokenizers_make_the_same_tokens() {
    let reference = reference();
    let score = |json: &Json| Value::Float(json.as_f64().unwrap());
    let mut wrong = Vec::new();
    for prefix in [true, false] {
        let made = tokenizer(&[
            ("model", Value::Text("llama".to_owned())),
            ("tokens", list(&reference["pieces"], text)),
            ("token_type", list(&reference["piece_kinds"], number)),
            ("scores", list(&reference["scores"], score)),
            ("unknown_token_id", Value::Unsigned(0)),
            ("bos_token_id", Value::Unsigned(1)),
            ("eos_token_id", Value::Unsigned(2)),
            ("add_space_prefix", Value::Bool(prefix)),
        ]);
        let name = if prefix { "true" } else { "false" };
        wrong.extend(differences(
            name,
            &made,
            &reference["texts"],
            &reference["sentencepiece"][name],
        ));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
