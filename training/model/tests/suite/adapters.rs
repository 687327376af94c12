//! Low-rank adapters: PEFT's files.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use espalier_fixtures::fixtures::{folder, names};
use espalier_model::checkpoint::Source;
use espalier_model::folder::{self, Content, Folder};
use espalier_model::{Adapter, ChatTemplate, Checkpoint, Dtype, Error, LoraConfig, Parameter};
use serde_json::{Value, json};

const QUERY: &str = "model.layers.0.self_attn.q_proj";

fn fixture(name: &str) -> PathBuf {
    folder("adapters").join(name)
}

fn config_of(dir: &Path) -> Value {
    serde_json::from_slice(&fs::read(dir.join("adapter_config.json")).unwrap()).unwrap()
}

type Tensors = BTreeMap<String, Parameter>;

/// A copy of a fixture, which names its base in full, after its configuration and its tensors were changed.
fn changed(
    name: &str,
    change: impl FnOnce(&mut Value, &mut Tensors),
) -> (tempfile::TempDir, PathBuf) {
    let source = fixture(name);
    let mut config = config_of(&source);
    let base = source.join(config["base_model_name_or_path"].as_str().unwrap());
    config["base_model_name_or_path"] = base.to_str().unwrap().into();
    let mut tensors = Folder::open(&source).unwrap().tensors("adapter_model.safetensors").unwrap();
    change(&mut config, &mut tensors);
    let tensors = tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
    let content = Content::Tensors { tensors, dtype: Dtype::Float32 };
    let files = BTreeMap::from([
        ("adapter_config.json".to_owned(), Content::Bytes(config.to_string().into_bytes())),
        ("adapter_model.safetensors".to_owned(), content),
    ]);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("adapter");
    folder::write(&path, &files).unwrap();
    (dir, path)
}

/// The message of loading a changed copy.
fn refusal(name: &str, change: impl FnOnce(&mut Value, &mut Tensors)) -> String {
    let (_dir, path) = changed(name, change);
    Checkpoint::load(&path).unwrap_err().to_string()
}

/// The message of loading the plain adapter with another field.
fn refusal_of(field: &str, value: &Value) -> String {
    let message = refusal("lora", |config, _| config[field] = value.clone());
    assert!(message.contains(field) && message.contains("adapter_config.json"), "{message}");
    message
}

#[test]
fn an_adapter_folder_leads_to_its_base_model() {
    let adapter = Adapter::load(&fixture("lora")).unwrap();
    assert_eq!(adapter.scale(QUERY), Some(2.0));
    assert_eq!(adapter.scale("model.layers.0.self_attn.k_proj"), None);
    let mut checkpoint = Checkpoint::load(&folder("models/llama")).unwrap();
    checkpoint.merge(&adapter).unwrap();
    let led = Checkpoint::load(&fixture("lora")).unwrap();
    assert_eq!(led.parameters, checkpoint.parameters);
}

#[test]
fn adapters_come_back_bit_for_bit_and_so_do_the_nets_with_them() {
    for name in names("adapters") {
        let dir = tempfile::tempdir().unwrap();
        let adapter = Adapter::load(&fixture(&name)).unwrap();
        adapter.save(&dir.path().join("adapter")).unwrap();
        assert_eq!(Adapter::load(&dir.path().join("adapter")).unwrap(), adapter, "{name}");

        let net = Checkpoint::load(&fixture(&name)).unwrap();
        net.save_exact(&dir.path().join("net"), BTreeMap::new()).unwrap();
        let again = Checkpoint::load(&dir.path().join("net")).unwrap();
        assert_eq!(again.parameters, net.parameters, "{name}");
        assert_eq!(again.config, net.config, "{name}");
        assert_eq!(again.companions, net.companions, "{name}");
        // A head of its own only where embedding and head were trained apart.
        let apart = ["dora", "embedding-tied", "head-tied", "tokens-apart-tied"].contains(&&*name)
            || name.starts_with("whole-head")
            || name.ends_with("whole-tied")
            || name == "whole-embedding-tied";
        let base =
            config_of(&fixture(&name))["base_model_name_or_path"].as_str().unwrap().to_owned();
        let tied = Checkpoint::load(&fixture(&name).join(base)).unwrap().config.tied();
        assert_eq!(net.config.tied(), tied && !apart, "{name}");
    }
}

