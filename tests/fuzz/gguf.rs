//! llama.cpp's files.

use espalier_model::{Checkpoint, Dtype};

use crate::harness::fuzz;
use crate::mutate::bytes;
use crate::mutate::gguf::Gguf;
use crate::scratch::{Scratch, fixture};

/// What a reader says that has not come to tensors and settings.
const OF_THE_FORM: [&str; 6] = [
    "not a GGUF file",
    "GGUF version",
    "bytes are wanted at byte",
    "is not UTF-8",
    "metadata of unknown type",
    "lists of lists",
];

#[test]
fn gguf() {
    let families = [
        "gemma2",
        "gemma3",
        "granite",
        "llama",
        "llama-sentencepiece",
        "llama3",
        "olmo2",
        "qwen2",
        "qwen2moe",
        "qwen3",
        "qwen3moe",
        "smollm3",
    ];
    let file = |family| fixture(&format!("training/tests/fixtures/gguf/{family}/model.gguf"));
    let seeds: Vec<Gguf> = families.map(|family| Gguf::read(&file(family))).into();
    let scratch = Scratch::new();
    fuzz(
        "gguf",
        |random| {
            let mut file = random.pick(&seeds).clone();
            file.change(random);
            let mut bytes = file.write();
            if random.once_in(24) {
                bytes::damage(&mut bytes, random);
            }
            bytes
        },
        |input| {
            let path = scratch.write("model.gguf", input);
            match Checkpoint::load_gguf(&path, Dtype::Float32) {
                Ok(checkpoint) => {
                    _ = checkpoint.tokenizer.encode("12 + 3 = é");
                    _ = checkpoint.chat_template();
                    true
                }
                Err(error) => {
                    let error = error.to_string();
                    !OF_THE_FORM.iter().any(|form| error.contains(form))
                }
            }
        },
    );
}
