//! Small files of a Hugging Face folder that travel with a net: how it ends a text and how it wants to be asked.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use crate::chat::ChatTemplate;
use crate::config::{ModelConfig, one_or_many};
use crate::error::{Error, Result};
use crate::folder::Folder;
use crate::tokenizer::Tokenizer;
use crate::tokenizer::beside::{self, NAMED};

/// How the net was trained to be asked, as whoever trained it says.
pub const FORM: &str = "espalier.json";
pub(super) const GENERATION: &str = "generation_config.json";
pub(super) const TOKENIZER: &str = beside::CONFIG;
const TEMPLATE: &str = "chat_template.jinja";
const OLD_TEMPLATE: &str = "chat_template.json";
/// Every file that is carried along unchanged.
const NAMES: [&str; 7] = [
    GENERATION,
    TOKENIZER,
    beside::SPECIAL_TOKENS,
    beside::ADDED_TOKENS,
    TEMPLATE,
    OLD_TEMPLATE,
    FORM,
];

/// The companions that a folder has.
///
/// # Errors
/// When one cannot be read.
pub(super) fn read(folder: &Folder) -> Result<BTreeMap<String, Vec<u8>>> {
    let mut companions = BTreeMap::new();
    for name in NAMES {
        if let Some(bytes) = folder.read_optional(name)? {
            companions.insert(name.to_owned(), bytes);
        }
    }
    Ok(companions)
}

#[derive(Debug, Default, Deserialize)]
struct Generation {
    #[serde(default, deserialize_with = "one_or_many")]
    eos_token_id: Vec<u32>,
}

/// Ids that end a text by `generation_config.json`.
///
/// # Errors
/// When the file is no JSON of this form.
pub(super) fn generation_eos(companions: &BTreeMap<String, Vec<u8>>) -> Result<Vec<u32>> {
    Ok(json::<Generation>(companions, GENERATION)?.unwrap_or_default().eos_token_id)
}

/// A companion's content.
pub(super) fn json<T: serde::de::DeserializeOwned>(
    companions: &BTreeMap<String, Vec<u8>>,
    name: &str,
) -> Result<Option<T>> {
    let parse = |bytes: &Vec<u8>| {
        serde_json::from_slice(bytes).map_err(|error| Error::format(Path::new(name), error))
    };
    companions.get(name).map(parse).transpose()
}

/// The text of a special token in `tokenizer_config.json`, which writes a string or an object with `content`.
pub(super) fn token_text<'a>(tokenizer_config: &'a Value, name: &str) -> Option<&'a str> {
    let token = tokenizer_config.get(name)?;
    token.as_str().or_else(|| token.get("content")?.as_str())
}

/// The text of the token that begins a text.
///
/// # Errors
/// When `tokenizer_config.json` is no JSON.
pub(super) fn bos_token(companions: &BTreeMap<String, Vec<u8>>) -> Result<Option<String>> {
    let settings: Value = json(companions, TOKENIZER)?.unwrap_or_default();
    Ok(token_text(&settings, "bos_token").map(str::to_owned))
}

/// Tells a tokenizer which of its tokens end and pad a text: by `tokenizer_config.json`, else by `config.json`.
///
/// # Errors
/// When `tokenizer_config.json` is no JSON.
pub(super) fn name_special_tokens(
    tokenizer: &mut Tokenizer,
    config: &ModelConfig,
    companions: &BTreeMap<String, Vec<u8>>,
) -> Result<()> {
    let settings: Value = json(companions, TOKENIZER)?.unwrap_or_default();
    let named = |name: &str| token_text(&settings, name).and_then(|text| tokenizer.id(text));
    // One that the net has no row for says less than `config.json`.
    let known = |name: &str| named(name).filter(|id| (*id as usize) < config.vocab_size);
    let eos = known("eos_token").or_else(|| config.eos_token_id.first().copied());
    let eos = eos.or_else(|| named("eos_token"));
    let pad = known("pad_token").or_else(|| config.pad_token_id());
    tokenizer.name_special_tokens(eos, pad);
    Ok(())
}

/// Lays an adapter's companions over its base's. Where the adapter has a tokenizer, all that belongs to the base's goes; the
/// chat template is the adapter's where it has one.
///
/// # Errors
/// When a file that may hold a template is not what it should be.
pub(super) fn adapt(
    base: &mut BTreeMap<String, Vec<u8>>,
    mut own: BTreeMap<String, Vec<u8>>,
    own_tokenizer: bool,
) -> Result<()> {
    let template = match template_source(&own)? {
        Some(source) => Some(source),
        None => template_source(base)?,
    };
    for name in NAMES {
        let of_tokenizer = beside::FILES.contains(&name);
        let of_template = [TEMPLATE, OLD_TEMPLATE].contains(&name);
        if of_template || (of_tokenizer && own_tokenizer) {
            base.remove(name);
        }
        if !of_template
            && (!of_tokenizer || own_tokenizer)
            && let Some(bytes) = own.remove(name)
        {
            base.insert(name.to_owned(), bytes);
        }
    }
    base.extend(template.map(|source| (TEMPLATE.to_owned(), source.into_bytes())));
    Ok(())
}

/// The chat template of a net.
///
/// # Errors
/// When a file is not what it should be, or the template is not valid.
pub(super) fn chat_template(
    companions: &BTreeMap<String, Vec<u8>>,
) -> Result<Option<ChatTemplate>> {
    let settings: Value = json(companions, TOKENIZER)?.unwrap_or_default();
    let tokens = NAMED
        .iter()
        .filter_map(|&name| Some((name.to_owned(), token_text(&settings, name)?.to_owned())));
    template_source(companions)?.map(|source| ChatTemplate::new(&source, tokens)).transpose()
}

/// The text of the chat template: `chat_template.jinja`, else what `tokenizer_config.json` holds, else
/// `chat_template.json`.
///
/// # Errors
/// When a file is not what it should be.
fn template_source(companions: &BTreeMap<String, Vec<u8>>) -> Result<Option<String>> {
    let settings: Value = json(companions, TOKENIZER)?.unwrap_or_default();
    Ok(if let Some(bytes) = companions.get(TEMPLATE) {
        let text = String::from_utf8(bytes.clone());
        Some(text.map_err(|error| Error::format(Path::new(TEMPLATE), error))?)
    } else if let Some(template) = settings.get("chat_template").filter(|value| !value.is_null()) {
        Some(default_template(template)?)
    } else {
        let old: Value = json(companions, OLD_TEMPLATE)?.unwrap_or_default();
        old.get("chat_template").and_then(Value::as_str).map(str::to_owned)
    })
}

/// A template alone, or the one named `default` in a list of `{name, template}`.
fn default_template(value: &Value) -> Result<String> {
    let named = |entries: &Vec<Value>| {
        let default = entries.iter().find(|entry| entry["name"] == "default")?;
        default["template"].as_str().map(str::to_owned)
    };
    let found = value.as_str().map(str::to_owned).or_else(|| value.as_array().and_then(named));
    found.ok_or_else(|| {
        let message = "chat_template: neither a text nor a list with a template named default";
        Error::format(Path::new(TOKENIZER), message)
    })
}
