//! Low-rank adapters: PEFT's files, and training in their place.

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;

use espalier_training::{
    Adapter, Checkpoint, Error, LoraConfig, PolicyValueNet, StepMetrics, TrainConfig, train,
};
use tch::Tensor;

use crate::fixtures::{check, folder, largest_difference, logits, reference};
use crate::nets::{CPU, fresh, tiny};
use crate::training::{content, examples, go_on};

fn adapter_folder() -> std::path::PathBuf {
    folder("adapters/lora")
}

#[test]
fn a_peft_adapter_computes_what_peft_computes() {
    let reference = reference(&adapter_folder());
    let adapter = Adapter::load(&adapter_folder()).unwrap();
    assert_eq!(adapter.scale(), 2.0);
    let mut checkpoint = Checkpoint::load(&folder("models/llama")).unwrap();
    let plain = logits(&checkpoint, &reference.ids);
    assert!(largest_difference(&plain, &reference.logits) > 0.1);

    // Beside the weights, as in training.
    let net = PolicyValueNet::with_adapter(&checkpoint, &adapter).unwrap();
    let ids: Vec<i64> = reference.ids.iter().map(|&id| i64::from(id)).collect();
    let beside: Vec<f32> = tch::no_grad(|| {
        let hidden = net.forward(&Tensor::from_slice(&ids).unsqueeze(0)).unwrap();
        Vec::try_from(&net.logits(&hidden).unwrap().view([-1])).unwrap()
    });
    let off = largest_difference(&beside, &reference.logits);
    println!("adapter beside the weights: {off:.1e}");
    assert!(off < 1e-4);

    // In the weights, as at inference.
    checkpoint.merge(&adapter).unwrap();
    check("adapter in the weights", &checkpoint, &reference);
    // The folder alone leads to its base model.
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

fn config() -> TrainConfig {
    TrainConfig {
        lora: Some(LoraConfig {
            rank: 2,
            alpha: 4.0,
            target_modules: vec!["q_proj".into(), "up_proj".into()],
        }),
        epochs: 4,
        batch_tokens: 64,
        learning_rate: 1e-2,
        save_every: 3,
        ..TrainConfig::default()
    }
}

#[test]
fn training_an_adapter_leaves_the_other_weights_and_resumes_bit_for_bit() {
    let dir = tempfile::tempdir().unwrap();
    let base = fresh(&tiny(), 1);
    let whole = dir.path().join("whole");
    let report = train(&base, &examples(), &config(), 7, CPU, &whole, &mut go_on).unwrap();
    assert!(report.last.loss < report.first.loss, "{report:?}");
    let trained = Checkpoint::load(&whole).unwrap();
    for (name, parameter) in trained.parameters.iter() {
        let adapted = ["q_proj.weight", "up_proj.weight", "value_head."];
        let adapted = adapted.iter().any(|part| name.contains(part));
        assert_eq!(base.parameters.get(name) != Some(parameter), adapted, "{name}");
    }

    // The adapter alone, merged into the base, is the trained net.
    let mut merged = base.clone();
    merged.merge(&Adapter::load(&whole.join("adapter")).unwrap()).unwrap();
    assert_eq!(merged.parameters, trained.parameters);

    let expected = content(&whole);
    for stop_after in [1, 4, 8] {
        let out = dir.path().join(format!("stopped-{stop_after}"));
        let mut stop = |metrics: &StepMetrics| match metrics.step == stop_after {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        };
        train(&base, &examples(), &config(), 7, CPU, &out, &mut stop).unwrap_err();
        let partial = dir.path().join(format!("stopped-{stop_after}.partial"));
        if stop_after >= 3 {
            Adapter::load(&partial).unwrap();
            assert!(!partial.join("model.safetensors").exists(), "the base is not saved again");
        }
        let resumed = train(&base, &examples(), &config(), 7, CPU, &out, &mut go_on).unwrap();
        assert_eq!(resumed, report);
        assert_eq!(content(&out), expected, "stopped after step {stop_after}");
        assert!(!partial.exists());
    }
}

#[test]
fn only_the_adapter_and_the_value_head_are_trainable() {
    let checkpoint = Checkpoint::load(&folder("models/llama")).unwrap();
    let adapter = Adapter::load(&adapter_folder()).unwrap();
    let net = PolicyValueNet::with_adapter(&checkpoint, &adapter).unwrap();
    let names: Vec<&str> = net.trainable().map(|(name, _)| name).collect();
    // Two layers of three modules with two matrices each, and the value head's two.
    assert_eq!(names.len(), 2 * 3 * 2 + 2);
    let known = |name: &&str| name.contains(".lora_") || name.starts_with("value_head.");
    assert!(names.iter().all(known), "{names:?}");
    let numbers: BTreeMap<&str, Vec<i64>> =
        net.trainable().map(|(name, tensor)| (name, tensor.size())).collect();
    let name = "base_model.model.model.layers.1.mlp.down_proj.lora_A.weight";
    assert_eq!(numbers[name], [3, 20]);
}

#[test]
fn settings_out_of_range_are_refused() {
    let good = LoraConfig::default();
    for (field, bad) in [
        ("lora.rank", LoraConfig { rank: 0, ..good.clone() }),
        ("lora.alpha", LoraConfig { alpha: -1.0, ..good.clone() }),
        ("lora.target_modules", LoraConfig { target_modules: vec![], ..good.clone() }),
        (
            "lora.target_modules",
            LoraConfig { target_modules: vec!["lm_head".into()], ..good.clone() },
        ),
    ] {
        let config = TrainConfig { lora: Some(bad), ..config() };
        let message = config.validate().unwrap_err().to_string();
        assert!(message.contains(field), "{message}");
    }
    let error =
        serde_json::from_str::<TrainConfig>(r#"{"lora": {"r": 8}}"#).unwrap_err().to_string();
    assert!(error.contains("rank"), "{error}");
    let none = serde_json::to_string(&TrainConfig::default()).unwrap();
    assert!(!none.contains("lora"), "runs without an adapter are named as before");
}
