//! Checkpoints of real families, as `transformers` writes and reads them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use espalier_model::{Checkpoint, Error};
use safetensors::SafeTensors;

use espalier_fixtures::fixtures::{folder, names, reference};

/// Every tensor of a folder's weight files, as bytes.
fn stored(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut tensors = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if name.starts_with("model") && name.ends_with(".safetensors") {
            let bytes = fs::read(&path).unwrap();
            for (name, view) in SafeTensors::deserialize(&bytes).unwrap().iter() {
                tensors.insert(name.to_owned(), view.data().to_vec());
            }
        }
    }
    tensors
}

fn config(dir: &Path) -> serde_json::Value {
    serde_json::from_slice(&fs::read(dir.join("config.json")).unwrap()).unwrap()
}

/// A fixture's copy that a test may change.
fn copy(name: &str, to: &Path) -> PathBuf {
    let target = to.join(name);
    fs::create_dir(&target).unwrap();
    for entry in fs::read_dir(folder("models").join(name)).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, target.join(path.file_name().unwrap())).unwrap();
    }
    target
}

#[test]
fn every_family_is_read_as_by_transformers_and_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let all = names("models");
    assert!(all.len() >= 15, "{all:?}");
    for name in all {
        let source = folder("models").join(&name);
        let reference = reference(&source);
        let checkpoint = Checkpoint::load(&source).unwrap();
        let tokenizer = &checkpoint.tokenizer;
        assert_eq!(tokenizer.encode(&reference.text).unwrap(), reference.ids, "{name}");
        assert_eq!(tokenizer.decode(&reference.ids), reference.text, "{name}");
        assert_eq!(checkpoint.tokenizer.eos(), Some(0));
        assert_eq!(checkpoint.tokenizer.pad(), Some(1));
        assert_eq!(checkpoint.eos_token_ids().unwrap(), [0]);

        let saved = dir.path().join(&name);
        checkpoint.save(&saved).unwrap();
        assert_eq!(stored(&saved), stored(&source), "{name}: the tensors keep their bits");
        assert_eq!(
            fs::read(saved.join("tokenizer.json")).unwrap(),
            fs::read(source.join("tokenizer.json")).unwrap()
        );
        let again = Checkpoint::load(&saved).unwrap();
        assert_eq!(again.config, checkpoint.config);
        assert_eq!(again.parameters, checkpoint.parameters);

        // Every field is kept; one token that ends a text is written as a list of one.
        let (mut expected, found) = (config(&source), config(&saved));
        expected["eos_token_id"] = serde_json::json!([0]);
        if name == "llama-tied-own-head" {
            expected["tie_word_embeddings"] = false.into();
        }
        let kept = expected.as_object().unwrap().iter();
        let lost: Vec<_> = kept.filter(|(key, value)| found[*key] != **value).collect();
        assert!(lost.is_empty(), "{name}: {lost:?}");
    }
}

#[test]
fn a_net_is_saved_in_shards_and_read_from_them() {
    let dir = tempfile::tempdir().unwrap();
    let checkpoint = Checkpoint::load(&folder("models/qwen3")).unwrap();
    let saved = dir.path().join("net");
    checkpoint.save_sharded(&saved, 4000).unwrap();
    let files = fs::read_dir(&saved).unwrap().map(|e| e.unwrap().file_name());
    let shards = files.filter(|name| name.to_str().unwrap().starts_with("model-0000")).count();
    assert!(shards > 2, "{shards}");
    assert!(!saved.join("model.safetensors").exists());
    let again = Checkpoint::load(&saved).unwrap();
    assert_eq!(again.parameters, checkpoint.parameters);
    // A whole net in the same place leaves no shard behind.
    checkpoint.save(&saved).unwrap();
    assert!(!saved.join("model.safetensors.index.json").exists());
    assert_eq!(Checkpoint::load(&saved).unwrap().parameters, checkpoint.parameters);
}

/// The message of loading a copy of a fixture after `change`.
fn refusal(name: &str, change: impl FnOnce(&Path)) -> String {
    let dir = tempfile::tempdir().unwrap();
    let path = copy(name, dir.path());
    change(&path);
    Checkpoint::load(&path).unwrap_err().to_string()
}

fn edit_json(path: &Path, edit: impl FnOnce(&mut serde_json::Value)) {
    let mut json = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    edit(&mut json);
    fs::write(path, json.to_string()).unwrap();
}