#[test]
fn other_kinds_are_refused_before_their_fields_are_looked_at() {
    for kind in ["IA3", "LOHA", "PROMPT_TUNING", "TRAINABLE_TOKENS"] {
        let message = refusal("lora", |config, _| *config = json!({ "peft_type": kind }));
        assert!(message.contains(&format!("peft_type: {kind}")), "{message}");
    }
    let message = refusal("lora", |config, _| *config = json!({ "fine_tune_type": "lora" }));
    assert!(message.contains("peft_type: missing"), "{message}");
}

#[test]
fn what_is_not_supported_is_refused_by_name() {
    for (field, value) in [
        ("alora_invocation_tokens", json!([3, 4])),
        ("arrow_config", json!({"top_k": 2})),
        ("bias", json!("some")),
        ("init_lora_weights", json!(3)),
        ("init_lora_weights", json!("lora_of_tomorrow")),
        ("kasa_config", json!({"beta": 1e-4})),
        ("layer_replication", json!([[0, 2], [1, 2]])),
        ("megatron_config", json!({"a": 1})),
        ("modules_to_save", json!("lm_head")),
        ("lora_alpha", json!("6")),
        ("r", json!(0)),
        ("r", json!(-1)),
        ("rank_pattern", json!({"q_proj": 0})),
        ("rank_pattern", json!({"(q_proj": 4})),
        ("rank_pattern", json!({"q_proj": "4"})),
        ("alpha_pattern", json!({"(.*.*.*)*\\1x": 4})),
        ("target_parameters", json!(["experts.down_proj"])),
        ("trainable_token_indices", json!([-1])),
        ("trainable_token_indices", json!({"embed_tokens": 3})),
        ("use_qalora", json!(true)),
        ("use_bdlora", json!({"nblocks": 2})),
        ("velora_config", json!({"scale": 1.0})),
        ("what_a_later_version_adds", json!(1)),
    ] {
        refusal_of(field, &value);
    }
}

#[test]
fn pairs_that_are_no_deltas_and_cannot_be_made_so_are_refused() {
    for kind in ["pissa_niter_16", "corda", "loftq", "lora_ga", "PiSSA"] {
        let message = refusal_of("init_lora_weights", &json!(kind));
        let told = message.contains(kind) && message.contains("path_initial_model_for_weight");
        assert!(told, "{message}");
    }
    // These begin as no change.
    let plain = Checkpoint::load(&fixture("lora")).unwrap().parameters;
    for kind in ["eva", "gaussian", "orthogonal", "mica"] {
        let (_dir, path) = changed("lora", |config, _| config["init_lora_weights"] = kind.into());
        assert_eq!(Checkpoint::load(&path).unwrap().parameters, plain, "{kind}");
    }
    for (field, value) in [
        ("fan_in_fan_out", json!(true)),
        ("lora_dropout", json!(0.5)),
        ("layers_to_transform", json!([0])),
        ("loftq_config", json!({"loftq_bits": 4})),
        ("what_a_later_version_adds", json!(false)),
    ] {
        let (_dir, path) = changed("lora", |config, _| config[field] = value);
        assert_eq!(Checkpoint::load(&path).unwrap().parameters, plain, "{field}");
    }
    // Columns that are alike determine no direction.
    let dir = tempfile::tempdir().unwrap();
    let mut net = Checkpoint::load(&folder("models/llama")).unwrap();
    let mut tensors: Tensors =
        net.parameters.iter().map(|(name, tensor)| (name.to_owned(), tensor.clone())).collect();
    let query = tensors.get_mut(&format!("{QUERY}.weight")).unwrap();
    query.values.chunks_mut(16).for_each(|row| row[1] = row[0]);
    net.parameters = espalier_model::Parameters::from_tensors(&net.config, tensors).unwrap();
    net.save(&dir.path().join("base")).unwrap();
    let source = fixture("olora-dora");
    let alike = dir.path().join("base");
    let error = Checkpoint::open(Source { path: &source, base: Some(&alike) }).unwrap_err();
    assert!(error.to_string().contains(&format!("{QUERY}.weight")), "{error}");
}

