//! Nets in several GGUF files.

use std::fs;
use std::path::{Path, PathBuf};

use espalier_fixtures::fixtures::folder;
use espalier_model::Checkpoint;

use crate::gguf_metadata::{Value, with};

/// A header: tensors of a file whose data begins `start` bytes into it.
struct Header {
    /// Up to and with the metadata.
    before: Vec<u8>,
    /// Each with its offset in the data, from the file.
    tensors: Vec<(Vec<u8>, u64)>,
    data: Vec<u8>,
}

fn number(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(bytes[..8].try_into().unwrap())
}

/// Cuts a file where its list of tensors begins, which is where the first one's name is.
fn read(file: &[u8]) -> Header {
    let name = b"token_embd.weight";
    let mut at = file.windows(name.len()).position(|part| part == name).unwrap() - 8;
    let before = file[..at].to_vec();
    let mut tensors = Vec::new();
    for _ in 0..number(&file[8..]) {
        let begin = at;
        at += 8 + number(&file[at..]) as usize;
        let dimensions = u32::from_le_bytes(file[at..at + 4].try_into().unwrap());
        at += 4 + 8 * dimensions as usize + 4;
        tensors.push((file[begin..at].to_vec(), number(&file[at..])));
        at += 8;
    }
    Header { before, tensors, data: file[at.next_multiple_of(32)..].to_vec() }
}

/// Writes `NAME-0000?-of-00003.gguf`: the metadata alone, then half of the tensors each.
fn split(dir: &Path, change: impl Fn(u32, &mut Vec<(&'static str, Value)>)) -> Vec<PathBuf> {
    let whole = read(&fs::read(folder("gguf/qwen3/model.gguf")).unwrap());
    let half = whole.tensors.len() / 2;
    let parts = [&whole.tensors[..0], &whole.tensors[..half], &whole.tensors[half..]];
    let mut paths = Vec::new();
    for (index, tensors) in (0..).zip(parts) {
        let mut file = if index == 0 {
            whole.before.clone()
        } else {
            [&b"GGUF"[..], &3_u32.to_le_bytes(), &[0; 16]].concat()
        };
        file[8..16].copy_from_slice(&(tensors.len() as u64).to_le_bytes());
        for (info, start) in tensors {
            file.extend(info);
            file.extend(start.to_le_bytes());
        }
        file.resize(file.len().next_multiple_of(32), 0);
        if index > 0 {
            file.extend(&whole.data);
        }
        let total = whole.tensors.len() as u32;
        let mut pairs = vec![
            ("split.no", Value::Integer(index)),
            ("split.count", Value::Integer(3)),
            ("split.tensors.count", Value::Integer(total)),
        ];
        change(index, &mut pairs);
        let path = dir.join(format!("net-0000{}-of-00003.gguf", index + 1));
        fs::write(&path, with(&file, &pairs)).unwrap();
        paths.push(path);
    }
    paths
}

#[test]
fn any_part_names_the_net() {
    let dir = tempfile::tempdir().unwrap();
    let whole = Checkpoint::load(&folder("gguf/qwen3/model.gguf")).unwrap();
    for path in split(dir.path(), |_, _| ()) {
        let checkpoint = Checkpoint::load(&path).unwrap();
        assert_eq!(checkpoint.config, whole.config);
        assert_eq!(checkpoint.parameters, whole.parameters);
    }
}

#[test]
fn a_part_that_is_missing_or_another_nets_is_named() {
    let message = |paths: &[PathBuf]| Checkpoint::load(&paths[0]).unwrap_err().to_string();
    let dir = tempfile::tempdir().unwrap();
    let paths = split(dir.path(), |_, _| ());
    fs::remove_file(&paths[1]).unwrap();
    assert!(
        message(&paths)
            .ends_with("net-00002-of-00003.gguf: missing: part 2 of 3 of a net in several files")
    );
    fs::copy(&paths[2], &paths[1]).unwrap();
    let told = message(&paths);
    assert!(told.contains("net-00002") && told.contains("not part 2 of 3"), "{told}");

    let paths = split(dir.path(), |index, pairs| {
        if index == 0 {
            pairs[2].1 = Value::Integer(7);
        }
    });
    assert!(message(&paths).contains("split.tensors.count: 7, and the 3 parts have"));
    let paths = split(dir.path(), |_, pairs| pairs[0].1 = Value::Integer(3));
    assert!(message(&paths).contains("split.no: must be a whole number below split.count 3"));

    let paths = split(dir.path(), |_, _| ());
    let renamed = dir.path().join("net.gguf");
    fs::rename(&paths[0], &renamed).unwrap();
    let told = message(&[renamed]);
    assert!(told.contains("its name must end in -00001-of-00003.gguf"), "{told}");
}
