//! llama.cpp's files.

use std::fs;

use espalier_model::{Checkpoint, Dtype};

use espalier_fixtures::fixtures::{folder, names, reference};

#[test]
fn every_family_is_read_and_is_a_checkpoint_like_any_other() {
    let dir = tempfile::tempdir().unwrap();
    for name in names("gguf") {
        let source = folder("gguf").join(&name);
        let reference = reference(&source);
        let checkpoint = Checkpoint::load(&source.join("model.gguf")).unwrap();
        let tokenizer = &checkpoint.tokenizer;
        assert_eq!(tokenizer.encode(&reference.text).unwrap(), reference.ids, "{name}");
        // SentencePiece's kind puts a blank before a text.
        let blank = if name.ends_with("sentencepiece") { " " } else { "" };
        assert_eq!(tokenizer.decode(&reference.ids), blank.to_owned() + &reference.text, "{name}");
        assert_eq!((checkpoint.tokenizer.eos(), checkpoint.tokenizer.pad()), (Some(0), Some(1)));
        let rows = reference.logits.len() / reference.ids.len();
        assert_eq!(checkpoint.config.vocab_size, rows);
        let padded = rows == 96;
        assert_eq!(checkpoint.tokenizer.vocab_size() < rows, padded, "{name}: padding is no token");
        // As a folder it is a checkpoint like any other.
        let saved = dir.path().join(&name);
        checkpoint.save(&saved).unwrap();
        let again = Checkpoint::load(&saved).unwrap();
        assert_eq!(again.config, checkpoint.config);
        assert_eq!(again.parameters, checkpoint.parameters);
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
fn tensors_do_not_share_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.gguf");
    let mut file = [&b"GGUF"[..], &3_u32.to_le_bytes()].concat();
    let (tensors, numbers) = (64_u64, 256_u64);
    file.extend([tensors, 0].map(u64::to_le_bytes).concat());
    for layer in 0..tensors {
        let name = format!("blk.{layer}.attn_norm.weight");
        file.extend((name.len() as u64).to_le_bytes());
        file.extend(name.as_bytes());
        file.extend(1_u32.to_le_bytes());
        file.extend(numbers.to_le_bytes());
        file.extend([0; 12]);
    }
    file.resize(file.len() + 32 + 4 * numbers as usize, 0);
    fs::write(&path, file).unwrap();
    let message = Checkpoint::load(&path).unwrap_err().to_string();
    assert!(message.contains("cut off: 65536 bytes of tensors in a file of"), "{message}");
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