#[test]
fn an_adapter_that_is_not_whole_is_refused() {
    let message = refusal("lora", |_, tensors| tensors.clear());
    assert!(message.contains("no tensors"), "{message}");
    let cases: [(&str, &str, &str); 7] = [
        ("lora", "q_proj.lora_B.weight", "missing"),
        ("dora", "up_proj.lora_magnitude_vector", "missing"),
        ("dora", "embed_tokens.lora_embedding_B", "missing"),
        ("biases", "q_proj.lora_B.bias", "missing"),
        ("whole", "lm_head.weight", "missing"),
        ("whole", "layers.1.input_layernorm.weight", "missing"),
        ("vocabulary", "lm_head.weight", "missing"),
    ];
    for (name, gone, told) in cases {
        let message = refusal(name, |_, tensors| {
            let before = tensors.len();
            tensors.retain(|name, _| !name.ends_with(gone));
            assert!(tensors.len() < before, "{gone}");
        });
        assert!(message.contains(gone) && message.contains(told), "{name}: {message}");
    }
    // What the configuration does not call for, and what the net has no place for.
    for (name, field, value, told) in [
        ("dora", "use_dora", json!(false), "lora_magnitude_vector"),
        ("biases", "lora_bias", json!(false), "lora_B.bias"),
        ("tokens-tied", "trainable_token_indices", json!(null), "trainable_tokens_delta"),
        ("tokens-tied", "trainable_token_indices", json!([2, 64, 3]), "no token 64"),
        ("tokens", "trainable_token_indices", json!([2, 5, 3]), "lm_head.token_adapter"),
        ("patterns", "rank_pattern", json!({}), "lora_"),
        ("lora", "r", json!(4), "lora_"),
    ] {
        let message = refusal(name, |config, _| config[field] = value);
        assert!(message.contains(told), "{name}, {field}: {message}");
    }
    for stranger in ["score.weight", "model.layers.9.self_attn.q_proj.weight", "lora_A"] {
        let message = refusal("lora", |_, tensors| {
            let (_, first) = tensors.first_key_value().unwrap();
            tensors.insert(format!("base_model.model.{stranger}"), first.clone());
        });
        assert!(message.contains(stranger), "{message}");
    }
}

#[test]
fn a_refused_adapter_changes_nothing() {
    let mut net = Checkpoint::load(&folder("models/llama")).unwrap();
    let before = net.parameters.clone();
    let (_dir, path) = changed("patterns", |config, _| config["rank_pattern"] = json!({}));
    match net.merge(&Adapter::load(&path).unwrap()) {
        Err(Error::Shape { name, .. }) => assert!(name.contains("lora_"), "{name}"),
        other => panic!("{other:?}"),
    }
    // The base of these has no biases.
    let error = net.merge(&Adapter::load(&fixture("biases")).unwrap()).unwrap_err().to_string();
    assert!(error.contains("bias"), "{error}");
    let (_dir, path) = changed("biases", |config, tensors| {
        config["bias"] = "none".into();
        tensors.retain(|name, _| name.contains("lora_"));
    });
    let error = net.merge(&Adapter::load(&path).unwrap()).unwrap_err().to_string();
    assert!(error.contains("down_proj has no bias in this model"), "{error}");
    assert_eq!(net.parameters, before);
}

#[test]
fn a_pickled_adapter_is_the_same_adapter() {
    let (_dir, path) = changed("lora", |_, _| {});
    let expected = Checkpoint::load(&path).unwrap();
    fs::remove_file(path.join("checksums.json")).unwrap();
    let model = path.join("adapter_model.safetensors");
    fs::rename(&model, path.join("adapter_model.bin")).unwrap();
    let message = Checkpoint::load(&path).unwrap_err().to_string();
    assert!(message.contains("adapter_model.bin"), "{message}");
    let pickled = espalier_fixtures::fixtures::folder("torch").join("lora.bin");
    fs::copy(pickled, path.join("adapter_model.bin")).unwrap();
    assert_eq!(Checkpoint::load(&path).unwrap().parameters, expected.parameters);
}