#[test]
fn broken_shards_are_named() {
    let sharded = "llama-sharded-float16";
    let index = "model.safetensors.index.json";
    let shard = "model-00002-of-00003.safetensors";
    let message = refusal(sharded, |dir| fs::remove_file(dir.join(shard)).unwrap());
    assert!(message.contains(shard), "{message}");

    let message = refusal(sharded, |dir| {
        edit_json(&dir.join(index), |json| {
            json["weight_map"]["model.layers.9.mlp.up_proj.weight"] = shard.into();
        });
    });
    assert!(message.contains(shard) && message.contains("model.layers.9.mlp.up_proj"), "{message}");

    let message = refusal(sharded, |dir| {
        edit_json(&dir.join(index), |json| {
            json["weight_map"]["model.norm.weight"] = "../elsewhere.safetensors".into();
        });
    });
    assert!(message.contains("elsewhere") && message.contains(index), "{message}");

    let message = refusal(sharded, |dir| {
        fs::copy(dir.join(shard), dir.join("again.safetensors")).unwrap();
        edit_json(&dir.join(index), |json| {
            json["weight_map"]["model.norm.weight"] = "again.safetensors".into();
        });
    });
    assert!(message.contains("tensor ") && message.contains("another file"), "{message}");

    let message = refusal(sharded, |dir| {
        let bytes = fs::read(dir.join(shard)).unwrap();
        fs::write(dir.join(shard), &bytes[..bytes.len() - 10]).unwrap();
    });
    assert!(message.contains(shard) && message.contains("cut off: tensor"), "{message}");
}

#[test]
fn files_cut_off_anywhere_are_refused() {
    let file = "model.safetensors";
    let whole = fs::read(folder("models/qwen2").join(file)).unwrap();
    for length in [0, 7, 8, 100, 2000, whole.len() - 1] {
        let message = refusal("qwen2", |dir| fs::write(dir.join(file), &whole[..length]).unwrap());
        assert!(message.contains(file) && message.contains("cut off"), "{length}: {message}");
    }
    let message = refusal("qwen2", |dir| {
        fs::write(dir.join(file), [whole.as_slice(), b"more"].concat()).unwrap();
    });
    assert!(message.contains(file), "{message}");
    let message = refusal("qwen2", |dir| fs::write(dir.join(file), [0xff; 64]).unwrap());
    assert!(message.contains("not a safetensors file"), "{message}");
}

#[test]
fn tensors_that_a_family_needs_are_missed_by_name() {
    for (name, tensor) in [
        ("qwen2", "model.layers.1.self_attn.k_proj.bias"),
        ("qwen3", "model.layers.0.self_attn.q_norm.weight"),
        ("llama-biases-tied", "model.layers.0.mlp.down_proj.bias"),
    ] {
        let checkpoint = Checkpoint::load(&folder("models").join(name)).unwrap();
        assert!(checkpoint.parameters.get(tensor).is_some());
        let tensors = checkpoint.parameters.iter().filter(|(other, _)| *other != tensor);
        let tensors = tensors.map(|(name, parameter)| (name.to_owned(), parameter.clone()));
        let parameters =
            espalier_model::Parameters::from_tensors(&checkpoint.config, tensors.collect());
        match parameters {
            Err(Error::MissingTensor { name, .. }) => assert_eq!(name, tensor),
            other => panic!("{other:?}"),
        }
    }
    // The same tensors are strangers where the family has none.
    let message = refusal("qwen2", |dir| {
        edit_json(&dir.join("config.json"), |json| {
            json["model_type"] = "llama".into();
            json["architectures"][0] = "LlamaForCausalLM".into();
        });
    });
    assert!(message.contains("proj.bias: not part of this model"), "{message}");
}

/// What a fixture's configuration becomes after `edit`, or the message.
fn edited(name: &str, edit: impl FnOnce(&mut serde_json::Value)) -> Result<Checkpoint, String> {
    let dir = tempfile::tempdir().unwrap();
    let path = copy(name, dir.path());
    edit_json(&path.join("config.json"), edit);
    Checkpoint::load(&path).map_err(|error| error.to_string())
}

