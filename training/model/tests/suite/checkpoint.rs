use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use espalier_model::{Checkpoint, Error, NetConfig, Parameters};

use espalier_fixtures::nets::{fresh, opinionated, tiny};

fn saved(dir: &Path) -> (PathBuf, Checkpoint) {
    let path = dir.join("net");
    let checkpoint = opinionated(&tiny(), 1);
    checkpoint.save(&path).unwrap();
    (path, checkpoint)
}

fn same(left: &Checkpoint, right: &Checkpoint) -> bool {
    left.config == right.config && left.parameters == right.parameters
}

#[test]
fn comes_back_bit_for_bit_with_hugging_face_names() {
    let dir = tempfile::tempdir().unwrap();
    let (path, checkpoint) = saved(dir.path());
    assert!(same(&Checkpoint::load(&path).unwrap(), &checkpoint));
    let mut names: Vec<_> = fs::read_dir(&path)
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(
        names,
        [
            "checksums.json",
            "config.json",
            "model.safetensors",
            "tokenizer.json",
            "value_head.safetensors"
        ]
    );
    let bytes = fs::read(path.join("model.safetensors")).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let tensor = file.tensor("model.layers.1.self_attn.k_proj.weight").unwrap();
    assert_eq!(tensor.shape(), [12, 24]);
    assert!(file.tensor("lm_head.weight").is_err(), "a tied head is not saved twice");
    let config: serde_json::Value =
        serde_json::from_slice(&fs::read(path.join("config.json")).unwrap()).unwrap();
    assert_eq!(config["architectures"][0], "LlamaForCausalLM");
    assert_eq!(config["num_key_value_heads"], 2);
    assert_eq!(config["eos_token_id"], serde_json::json!([1]));
}

#[test]
fn a_flipped_byte_is_found_in_every_file() {
    let dir = tempfile::tempdir().unwrap();
    let (path, _) = saved(dir.path());
    for name in ["model.safetensors", "value_head.safetensors", "config.json", "tokenizer.json"] {
        let file = path.join(name);
        let good = fs::read(&file).unwrap();
        let mut bad = good.clone();
        *bad.last_mut().unwrap() ^= 1;
        fs::write(&file, &bad).unwrap();
        match Checkpoint::load(&path) {
            Err(Error::Checksum { path, .. }) => assert_eq!(path, file),
            other => panic!("{name}: {other:?}"),
        }
        fs::write(&file, &good).unwrap();
    }
    Checkpoint::load(&path).unwrap();
}

