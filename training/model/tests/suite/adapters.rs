//! Low-rank adapters: PEFT's files.

use std::fs;

use espalier_fixtures::fixtures::folder;
use espalier_model::{Adapter, Checkpoint, Error};

fn adapter_folder() -> std::path::PathBuf {
    folder("adapters/lora")
}

#[test]
fn an_adapter_folder_leads_to_its_base_model() {
    let adapter = Adapter::load(&adapter_folder()).unwrap();
    assert_eq!(adapter.scale(), 2.0);
    let mut checkpoint = Checkpoint::load(&folder("models/llama")).unwrap();
    checkpoint.merge(&adapter).unwrap();
    let led = Checkpoint::load(&adapter_folder()).unwrap();
    assert_eq!(led.parameters, checkpoint.parameters);
}

#[test]
fn an_adapter_comes_back_bit_for_bit() {
    let dir = tempfile::tempdir().unwrap();
    let adapter = Adapter::load(&adapter_folder()).unwrap();
    adapter.save(&dir.path().join("adapter")).unwrap();
    assert_eq!(Adapter::load(&dir.path().join("adapter")).unwrap(), adapter);
}

/// The message of loading the adapter after its `adapter_config.json` was changed.
fn refusal(field: &str, value: serde_json::Value) -> String {
    let dir = tempfile::tempdir().unwrap();
    for name in ["adapter_config.json", "adapter_model.safetensors"] {
        fs::copy(adapter_folder().join(name), dir.path().join(name)).unwrap();
    }
    let path = dir.path().join("adapter_config.json");
    let mut config: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    config["base_model_name_or_path"] = "not/beside/it".into();
    config[field] = value;
    fs::write(&path, config.to_string()).unwrap();
    Checkpoint::load(dir.path()).unwrap_err().to_string()
}

#[test]
fn adapters_of_other_kinds_are_refused() {
    for (field, value) in [
        ("peft_type", serde_json::json!("IA3")),
        ("use_dora", serde_json::json!(true)),
        ("bias", serde_json::json!("all")),
        ("modules_to_save", serde_json::json!(["lm_head"])),
        ("rank_pattern", serde_json::json!({"q_proj": 8})),
        ("r", serde_json::json!(0)),
        ("base_model_name_or_path", serde_json::json!("nowhere/to-be-found")),
        ("base_model_name_or_path", serde_json::json!(null)),
    ] {
        let message = refusal(field, value);
        assert!(message.contains(field) && message.contains("adapter_config"), "{message}");
    }
    // Another rank than the tensors have.
    let mut checkpoint = Checkpoint::load(&folder("models/llama")).unwrap();
    let before = checkpoint.parameters.clone();
    let mut other = Checkpoint::load(&folder("models/qwen2")).unwrap();
    other.merge(&Adapter::load(&adapter_folder()).unwrap()).unwrap_err();
    let message = refusal("r", serde_json::json!(4));
    assert!(message.contains("folder here"), "the copy has no base beside it: {message}");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("adapter");
    Adapter::load(&adapter_folder()).unwrap().save(&path).unwrap();
    let config = path.join("adapter_config.json");
    let text = fs::read_to_string(&config).unwrap().replace("\"r\": 3", "\"r\": 4");
    fs::write(&config, text).unwrap();
    fs::remove_file(path.join("checksums.json")).unwrap();
    match checkpoint.merge(&Adapter::load(&path).unwrap()) {
        Err(Error::Shape { name, .. }) => assert!(name.contains("lora_"), "{name}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(checkpoint.parameters, before, "a refused adapter changes nothing");
}