#[test]
fn what_changes_no_number_is_accepted() {
    let plain = Checkpoint::load(&folder("models/llama-biases-tied")).unwrap();
    let changes: [(&str, serde_json::Value); 5] = [
        ("hidden_act", "swish".into()),
        ("sliding_window", 64.into()),
        ("use_sliding_window", false.into()),
        ("architectures", serde_json::json!([])),
        ("layer_types", serde_json::json!(["full_attention", "full_attention"])),
    ];
    for (field, value) in changes {
        let found = edited("llama-biases-tied", |json| json[field] = value).unwrap();
        assert_eq!(found.parameters, plain.parameters, "{field}");
        assert_eq!(found.config.architecture().unwrap(), plain.config.architecture().unwrap());
        assert_eq!(found.config.architectures, ["LlamaForCausalLM"], "{field}");
    }
    let silent = edited("llama-biases-tied", |json| {
        json.as_object_mut().unwrap().remove("architectures");
    });
    assert_eq!(silent.unwrap().config.architectures, ["LlamaForCausalLM"]);
    // Off by a flag, whatever its length, and in every layer as long as the context.
    let off = edited("llama-biases-tied", |json| {
        json["use_sliding_window"] = false.into();
        json["sliding_window"] = 8.into();
    });
    assert_eq!(off.unwrap().config.architecture().unwrap().windows, [None, None]);
    for (name, field) in [("mistral-window", "sliding_window"), ("gemma2", "sliding_window")] {
        let long = edited(name, |json| json[field] = 64.into()).unwrap();
        assert_eq!(long.config.architecture().unwrap().windows, [None, None], "{name}");
        let short = edited(name, |json| json[field] = 63.into()).unwrap();
        assert_ne!(short.config.architecture().unwrap().windows, [None, None], "{name}");
    }
}

