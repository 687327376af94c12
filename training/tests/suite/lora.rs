//! Low-rank adapters: beside the weights, in them, and training in their place.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;

use espalier_fixtures::fixtures::{Reference, folder, largest_difference, names, reference};
use espalier_fixtures::nets::{fresh, tiny};
use espalier_training::{
    Adapter, Checkpoint, LoraConfig, PolicyValueNet, StepMetrics, TrainConfig,
};
use tch::Tensor;

use crate::parity::{check, logits};
use crate::training::{content, examples, go_on, train};

fn adapter_folder() -> std::path::PathBuf {
    folder("adapters/lora")
}

/// The base of an adapter, with the logits that PEFT computes for the adapter.
fn base(dir: &Path) -> (Checkpoint, Reference) {
    let config = std::fs::read(dir.join("adapter_config.json")).unwrap();
    let config: serde_json::Value = serde_json::from_slice(&config).unwrap();
    let base = config["base_model_name_or_path"].as_str().unwrap();
    (Checkpoint::load(&dir.join(base)).unwrap(), reference(dir))
}

#[test]
fn peft_adapters_in_the_weights_compute_what_peft_computes() {
    for name in names("adapters") {
        let dir = folder("adapters").join(&name);
        let reference = base(&dir).1;
        let merged = Checkpoint::load(&dir).unwrap_or_else(|error| panic!("{name}: {error}"));
        check(&name, &merged, &reference);
    }
}

#[test]
fn peft_adapters_beside_the_weights_compute_what_peft_computes() {
    let mut beside = Vec::new();
    for name in names("adapters") {
        let dir = folder("adapters").join(&name);
        let (checkpoint, reference) = base(&dir);
        let adapter = Adapter::load(&dir).unwrap();
        let net = match PolicyValueNet::with_adapter(&checkpoint, &adapter) {
            Ok(net) => net,
            Err(error) => {
                assert!(error.to_string().contains("train on the merged net"), "{name}: {error}");
                continue;
            }
        };
        let plain = logits(&checkpoint, &reference.ids);
        assert!(largest_difference(&plain, &reference.logits) > 0.1, "{name}");
        let ids: Vec<i64> = reference.ids.iter().map(|&id| i64::from(id)).collect();
        let found: Vec<f32> = tch::no_grad(|| {
            let hidden = net.forward(&Tensor::from_slice(&ids).unsqueeze(0)).unwrap();
            Vec::try_from(&net.logits(&hidden).unwrap().view([-1])).unwrap()
        });
        let off = largest_difference(&found, &reference.logits);
        println!("{name} beside the weights: {off:.1e}");
        assert!(off < 1e-4, "{name}");
        beside.push(name);
    }
    assert_eq!(beside, ["converted", "lora", "patterns"]);
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
    let report = train(&base, &examples(), &config(), 7, &whole, &mut go_on).unwrap();
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
        train(&base, &examples(), &config(), 7, &out, &mut stop).unwrap_err();
        let partial = dir.path().join(format!("stopped-{stop_after}.partial"));
        Adapter::load(&partial).unwrap();
        assert!(!partial.join("model.safetensors").exists(), "the base is not saved again");
        let resumed = train(&base, &examples(), &config(), 7, &out, &mut go_on).unwrap();
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