#[test]
fn a_missing_file_is_named() {
    for name in ["model.safetensors", "config.json", "tokenizer.json"] {
        for with_checksums in [true, false] {
            let dir = tempfile::tempdir().unwrap();
            let (path, _) = saved(dir.path());
            fs::remove_file(path.join(name)).unwrap();
            if !with_checksums {
                fs::remove_file(path.join("checksums.json")).unwrap();
            }
            let message = Checkpoint::load(&path).unwrap_err().to_string();
            assert!(message.contains(name), "{message}");
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let message = Checkpoint::load(&dir.path().join("absent")).unwrap_err().to_string();
    assert!(message.contains("absent"), "{message}");
}

#[test]
fn a_foreign_model_without_value_head_gets_a_fresh_one() {
    let dir = tempfile::tempdir().unwrap();
    let (path, checkpoint) = saved(dir.path());
    fs::remove_file(path.join("value_head.safetensors")).unwrap();
    fs::remove_file(path.join("checksums.json")).unwrap();
    let loaded = Checkpoint::load(&path).unwrap();
    for (name, parameter) in loaded.parameters.iter() {
        if name.starts_with("value_head") {
            assert!(parameter.values.iter().all(|&value| value == 0.0));
        } else {
            let (_, original) =
                checkpoint.parameters.iter().find(|(other, _)| *other == name).unwrap();
            assert_eq!(parameter, original);
        }
    }
}

#[test]
fn tensors_that_do_not_fit_are_named() {
    let checkpoint = fresh(&tiny(), 1);
    let tensors = || -> BTreeMap<_, _> {
        checkpoint.parameters.iter().map(|(name, p)| (name.to_owned(), p.clone())).collect()
    };
    let name = "model.layers.0.mlp.up_proj.weight";
    let load = |tensors| Parameters::from_tensors(&checkpoint.config, tensors);

    let mut missing = tensors();
    missing.remove(name);
    match load(missing) {
        Err(Error::MissingTensor { name: found, expected }) => {
            assert_eq!((found.as_str(), expected), (name, vec![37, 24]));
        }
        other => panic!("{other:?}"),
    }

    let mut turned = tensors();
    turned.get_mut(name).unwrap().shape = vec![24, 37];
    let message = load(turned).unwrap_err().to_string();
    assert_eq!(message, format!("tensor {name}: expected shape [37, 24], found [24, 37]"));

    let mut broken = tensors();
    broken.get_mut(name).unwrap().values[5] = f32::NAN;
    assert!(matches!(load(broken), Err(Error::NotFinite { index: 5, .. })));

    let mut extra = tensors();
    let stray = extra["model.norm.weight"].clone();
    extra.insert("model.layers.2.mlp.up_proj.weight".to_owned(), stray);
    assert!(matches!(load(extra), Err(Error::UnexpectedTensor { .. })));

    let mut half_a_value_head = tensors();
    half_a_value_head.remove("value_head.bias");
    assert!(matches!(load(half_a_value_head), Err(Error::MissingTensor { .. })));
}

#[test]
fn sixteen_bit_weights_are_widened() {
    use safetensors::tensor::{Dtype, TensorView};
    let dir = tempfile::tempdir().unwrap();
    let (path, checkpoint) = saved(dir.path());
    fs::remove_file(path.join("checksums.json")).unwrap();
    for dtype in [Dtype::BF16, Dtype::F16] {
        let encode = |value: f32| match dtype {
            // Truncation; exact for what the test writes below.
            Dtype::BF16 => ((value.to_bits() >> 16) as u16).to_le_bytes(),
            // 1.5 * 2^-3 and 2^-24, the smallest subnormal.
            _ => if value > 0.1 { 0x3200u16 } else { 0x0001 }.to_le_bytes(),
        };
        let pick = |index: usize| {
            if index.is_multiple_of(2) { 0.1875 } else { 2f32.powi(-24) }
        };
        let tensors: Vec<_> = checkpoint
            .parameters
            .iter()
            .filter(|(name, _)| !name.starts_with("value_head"))
            .map(|(name, p)| {
                let bytes: Vec<u8> = (0..p.values.len()).flat_map(|i| encode(pick(i))).collect();
                (name.to_owned(), p.shape.clone(), bytes)
            })
            .collect();
        let views = tensors.iter().map(|(name, shape, bytes)| {
            (name, TensorView::new(dtype, shape.clone(), bytes).unwrap())
        });
        fs::write(path.join("model.safetensors"), safetensors::serialize(views, None).unwrap())
            .unwrap();
        let loaded = Checkpoint::load(&path).unwrap();
        let (_, norm) =
            loaded.parameters.iter().find(|(name, _)| *name == "model.norm.weight").unwrap();
        assert_eq!(norm.values[..4], [pick(0), pick(1), pick(0), pick(1)], "{dtype:?}");
    }
}

#[test]
fn other_architectures_and_settings_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (path, _) = saved(dir.path());
    fs::remove_file(path.join("checksums.json")).unwrap();
    let good: serde_json::Value =
        serde_json::from_slice(&fs::read(path.join("config.json")).unwrap()).unwrap();
    for (field, value) in [
        ("architectures", serde_json::json!(["GPT2LMHeadModel"])),
        ("model_type", serde_json::json!("gpt2")),
        ("hidden_size", serde_json::json!(26)),
        ("num_attention_heads", serde_json::json!(0)),
        ("num_key_value_heads", serde_json::json!(3)),
        ("rope_scaling", serde_json::json!({"rope_type": "llama3"})),
        ("rope_scaling", serde_json::json!({"rope_type": "longrope", "factor": 2.0})),
        ("rope_scaling", serde_json::json!({"type": "linear", "factor": -1.0})),
        ("rope_scaling", serde_json::json!("linear")),
        ("rope_parameters", serde_json::json!({"full_attention": {"rope_type": "default"}})),
        ("rope_theta", serde_json::json!(0.0)),
        ("partial_rotary_factor", serde_json::json!(0.5)),
        ("attention_bias", serde_json::json!("yes")),
        ("sliding_window", serde_json::json!(8)),
        ("use_sliding_window", serde_json::json!(true)),
        ("layer_types", serde_json::json!(["full_attention", "sliding_attention"])),
        ("head_dim", serde_json::json!(7)),
        ("head_dim", serde_json::json!(1 << 18)),
        ("torch_dtype", serde_json::json!("float8_e4m3fn")),
        ("num_hidden_layers", serde_json::json!(1_000_000_000)),
        ("num_hidden_layers", serde_json::json!(5000)),
        ("intermediate_size", serde_json::json!(1_000_000_000_000_u64)),
        ("hidden_act", serde_json::json!("gelu")),
        ("rms_norm_eps", serde_json::json!(-1.0)),
    ] {
        let mut config = good.clone();
        config[field] = value;
        fs::write(path.join("config.json"), config.to_string()).unwrap();
        let message = Checkpoint::load(&path).unwrap_err().to_string();
        assert!(message.contains(field), "{field}: {message}");
    }
    let nonsense = NetConfig { width: 130, ..NetConfig::default() };
    let tokenizer = espalier_model::Tokenizer::fresh(espalier_model::Tokens::Characters).unwrap();
    assert!(Checkpoint::initialise(&nonsense, tokenizer, 1).is_err());
}

#[test]
fn unknown_recipe_fields_are_refused() {
    let error = serde_json::from_str::<NetConfig>(r#"{"widht": 64}"#).unwrap_err().to_string();
    assert!(error.contains("widht") && error.contains("width"), "{error}");
}

#[test]
fn overwriting_replaces_and_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let (path, _) = saved(dir.path());
    let second = opinionated(&tiny(), 2);
    second.save(&path).unwrap();
    assert!(same(&Checkpoint::load(&path).unwrap(), &second));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn a_kill_between_the_two_renames_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (path, first) = saved(dir.path());
    // What is on disk between the renames: the old folder moved away, the new one not yet in place.
    fs::rename(&path, dir.path().join("net.previous")).unwrap();
    fs::create_dir(dir.path().join("net.writing")).unwrap();
    assert!(same(&Checkpoint::load(&path).unwrap(), &first));
    let second = opinionated(&tiny(), 2);
    second.save(&path).unwrap();
    assert!(same(&Checkpoint::load(&path).unwrap(), &second));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn a_folder_that_is_no_checkpoint_is_not_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("thesis");
    fs::create_dir(&path).unwrap();
    fs::write(path.join("chapter1.txt"), "years of work").unwrap();
    let result = fresh(&tiny(), 1).save(&path);
    assert!(matches!(result, Err(Error::NotACheckpoint { .. })), "{result:?}");
    assert!(path.join("chapter1.txt").exists());
}

#[test]
fn initialisation_is_a_function_of_the_seed() {
    assert_eq!(fresh(&tiny(), 1).parameters, fresh(&tiny(), 1).parameters);
    assert_ne!(fresh(&tiny(), 1).parameters, fresh(&tiny(), 2).parameters);
    let net = fresh(&NetConfig::default(), 1);
    let std = |wanted: &str| {
        let (_, p) = net.parameters.iter().find(|(name, _)| *name == wanted).unwrap();
        let squares: f64 = p.values.iter().map(|&value| f64::from(value).powi(2)).sum();
        (squares / p.values.len() as f64).sqrt()
    };
    let plain = 1.0 / 128f64.sqrt();
    assert!((std("model.layers.0.mlp.up_proj.weight") / plain - 1.0).abs() < 0.02);
    let residual = plain / 8f64.sqrt();
    assert!((std("model.layers.0.mlp.down_proj.weight") / residual - 1.0).abs() < 0.02);
}
