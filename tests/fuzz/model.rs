//! The files of a Hugging Face folder, each by itself.

use std::fs;

use espalier_model::folder::Folder;
use espalier_model::{Adapter, Checkpoint, ModelConfig, Parameters, Tokenizer};

use crate::harness::fuzz;
use crate::mutate::bytes;
use crate::mutate::json::Json;
use crate::mutate::safetensors::Safetensors;
use crate::mutate::torch::Torch;
use crate::scratch::{Scratch, fixture, folder};

const MODELS: &str = "training/tests/fixtures/models";
const ADAPTERS: &str = "training/tests/fixtures/adapters";
const ADAPTER_FILES: [&str; 2] = ["adapter_config.json", "adapter_model.safetensors"];

/// A file of every model.
fn of_models(name: &str) -> Vec<Vec<u8>> {
    folder(MODELS).iter().filter_map(|model| fs::read(model.join(name)).ok()).collect()
}

#[test]
fn config_json() {
    let texts = of_models("config.json");
    let seeds = Json::new(texts.iter().map(Vec::as_slice));
    fuzz(
        "config.json",
        |random| seeds.changed(random),
        |input| {
            let Ok(config) = serde_json::from_slice::<ModelConfig>(input) else { return false };
            if config.validate().is_ok() {
                let architecture = config.architecture().unwrap();
                _ = Parameters::count_of(&config);
                architecture.ropes.iter().for_each(|rope| _ = rope.tables(4));
            }
            true
        },
    );
}

/// Tokenizers of kinds that no fixture is of.
const OTHER_KINDS: [&str; 3] = [
    r####"{"version": "1.0", "added_tokens": [{"id": 0, "content": "[UNK]", "single_word": false, "lstrip": true, "rstrip": false,
        "normalized": false, "special": true}], "normalizer": {"type": "BertNormalizer", "clean_text": true,
        "handle_chinese_chars": true, "strip_accents": null, "lowercase": true}, "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 1], "cls": ["[CLS]", 2]}, "decoder": {"type": "WordPiece",
        "prefix": "##", "cleanup": true}, "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
        "max_input_chars_per_word": 100, "vocab": {"[UNK]": 0, "[SEP]": 1, "[CLS]": 2, "1": 3, "##2": 4, "x": 5, "the": 6}}}"####,
    r####"{"version": "1.0", "truncation": {"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0},
        "padding": {"strategy": {"Fixed": 8}, "direction": "Right", "pad_to_multiple_of": 8, "pad_id": 0, "pad_type_id": 0,
        "pad_token": "<pad>"}, "added_tokens": [], "normalizer": {"type": "Sequence", "normalizers": [{"type": "Precompiled",
        "precompiled_charsmap": "AAAAAA=="}, {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "}, {"type": "Strip",
        "strip_left": true, "strip_right": true}]}, "pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always",
        "split": true}, "post_processor": {"type": "TemplateProcessing", "single": [{"Sequence": {"id": "A", "type_id": 0}},
        {"SpecialToken": {"id": "</s>", "type_id": 0}}], "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B",
        "type_id": 1}}], "special_tokens": {"</s>": {"id": "</s>", "ids": [1], "tokens": ["</s>"]}}}, "decoder": {"type": "Metaspace",
        "replacement": "▁", "prepend_scheme": "always", "split": true}, "model": {"type": "Unigram", "unk_id": 0, "byte_fallback": false,
        "vocab": [["<unk>", 0.0], ["</s>", 0.0], ["▁", -2.0], ["1", -3.5], ["2", -3.5], ["▁the", -4.0]]}}"####,
    r####"{"version": "1.0", "added_tokens": [], "normalizer": {"type": "NFKC"}, "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
        {"type": "Split", "pattern": {"Regex": "\\p{N}{1,3}|(?!x)\\s+"}, "behavior": "MergedWithPrevious", "invert": false},
        {"type": "Punctuation", "behavior": "Isolated"}, {"type": "Digits", "individual_digits": true}, {"type": "UnicodeScripts"},
        {"type": "CharDelimiterSplit", "delimiter": "*"}, {"type": "WhitespaceSplit"}]}, "post_processor": {"type": "ByteLevel",
        "add_prefix_space": true, "trim_offsets": true, "use_regex": true}, "decoder": {"type": "Sequence", "decoders": [{"type": "CTC",
        "pad_token": "<pad>", "word_delimiter_token": "|", "cleanup": true}, {"type": "BPEDecoder", "suffix": "</w>"}, {"type": "Strip",
        "content": " ", "start": 1, "stop": 1}]}, "model": {"type": "WordLevel", "vocab": {"<unk>": 0, "12": 1, "x": 2, "the": 3},
        "unk_token": "<unk>"}}"####,
];

/// The tokenizer of a GGUF fixture.
fn of_gguf(family: &str) -> Vec<u8> {
    let model = folder("training/tests/fixtures/gguf/".to_owned() + family).pop().unwrap();
    let model = Checkpoint::load(&model.with_file_name("model.gguf")).unwrap();
    let scratch = Scratch::new();
    let path = scratch.path("tokenizer.json");
    model.tokenizer.save(path.parent().unwrap()).unwrap();
    fs::read(path).unwrap()
}