#[test]
fn numbers_of_64_bits_are_rounded_to_32() {
    let dir = tempfile::tempdir().unwrap();
    let path = copy("llama", dir.path());
    let bytes = fs::read(path.join("model.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let widen = |name: String, view: &safetensors::tensor::TensorView<'_>| {
        let numbers = view.data().as_chunks().0.iter();
        let wide = numbers.map(|&number| f64::from(f32::from_le_bytes(number)) * (1.0 + 1e-12));
        let bytes: Vec<u8> = wide.flat_map(f64::to_le_bytes).collect();
        (name, view.shape().to_vec(), bytes)
    };
    let wide: Vec<_> = file.tensors().iter().map(|(n, view)| widen(n.clone(), view)).collect();
    let views = wide.iter().map(|(name, shape, bytes)| {
        let dtype = safetensors::Dtype::F64;
        let view = safetensors::tensor::TensorView::new(dtype, shape.clone(), bytes).unwrap();
        (name.as_str(), view)
    });
    safetensors::serialize_to_file(views, None, &path.join("model.safetensors")).unwrap();
    edit_json(&path.join("config.json"), |json| json["torch_dtype"] = "float64".into());
    let read = Checkpoint::load(&path).unwrap();
    let plain = Checkpoint::load(&folder("models/llama")).unwrap();
    assert_eq!(read.parameters, plain.parameters);
    // What is saved says what it is.
    let saved = dir.path().join("saved");
    read.save(&saved).unwrap();
    assert_eq!(config(&saved)["torch_dtype"], "float32");
    assert_eq!(stored(&saved), stored(&folder("models/llama")));
}

#[test]
fn matrices_that_files_hold_as_one_are_checked_by_their_own_names() {
    type Tensors = BTreeMap<String, (Vec<usize>, Vec<u8>)>;
    let tensor = |path: &Path, change: &dyn Fn(&mut Tensors)| {
        let file = path.join("model.safetensors");
        let bytes = fs::read(&file).unwrap();
        let read = SafeTensors::deserialize(&bytes).unwrap();
        let mut tensors: Tensors = read
            .iter()
            .map(|(name, view)| (name.to_owned(), (view.shape().to_vec(), view.data().to_vec())))
            .collect();
        change(&mut tensors);
        let views = tensors.iter().map(|(name, (shape, bytes))| {
            let dtype = safetensors::Dtype::BF16;
            (name, safetensors::tensor::TensorView::new(dtype, shape.clone(), bytes).unwrap())
        });
        safetensors::serialize_to_file(views, None, &file).unwrap();
    };
    let fused = "model.layers.1.self_attn.qkv_proj.weight";
    let message = refusal("phi3", |path| tensor(path, &|all| drop(all.remove(fused))));
    assert!(message.contains(fused) && message.contains("[32, 16]"), "{message}");
    let message = refusal("phi3", |path| {
        tensor(path, &|all| {
            let (shape, bytes) = all.get_mut(fused).unwrap();
            shape[0] -= 1;
            bytes.truncate(bytes.len() - 2 * shape[1]);
        });
    });
    assert!(message.contains(fused) && message.contains("found [31, 16]"), "{message}");
}

#[test]
fn longrope_ends_where_other_divisors_would_begin() {
    let checkpoint = Checkpoint::load(&folder("models/phi3-longrope-old")).unwrap();
    assert_eq!(
        (checkpoint.config.max_position_embeddings, checkpoint.config.max_length()),
        (64, 48)
    );
    for (field, value) in [
        ("short_factor", serde_json::json!([1.0, 2.0])),
        ("short_factor", serde_json::json!([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, -8.0])),
        ("long_factor", serde_json::Value::Null),
        ("attention_factor", serde_json::json!("large")),
    ] {
        let found = edited("phi3-longrope-old", |json| json["rope_scaling"][field] = value);
        let message = found.unwrap_err();
        assert!(message.contains("rope_scaling") && message.contains(field), "{message}");
    }
    let message = edited("phi3-longrope-old", |json| {
        json.as_object_mut().unwrap().remove("original_max_position_embeddings");
    });
    let message = message.unwrap_err();
    assert!(message.contains("original_max_position_embeddings is missing"), "{message}");
}

#[test]
fn settings_of_one_family_are_refused_by_name() {
    let list = |values: &[u64]| serde_json::json!(values);
    for (name, field, value) in [
        ("phi3", "attention_bias", true.into()),
        ("phi3-partial-old", "partial_rotary_factor", 1.5.into()),
        ("phi3-partial-old", "partial_rotary_factor", 0.1.into()),
        ("smollm3", "no_rope_layers", list(&[1])),
        ("smollm3", "no_rope_layers", list(&[1, 2])),
        ("gemma3", "rope_parameters", serde_json::json!({"rope_theta": 5.0})),
        ("gemma3-old", "rope_local_base_freq", "ten".into()),
        ("gemma3", "use_bidirectional_attention", true.into()),
        ("gemma3", "attn_logit_softcapping", 50.into()),
        ("gemma3", "layer_types", list(&[0, 0, 0])),
        ("granite", "logits_scaling", 0.into()),
        ("granite", "residual_multiplier", serde_json::Value::Null),
        ("olmo2", "sliding_window", 8.into()),
        ("qwen3-moe", "num_experts_per_tok", 6.into()),
        ("qwen3-moe", "num_local_experts", 0.into()),
        ("qwen3-moe", "num_local_experts", 40_000.into()),
        ("qwen3-moe", "moe_intermediate_size", serde_json::Value::Null),
        ("qwen3-moe", "mlp_only_layers", "all".into()),
        ("qwen2-moe", "decoder_sparse_step", 0.into()),
        ("qwen2-moe", "num_experts", serde_json::Value::Null),
        ("qwen2-moe", "shared_expert_intermediate_size", serde_json::Value::Null),
    ] {
        let message = edited(name, |json| json[field] = value).unwrap_err();
        let named = if field == "num_local_experts" { "experts" } else { field };
        assert!(message.contains(named), "{name} {field}: {message}");
    }
    // A model of texts and images, whose files hold the sizes deeper.
    let images = |json: &mut serde_json::Value| {
        let mut text = json.take();
        text["model_type"] = "gemma3_text".into();
        *json = serde_json::json!({"model_type": "gemma3", "text_config": text});
    };
    let message = edited("gemma3", images).unwrap_err();
    assert!(message.contains("\"gemma3\" is not supported"), "{message}");
}

#[test]
fn numbers_beyond_the_saved_type_are_refused_and_the_old_checkpoint_stays() {
    let dir = tempfile::tempdir().unwrap();
    let path = copy("llama-sharded-float16", dir.path());
    let mut checkpoint = Checkpoint::load(&path).unwrap();
    let mut tensors: BTreeMap<_, _> =
        checkpoint.parameters.iter().map(|(name, p)| (name.to_owned(), p.clone())).collect();
    tensors.get_mut("model.norm.weight").unwrap().values[3] = 70_000.0;
    checkpoint.parameters =
        espalier_model::Parameters::from_tensors(&checkpoint.config, tensors).unwrap();
    match checkpoint.save(&path) {
        Err(Error::OutOfRange { name, index: 3, dtype: "float16", .. }) => {
            assert_eq!(name, "model.norm.weight");
        }
        other => panic!("{other:?}"),
    }
    Checkpoint::load(&path).unwrap();
}

#[test]
fn further_tokens_that_end_a_text_are_read_and_kept() {
    let dir = tempfile::tempdir().unwrap();
    let path = copy("qwen2", dir.path());
    fs::write(path.join("generation_config.json"), r#"{"eos_token_id": [5, 0], "top_p": 0.8}"#)
        .unwrap();
    fs::write(path.join("tokenizer_config.json"), r#"{"eos_token": {"content": "<|pad|>"}}"#)
        .unwrap();
    let checkpoint = Checkpoint::load(&path).unwrap();
    assert_eq!(checkpoint.eos_token_ids().unwrap(), [0, 5]);
    assert_eq!(checkpoint.tokenizer.eos(), Some(1), "the tokenizer's own word wins");
    let saved = dir.path().join("saved");
    checkpoint.save(&saved).unwrap();
    assert_eq!(
        fs::read(saved.join("generation_config.json")).unwrap(),
        fs::read(path.join("generation_config.json")).unwrap()
    );
    assert_eq!(Checkpoint::load(&saved).unwrap().companions, checkpoint.companions);

    fs::write(path.join("generation_config.json"), r#"{"eos_token_id": "five"}"#).unwrap();
    let message = Checkpoint::load(&path).unwrap_err().to_string();
    assert!(message.contains("generation_config.json"), "{message}");
}

#[test]
fn a_head_of_its_own_counts_though_the_file_says_it_is_tied() {
    let source = folder("models/llama-tied-own-head");
    let checkpoint = Checkpoint::load(&source).unwrap();
    assert_eq!(checkpoint.config.tie_word_embeddings, Some(false));
    let values = |name: &str| checkpoint.parameters.get(name).unwrap().values.clone();
    assert_ne!(values("lm_head.weight"), values("model.embed_tokens.weight"));

    // The same head twice is a tied one, and a head alone is the embedding too.
    let dir = tempfile::tempdir().unwrap();
    let path = copy("llama-biases-tied", dir.path());
    let tied = Checkpoint::load(&path).unwrap();
    let bytes = fs::read(path.join("model.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let (embedding, head) = ("model.embed_tokens.weight", "lm_head.weight");
    for names in [&[embedding, head][..], &[head]] {
        let mut views: Vec<_> = file.iter().filter(|(name, _)| *name != embedding).collect();
        views.extend(names.iter().map(|name| (*name, file.tensor(embedding).unwrap())));
        let changed = safetensors::serialize(views, None).unwrap();
        fs::write(path.join("model.safetensors"), changed).unwrap();
        let again = Checkpoint::load(&path).unwrap();
        assert_eq!((&again.config, &again.parameters), (&tied.config, &tied.parameters));
        let saved = dir.path().join("saved");
        again.save(&saved).unwrap();
        assert_eq!(stored(&saved).keys().filter(|name| !name.contains("layers")).count(), 2);
    }
    // An untied net lacks what it lacks.
    let message = refusal("llama", |dir| {
        let bytes = fs::read(dir.join("model.safetensors")).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let views = file.iter().filter(|(name, _)| *name != embedding);
        fs::write(dir.join("model.safetensors"), safetensors::serialize(views, None).unwrap())
            .unwrap();
    });
    assert!(message.contains("tensor model.embed_tokens.weight: missing"), "{message}");
}

#[test]
fn tokens_beyond_the_embedding_are_read_and_no_text_may_need_them() {
    let dir = tempfile::tempdir().unwrap();
    let path = copy("qwen2", dir.path());
    let added = serde_json::json!({"<a>": 60, "<b>": 61, "<c>": 62, "<d>": 63, "<e>": 64});
    fs::write(path.join("added_tokens.json"), added.to_string()).unwrap();
    let config = serde_json::json!({"pad_token": "<e>"});
    fs::write(path.join("tokenizer_config.json"), config.to_string()).unwrap();
    let checkpoint = Checkpoint::load(&path).unwrap();
    let tokenizer = &checkpoint.tokenizer;
    assert_eq!(tokenizer.encode("<d>").unwrap(), [63]);
    assert_eq!(tokenizer.pad(), Some(1), "config.json's: a row that is not there pads nothing");
    let refused = [tokenizer.encode("1 <e>").err(), tokenizer.encode_with_spans("1 <e>").err()];
    for error in refused {
        let message = error.unwrap().to_string();
        assert!(
            message.contains("token \"<e>\" has id 64") && message.contains("64 rows"),
            "{message}"
        );
    }
    fs::write(path.join("tokenizer_config.json"), r#"{"eos_token": "<e>"}"#).unwrap();
    assert_eq!(Checkpoint::load(&path).unwrap().tokenizer.eos(), Some(0), "config.json's");
    // A text must be able to end.
    edit_json(&path.join("config.json"), |json| json["eos_token_id"] = serde_json::Value::Null);
    let message = Checkpoint::load(&path).unwrap_err().to_string();
    assert!(
        message.contains("tokenizer.json") && message.contains("\"<e>\" has id 64"),
        "{message}"
    );
}
