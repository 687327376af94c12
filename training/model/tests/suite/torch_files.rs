//! PyTorch's files, against what PyTorch wrote (`fixtures/make.py`), and other forms of older folders.

use std::fs;
use std::path::Path;

use espalier_fixtures::fixtures::folder;
use espalier_model::Checkpoint;
use espalier_model::folder::Folder;

/// The error of reading a fixture after a change of its bytes.
fn refusal(name: &str, change: impl FnOnce(&mut Vec<u8>)) -> String {
    let dir = tempfile::tempdir().unwrap();
    let mut bytes = fs::read(folder("torch").join(name)).unwrap();
    change(&mut bytes);
    fs::write(dir.path().join("net.bin"), bytes).unwrap();
    Folder::open(dir.path()).unwrap().tensors("net.bin").unwrap_err().to_string()
}

#[test]
fn tensors_are_those_that_were_saved() {
    let files = Folder::open(&folder("torch")).unwrap();
    let found = files.tensors("tensors.bin").unwrap();
    assert_eq!(found, files.tensors("tensors.safetensors").unwrap());
    assert_eq!(found.len(), 12);
}

#[test]
fn what_is_not_read_is_named() {
    for (name, words) in [("old.bin", "before version 1.6"), ("integers.bin", "torch.LongStorage")]
    {
        let message = refusal(name, |_| ());
        assert!(message.contains("net.bin") && message.contains(words), "{message}");
    }
    for (length, words) in [(0, "not a PyTorch file"), (200, "not a PyTorch file")] {
        let message = refusal("tensors.bin", |bytes| bytes.truncate(length));
        assert!(message.contains(words), "{message}");
    }
    // A flipped bit of a tensor's.
    let plain = Folder::open(&folder("torch")).unwrap().tensors("tensors.bin").unwrap();
    let number = plain["plain"].values[7].to_le_bytes();
    let message = refusal("tensors.bin", |bytes| {
        let at = bytes.windows(4).position(|four| four == number).unwrap();
        bytes[at] ^= 1;
    });
    assert!(message.contains("net.bin") && message.contains("checksum"), "{message}");
}

fn copy(files: &[(&str, &str)], to: &Path) {
    for (from, name) in files {
        fs::copy(folder(from), to.join(name)).unwrap();
    }
}

const FILES: [(&str, &str); 2] = [
    ("models/qwen2/config.json", "config.json"),
    ("models/qwen2/tokenizer.json", "tokenizer.json"),
];

#[test]
fn a_folder_may_have_pytorch_files() {
    let expected = Checkpoint::load(&folder("models/qwen2")).unwrap();
    let dir = tempfile::tempdir().unwrap();
    copy(&FILES, dir.path());
    let message = Checkpoint::load(dir.path()).unwrap_err().to_string();
    assert!(message.contains("model.safetensors: missing, as are"), "{message}");

    copy(&[("torch/qwen2.bin", "pytorch_model.bin")], dir.path());
    assert_eq!(Checkpoint::load(dir.path()).unwrap().parameters, expected.parameters);

    let part = "pytorch_model-00001-of-00001.bin";
    fs::rename(dir.path().join("pytorch_model.bin"), dir.path().join(part)).unwrap();
    let index = serde_json::json!({"weight_map": {"model.norm.weight": part}});
    fs::write(dir.path().join("pytorch_model.bin.index.json"), index.to_string()).unwrap();
    assert_eq!(Checkpoint::load(dir.path()).unwrap().parameters, expected.parameters);
}

#[test]
fn a_tokenizer_in_an_older_form_alone_is_told_how_to_convert() {
    for older in ["tokenizer.model", "vocab.json"] {
        let dir = tempfile::tempdir().unwrap();
        copy(&[FILES[0], ("torch/qwen2.bin", "pytorch_model.bin")], dir.path());
        fs::write(dir.path().join(older), "x").unwrap();
        let message = Checkpoint::load(dir.path()).unwrap_err().to_string();
        let told = format!("tokenizer.json: missing, and {older} alone is not read");
        assert!(message.contains(&told) && message.contains("save_pretrained"), "{message}");
    }
}

#[test]
fn doubles_are_narrowed() {
    use safetensors::tensor::{Dtype, TensorView};
    let dir = tempfile::tempdir().unwrap();
    let numbers = [0.1_f64, -1.0 / 3.0, 1e-60];
    let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
    let view = TensorView::new(Dtype::F64, vec![3], &bytes).unwrap();
    fs::write(
        dir.path().join("a.safetensors"),
        safetensors::serialize([("a", view)], None).unwrap(),
    )
    .unwrap();
    let tensors = Folder::open(dir.path()).unwrap().tensors("a.safetensors").unwrap();
    assert_eq!(tensors["a"].values, numbers.map(|number| number as f32));
}
