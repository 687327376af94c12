//! What the files beside `tokenizer.json` add to it, against `transformers` (`fixtures/make.py`).

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use espalier_fixtures::fixtures::folder;
use espalier_model::Tokenizer;

fn write(dir: &Path, name: &str, content: &Value) {
    fs::write(dir.join(name), content.to_string()).unwrap();
}

#[test]
fn tokens_are_added_as_by_transformers() {
    let cases: Vec<Value> =
        serde_json::from_slice(&fs::read(folder("beside.json")).unwrap()).unwrap();
    assert!(cases.len() >= 7);
    for case in cases {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "tokenizer.json", &case["tokenizer.json"]);
        let bare = Tokenizer::load(dir.path()).unwrap();
        for (name, content) in case["files"].as_object().unwrap() {
            write(dir.path(), name, content);
        }
        let tokenizer = Tokenizer::load(dir.path()).unwrap();
        let saved = dir.path().join("saved");
        fs::create_dir(&saved).unwrap();
        tokenizer.save(&saved).unwrap();
        let alone = Tokenizer::load(&saved).unwrap();
        let mut changed = false;
        for entry in case["texts"].as_array().unwrap() {
            let text = entry["text"].as_str().unwrap();
            let expected: Vec<u32> = serde_json::from_value(entry["ids"].clone()).unwrap();
            assert_eq!(tokenizer.encode(text).unwrap(), expected, "{} {text:?}", case["name"]);
            assert_eq!(alone.encode(text).unwrap(), expected, "what is saved needs no other file");
            changed |= bare.encode(text).unwrap() != expected;
        }
        assert_eq!(changed, case["name"] != "add-bos-is-not-read", "{}", case["name"]);
    }
}

#[test]
fn files_that_do_not_fit_are_named() {
    let source = fs::read(folder("models/llama/tokenizer.json")).unwrap();
    for (file, content, words) in [
        ("added_tokens.json", json!({"<x>": 77}), &["added_tokens.json", "<x>", "77"][..]),
        ("added_tokens.json", json!({"<x>": "60"}), &["added_tokens.json", "<x>", "no id"]),
        (
            "tokenizer_config.json",
            json!({"added_tokens_decoder": {"3": {"content": "<|end|>"}}}),
            &["added_tokens_decoder", "<|end|>", "id 3 there, 0 here"],
        ),
        (
            "tokenizer_config.json",
            json!({"added_tokens_decoder": {"x": {"content": "<x>"}}}),
            &["added_tokens_decoder", "\"x\""],
        ),
        ("tokenizer_config.json", json!({"added_tokens_decoder": 5}), &["added_tokens_decoder"]),
    ] {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("tokenizer.json"), &source).unwrap();
        write(dir.path(), file, &content);
        let message = Tokenizer::load(dir.path()).unwrap_err().to_string();
        assert!(words.iter().all(|word| message.contains(word)), "{message}");
    }
}
