//! `tokenizer.json` and `tokenizer_config.json` from a GGUF file's metadata.

use serde_json::{Map, Value, json};

use super::file::{self, GgufFile};
use super::pre_tokenizers::PreTokenizer;
use super::sentencepiece::{self, Parts};
use crate::error::Result;
use crate::tokenizer::Tokenizer;

/// llama.cpp's kinds of tokens.
const UNKNOWN: u64 = 2;
const CONTROL: u64 = 3;
const USER_DEFINED: u64 = 4;
const UNUSED: u64 = 5;

/// How a file's byte-level BPE cuts texts; as llama.cpp, by default where the file is silent.
fn pre_tokenizer(file: &GgufFile) -> Result<&'static PreTokenizer> {
    let key = "tokenizer.ggml.pre";
    let name = file.optional_text(key)?.unwrap_or("default");
    PreTokenizer::of(name).map_or_else(
        || {
            let known = PreTokenizer::names();
            file.fail(format!(
                "{key}: {name:?} is not supported, only {known} and their synonyms are"
            ))
        },
        Ok,
    )
}

/// The tokens with their kinds, in the order of their ids.
fn tokens(file: &GgufFile) -> Result<Vec<(&str, u64)>> {
    let tokens = file.list("tokenizer.ggml.tokens")?;
    let kinds = file.list("tokenizer.ggml.token_type")?;
    if tokens.len() != kinds.len() {
        let (tokens, kinds) = (tokens.len(), kinds.len());
        return file
            .fail(format!("tokenizer.ggml.token_type: {kinds} entries for {tokens} tokens"));
    }
    let pairs = tokens.iter().zip(kinds).enumerate();
    pairs
        .map(|(id, pair)| match pair {
            (file::Value::Text(token), file::Value::Signed(kind)) => {
                Ok((token.as_str(), kind.unsigned_abs()))
            }
            (file::Value::Text(token), file::Value::Unsigned(kind)) => Ok((token.as_str(), *kind)),
            _ => file.fail(format!("tokenizer.ggml.tokens: token {id} is not a text of a kind")),
        })
        .collect()
}

