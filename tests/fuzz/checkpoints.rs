//! Whole folders of nets: one of their files is changed, the others fit each other.

use std::collections::BTreeMap;
use std::fs;

use espalier::form::Form;
use espalier_model::{ChatTemplate, Checkpoint, Message};
use serde_json::json;

use crate::harness::fuzz;
use crate::mutate::bytes;
use crate::mutate::json::Json;
use crate::mutate::safetensors::Safetensors;
use crate::random::Random;
use crate::scratch::{Scratch, fixture};

const MODEL: &str = "training/tests/fixtures/models/llama-sharded-float16";
const TEMPLATE: &str = "{% for message in messages %}{{ message['role'] + ': ' + message.content | trim }}\n{% if loop.last and \
    add_generation_prompt %}{{ bos_token }}{% generation %}assistant{% endgeneration %}{% endif %}{% endfor %}{{ messages | tojson }}";
const PIECES: &[&str] = &[
    "{{",
    "}}",
    "{%",
    "%}",
    "{#",
    "#}",
    "-",
    "if",
    "else",
    "endif",
    "for i in range(9)",
    "endfor",
    "loop.index",
    "messages[0]",
    "messages[-1]",
    "[1:]",
    "|length",
    "|upper",
    "|tojson(indent=99)",
    "raise_exception('x')",
    "namespace(a=1)",
    "set x = 1",
    ".split('')",
    ".strip()",
    "macro m(a)",
    "endmacro",
    "m(1)",
    "~",
    "*",
    "**",
    "//",
    "%",
    "'a' * 9",
    "0",
    "is defined",
    "not in",
    "\"",
];

/// How the bytes of a file are changed.
enum Kind {
    Json(Json),
    Tensors(Safetensors),
    Text(Vec<u8>),
}

impl Kind {
    fn changed(&self, random: &mut Random) -> Vec<u8> {
        match self {
            Self::Json(seeds) => seeds.changed(random),
            Self::Tensors(seed) => seed.changed(random),
            Self::Text(seed) => {
                let mut text = seed.clone();
                for _ in 0..1 + random.below(4) {
                    let at = random.below(text.len() + 1);
                    let piece = format!(" {} ", random.pick(PIECES));
                    let end = (at + random.below(3)).min(text.len());
                    text.splice(at..end, piece.bytes());
                }
                if random.once_in(12) {
                    bytes::damage(&mut text, random);
                }
                text
            }
        }
    }
}

/// The files with which the reader is shown a folder, and how each is changed.
fn files() -> BTreeMap<&'static str, (Vec<u8>, Kind)> {
    let json = |value: serde_json::Value| serde_json::to_vec(&value).unwrap();
    let template = json!({
        "bos_token": {"content": "<s>"}, "eos_token": "<eos>", "pad_token": null,
        "chat_template": [{"name": "default", "template": TEMPLATE}],
        "added_tokens_decoder": {"60": {"content": "<x>", "lstrip": true, "special": false}, "0": {"content": "<|end|>", "special": true}},
    });
    let special = json!({"sep_token": {"content": "<x>", "rstrip": true}, "additional_special_tokens": ["<x>", "<|end|>"]});
    let form = json!({"schema": "espalier.form/1", "round": 1, "environment": {"kind": "countdown", "numbers": 3}});
    let mut files = BTreeMap::from([
        ("generation_config.json", json(json!({"eos_token_id": [1, 2], "max_length": 20}))),
        ("tokenizer_config.json", json(template)),
        ("chat_template.jinja", TEMPLATE.into()),
        ("espalier.json", json(form)),
        ("special_tokens_map.json", json(special)),
        ("added_tokens.json", json(json!({"<x>": 60}))),
    ]);
    for name in [
        "config.json",
        "tokenizer.json",
        "model.safetensors.index.json",
        "model-00001-of-00003.safetensors",
        "model-00002-of-00003.safetensors",
        "model-00003-of-00003.safetensors",
    ] {
        files.insert(name, fixture(&format!("{MODEL}/{name}")));
    }
    let kind = |name: &str, file: &[u8]| match name.rsplit_once('.') {
        Some((_, "json")) => Kind::Json(Json::new([file])),
        Some((_, "safetensors")) => Kind::Tensors(Safetensors::read(file)),
        _ => Kind::Text(file.to_vec()),
    };
    let with_kind = |(name, file): (&'static str, Vec<u8>)| {
        let kind = kind(name, &file);
        (name, (file, kind))
    };
    files.into_iter().map(with_kind).collect()
}

#[test]
fn checkpoints() {
    let files = files();
    let names: Vec<&str> = files.keys().copied().collect();
    let scratch = Scratch::new();
    for (name, (file, _)) in &files {
        scratch.write(name, file);
    }
    let folder = scratch.path("config.json").parent().unwrap().to_owned();
    Checkpoint::load(&folder).unwrap();
    Form::read(&folder).unwrap().unwrap();
    // What the templates say wins by turns.
    let template = "chat_template.jinja";
    // The file that the input before this one changed.
    let mut before = template;
    fuzz(
        "checkpoints",
        // The first byte tells which file the others are.
        |random| {
            let which = random.below(names.len());
            [vec![which as u8], files[names[which]].1.changed(random)].concat()
        },
        |input| {
            let Some((which, file)) = input.split_first() else { return false };
            let name = names[usize::from(*which) % names.len()];
            for changed in [before, template] {
                scratch.write(changed, &files[changed].0);
            }
            scratch.write(name, file);
            before = name;
            if name == "tokenizer_config.json" {
                fs::remove_file(scratch.path(template)).unwrap();
            }
            let loaded = Checkpoint::load(&folder);
            _ = Form::read(&folder);
            if let Ok(Some(chat)) = ChatTemplate::load(&folder) {
                let message =
                    |role: &str| Message { role: role.to_owned(), content: "é {{".to_owned() };
                _ = chat.render(&[message("system"), message("user")], true);
            }
            loaded.map_or_else(|error| !error.to_string().contains(" column "), |_| true)
        },
    );
}

/// Nets whose files hold matrices otherwise than they are computed: several as one, and experts.
const OTHERS: [&str; 2] = ["phi3-partial", "qwen2-moe"];

#[test]
fn fused_and_experts() {
    let names = ["config.json", "model.safetensors", "tokenizer.json"];
    let nets = OTHERS.map(|model| {
        let file = |name| fixture(&format!("training/tests/fixtures/models/{model}/{name}"));
        let [config, tensors, tokenizer] = names.map(file);
        let kinds = (Json::new([config.as_slice()]), Safetensors::read(&tensors));
        let scratch = Scratch::new();
        scratch.write(names[2], &tokenizer);
        (scratch, [config, tensors], kinds)
    });
    fuzz(
        "fused and experts",
        // The first byte tells which net, and which of its files the others are.
        |random| {
            let which = random.below(4);
            let (configs, tensors) = &nets[which / 2].2;
            let changed = match which % 2 {
                0 => configs.changed(random),
                _ => tensors.changed(random),
            };
            [vec![which as u8], changed].concat()
        },
        |input| {
            let Some((which, changed)) = input.split_first() else { return false };
            let (scratch, valid, _) = &nets[usize::from(*which) / 2 % 2];
            for (index, file) in valid.iter().enumerate() {
                let this = index == usize::from(*which) % 2;
                scratch.write(names[index], if this { changed } else { file });
            }
            let folder = scratch.path(names[0]).parent().unwrap().to_owned();
            let loaded = Checkpoint::load(&folder);
            loaded.map_or_else(|error| !error.to_string().contains(" column "), |_| true)
        },
    );
}