#[test]
fn a_base_is_named_by_hand_where_the_adapter_does_not_tell() {
    for (name, told) in [(json!("org/model-7B"), "org/model-7B"), (json!(null), "missing")] {
        let (_dir, path) =
            changed("lora", |config, _| config["base_model_name_or_path"] = name.clone());
        let message = Checkpoint::load(&path).unwrap_err().to_string();
        assert!(message.contains(told) && message.contains("--base"), "{message}");
        let base = folder("models/llama");
        let net = Checkpoint::open(Source { path: &path, base: Some(&base) }).unwrap();
        assert_eq!(net.parameters, Checkpoint::load(&fixture("lora")).unwrap().parameters);
    }
    // A net that is no adapter has no base.
    let llama = folder("models/llama");
    let message =
        Checkpoint::open(Source { path: &llama, base: Some(&llama) }).unwrap_err().to_string();
    assert!(message.contains("--base"), "{message}");
    // An adapter that leads to itself.
    let (_dir, path) = changed("lora", |config, _| config["base_model_name_or_path"] = ".".into());
    let message = Checkpoint::load(&path).unwrap_err().to_string();
    assert!(message.contains("too many adapters"), "{message}");
}

#[test]
fn a_base_may_be_a_gguf_file_or_an_adapter() {
    let dir = tempfile::tempdir().unwrap();
    let file = folder("gguf/llama/model.gguf");
    let mut expected = Checkpoint::load(&file).unwrap();
    let lora = LoraConfig { rank: 2, ..LoraConfig::default() };
    let adapter = Adapter::initialise(&expected.parameters, &lora, 1).unwrap();
    let ones = adapter.iter().map(|(name, tensor)| {
        (name.to_owned(), Parameter { values: vec![0.1; tensor.values.len()], ..tensor.clone() })
    });
    let adapter = adapter.with_tensors(ones.collect());
    let (one, two) = (dir.path().join("one"), dir.path().join("two"));
    adapter.save(&one).unwrap();
    adapter.save(&two).unwrap();
    fs::remove_file(two.join("checksums.json")).unwrap();
    let mut config = config_of(&two);
    config["base_model_name_or_path"] = "../one".into();
    fs::write(two.join("adapter_config.json"), config.to_string()).unwrap();

    expected.merge(&adapter).unwrap();
    let found = Checkpoint::open(Source { path: &one, base: Some(&file) }).unwrap();
    assert_eq!(found.parameters, expected.parameters);
    // The second one's base is the first, whose base nothing names.
    assert!(Checkpoint::load(&two).unwrap_err().to_string().contains("--base"));
    fs::remove_file(one.join("checksums.json")).unwrap();
    config["base_model_name_or_path"] = file.to_str().unwrap().into();
    fs::write(one.join("adapter_config.json"), config.to_string()).unwrap();
    expected.merge(&adapter).unwrap();
    assert_eq!(Checkpoint::load(&two).unwrap().parameters, expected.parameters);
    assert!(ChatTemplate::load(&two).unwrap().is_some(), "the file's own");
}

#[test]
fn the_adapters_tokenizer_and_template_win() {
    let net = Checkpoint::load(&fixture("vocabulary")).unwrap();
    assert_eq!(net.config.vocab_size, 70);
    assert_eq!(net.tokenizer.eos(), net.tokenizer.id("<|new1|>"));
    let message = espalier_model::Message { role: "user".into(), content: "3 + 4?".into() };
    let template = net.chat_template().unwrap().unwrap();
    assert_eq!(template.render(std::slice::from_ref(&message), false).unwrap(), "<|new0|>3 + 4?");

    // Without its own, the base's.
    let (_dir, path) = changed("lora", |_, _| {});
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path().join("base");
    let mut net = Checkpoint::load(&folder("models/llama")).unwrap();
    let settings = json!({"chat_template": "{{ messages[0].content }}!", "eos_token": "<|pad|>"});
    net.companions.insert("tokenizer_config.json".into(), settings.to_string().into_bytes());
    net.save(&base).unwrap();
    let source = Source { path: &path, base: Some(&base) };
    let led = Checkpoint::open(source).unwrap();
    assert_eq!(led.chat_template().unwrap().unwrap().render(&[message], false).unwrap(), "3 + 4?!");
    assert_eq!(led.tokenizer.eos(), led.tokenizer.id("<|pad|>"));
}