/// A special token's text.
fn special<'a>(
    file: &GgufFile,
    tokens: &[(&'a str, u64)],
    key: &str,
) -> Result<Option<(&'a str, u64)>> {
    let Some(id) = file.optional_integer(key)? else {
        return Ok(None);
    };
    match tokens.get(id as usize) {
        Some((token, _)) => Ok(Some((token, id))),
        None => file.fail(format!("{key}: there is no token {id}")),
    }
}

/// The tokenizer: byte-level BPE, or SentencePiece's kind.
///
/// # Errors
/// When the file's tokenizer is of another kind, or its lists do not fit each other.
pub(super) fn tokenizer(file: &GgufFile) -> Result<Tokenizer> {
    let model = file.text("tokenizer.ggml.model")?;
    let tokens = tokens(file)?;
    let mut vocabulary = Map::new();
    let mut added = Vec::new();
    for (id, &(token, kind)) in tokens.iter().enumerate() {
        if kind == UNUSED {
            continue;
        }
        vocabulary.insert(token.to_owned(), id.into());
        if [UNKNOWN, CONTROL, USER_DEFINED].contains(&kind) {
            added.push(json!({
                "id": id, "content": token, "single_word": false, "lstrip": false,
                "rstrip": false, "normalized": false, "special": kind != USER_DEFINED,
            }));
        }
    }
    let (parts, pre_tokenizer, add_bos) = match model {
        "gpt2" => {
            let pre_tokenizer = pre_tokenizer(file)?;
            let merges = merges(file, &vocabulary)?;
            let parts = Parts {
                normalizer: pre_tokenizer.normalizer(),
                decoder: json!({"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true}),
                model: json!({
                    "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
                    "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false,
                    "ignore_merges": pre_tokenizer.ignore_merges, "vocab": vocabulary, "merges": merges,
                }),
            };
            (parts, pre_tokenizer.json(), pre_tokenizer.add_bos)
        }
        "llama" => {
            let unknown = special(file, &tokens, "tokenizer.ggml.unknown_token_id")?;
            let unknown = unknown.map(|(token, _)| token);
            (sentencepiece::parts(file, &tokens, &vocabulary, unknown)?, Value::Null, true)
        }
        _ => {
            return file.fail(format!(
                "tokenizer.ggml.model: {model:?} is not supported, only gpt2 (BPE) and llama (SentencePiece) are"
            ));
        }
    };
    let Parts { normalizer, decoder, model } = parts;
    let json = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added,
        "normalizer": normalizer, "pre_tokenizer": pre_tokenizer,
        "post_processor": post_processor(file, &tokens, add_bos)?,
        "decoder": decoder, "model": model,
    });
    let bytes = match serde_json::to_vec(&json) {
        Ok(bytes) => bytes,
        Err(error) => return file.fail(error),
    };
    Tokenizer::from_bytes(&bytes).or_else(|error| file.fail(error))
}

/// The merges of byte-level BPE, in their order.
fn merges(file: &GgufFile, vocabulary: &Map<String, Value>) -> Result<Vec<Value>> {
    let mut merges = Vec::new();
    for (index, merge) in file.list("tokenizer.ggml.merges")?.iter().enumerate() {
        let pair = match merge {
            file::Value::Text(merge) => merge.split_once(' '),
            _ => None,
        };
        let Some((left, right)) = pair else {
            return file.fail(format!("tokenizer.ggml.merges: entry {index} is not a pair"));
        };
        let merged = format!("{left}{right}");
        if let Some(part) = [left, right, &merged].iter().find(|p| !vocabulary.contains_key(**p)) {
            return file.fail(format!(
                "tokenizer.ggml.merges: entry {index} needs token {part:?}, missing"
            ));
        }
        merges.push(json!([left, right]));
    }
    Ok(merges)
}

/// Puts the tokens that begin and end a text around it, where the file says so.
fn post_processor(file: &GgufFile, tokens: &[(&str, u64)], add_bos: bool) -> Result<Value> {
    let add_bos_key = "tokenizer.ggml.add_bos_token";
    let add_bos =
        if file.metadata.contains_key(add_bos_key) { file.flag(add_bos_key) } else { add_bos };
    let mut template = vec![json!({"Sequence": {"id": "A", "type_id": 0}})];
    let mut special_tokens = Map::new();
    let mut ends = Vec::new();
    if add_bos && let Some(bos) = special(file, tokens, "tokenizer.ggml.bos_token_id")? {
        ends.push((0, bos));
    }
    if file.flag("tokenizer.ggml.add_eos_token")
        && let Some(eos) = special(file, tokens, "tokenizer.ggml.eos_token_id")?
    {
        ends.push((ends.len() + 1, eos));
    }
    if ends.is_empty() {
        return Ok(Value::Null);
    }
    for (at, (token, id)) in ends {
        template.insert(at, json!({"SpecialToken": {"id": token, "type_id": 0}}));
        let entry = json!({"id": token, "ids": [id], "tokens": [token]});
        special_tokens.insert(token.to_owned(), entry);
    }
    Ok(json!({
        "type": "TemplateProcessing", "single": template,
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": special_tokens,
    }))
}

/// `tokenizer_config.json`: special tokens and chat template.
///
/// # Errors
/// When an id is not in the vocabulary.
pub(super) fn settings(file: &GgufFile, max_length: usize) -> Result<Vec<u8>> {
    let tokens = tokens(file)?;
    let mut settings = Map::new();
    settings.insert("tokenizer_class".to_owned(), "PreTrainedTokenizerFast".into());
    settings.insert("model_max_length".to_owned(), max_length.into());
    settings.insert("clean_up_tokenization_spaces".to_owned(), false.into());
    for (name, key) in [
        ("bos_token", "tokenizer.ggml.bos_token_id"),
        ("eos_token", "tokenizer.ggml.eos_token_id"),
        ("unk_token", "tokenizer.ggml.unknown_token_id"),
        ("pad_token", "tokenizer.ggml.padding_token_id"),
    ] {
        if let Some((token, _)) = special(file, &tokens, key)? {
            settings.insert(name.to_owned(), token.into());
        }
    }
    if let Some(template) = file.optional_text("tokenizer.chat_template")? {
        settings.insert("chat_template".to_owned(), template.into());
    }
    serde_json::to_vec_pretty(&settings).or_else(|error| file.fail(error))
}