#[test]
fn tokenizer_json() {
    let mut texts = of_models("tokenizer.json");
    texts.dedup();
    texts.extend(["llama", "llama-sentencepiece", "qwen2"].map(of_gguf));
    texts.extend(OTHER_KINDS.map(|text| text.as_bytes().to_vec()));
    texts.iter().for_each(|text| drop(Tokenizer::from_bytes(text).unwrap()));
    let seeds = Json::new(texts.iter().map(Vec::as_slice)).gently();
    fuzz(
        "tokenizer.json",
        |random| seeds.changed(random),
        |input| {
            let Ok(tokenizer) = Tokenizer::from_bytes(input) else { return false };
            for text in ["12 + 3*x = é\n", "", " the  end<eos>😀"] {
                if let Ok(tokens) = tokenizer.encode_with_spans(text) {
                    let ids: Vec<u32> = tokens.into_iter().map(|(id, _)| id).collect();
                    _ = tokenizer.decode(&ids);
                }
                _ = tokenizer.encode(text);
            }
            _ = tokenizer.decode(&[0, 1, 2, u32::MAX]);
            true
        },
    );
}

#[test]
fn safetensors() {
    let files = ["llama", "llama-sharded-float16", "qwen3-biases"];
    let file = |model: &str| {
        let name = if model.contains("sharded") { "model-00001-of-00003" } else { "model" };
        Safetensors::read(&fixture(&format!("{MODELS}/{model}/{name}.safetensors")))
    };
    let seeds = files.map(file);
    let scratch = Scratch::new();
    fuzz(
        "safetensors",
        |random| random.pick(&seeds).changed(random),
        |input| {
            let path = scratch.write("model.safetensors", input);
            let read = Folder::open(path.parent().unwrap()).unwrap().tensors("model.safetensors");
            // An error of serde_json's tells line and column.
            read.map_or_else(
                |error| {
                    let error = error.to_string();
                    !["line 1 column", "a header of", "the header has"]
                        .iter()
                        .any(|form| error.contains(form))
                },
                |tensors| tensors.values().all(|tensor| tensor.values.len() < usize::MAX),
            )
        },
    );
}

/// An adapter of every kind, with the net that it is for.
struct Adapters {
    files: Vec<[Vec<u8>; 2]>,
    tensors: Vec<Safetensors>,
    bases: Vec<Checkpoint>,
}

impl Adapters {
    fn read() -> Self {
        let mut found = Self { files: Vec::new(), tensors: Vec::new(), bases: Vec::new() };
        for adapter in folder(ADAPTERS) {
            let files = ADAPTER_FILES.map(|name| fs::read(adapter.join(name)).unwrap());
            let config: serde_json::Value = serde_json::from_slice(&files[0]).unwrap();
            let base = adapter.join(config["base_model_name_or_path"].as_str().unwrap());
            found.tensors.push(Safetensors::read(&files[1]));
            found.bases.push(Checkpoint::load(&base).unwrap());
            found.files.push(files);
        }
        found
    }
}

#[test]
fn torch_files() {
    let file = |name: &str| fixture(&format!("training/tests/fixtures/torch/{name}.bin"));
    let seeds = ["tensors", "qwen2"].map(|name| Torch::read(&file(name)));
    let scratch = Scratch::new();
    let read = |input: &[u8]| {
        let path = scratch.write("net.bin", input);
        Folder::open(path.parent().unwrap()).unwrap().tensors("net.bin")
    };
    seeds.iter().for_each(|seed| drop(read(&seed.write()).unwrap()));
    fuzz(
        "torch files",
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
            read(input).map_or_else(|error| !error.to_string().contains("not a PyTorch"), |_| true)
        },
    );
}

#[test]
fn adapters() {
    let adapters = Adapters::read();
    let configs = Json::new(adapters.files.iter().map(|files| &*files[0]));
    let count = adapters.files.len();
    let scratch = Scratch::new();
    fuzz(
        "adapters",
        // The first byte tells which of the two files the others are, the second whose the other file is.
        |random| {
            let which = random.below(2);
            let of = random.below(count);
            let changed = match which {
                0 => configs.changed(random),
                _ => adapters.tensors[of].changed(random),
            };
            [vec![which as u8, of as u8], changed].concat()
        },
        |input| {
            let which = usize::from(input.first() != Some(&0));
            let of = usize::from(input.get(1).copied().unwrap_or_default()) % count;
            let changed = input.get(2..).unwrap_or_default();
            let content =
                |file: usize| if which == file { changed } else { &adapters.files[of][file] };
            scratch.write(ADAPTER_FILES[0], content(0));
            let path = scratch.write(ADAPTER_FILES[1], content(1));
            match Adapter::load(path.parent().unwrap()) {
                Ok(adapter) => {
                    let base = &adapters.bases[of];
                    let (mut config, mut parameters) =
                        (base.config.clone(), base.parameters.clone());
                    if adapter.merge_into(&mut config, &mut parameters).is_ok() {
                        let tensors = parameters.iter();
                        let tensors = tensors
                            .map(|(name, tensor)| (name.to_owned(), tensor.clone()))
                            .collect();
                        // What took an adapter in is still a whole net.
                        Parameters::from_tensors(&config, tensors).unwrap();
                    }
                    _ = adapter.check_trainable();
                    true
                }
                Err(error) => !error.to_string().contains(" column "),
            }
        },
    );
}
