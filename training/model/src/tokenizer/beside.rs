//! Tokens that only the files beside `tokenizer.json` name, as `transformers`' `TokenizersBackend` adds them. (It leaves
//! `add_bos_token` and `add_eos_token` unread where there is a `tokenizer.json`.)

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use serde_json::{Map, Value, json};

use crate::error::{Error, Result};

pub(crate) const CONFIG: &str = "tokenizer_config.json";
pub(crate) const SPECIAL_TOKENS: &str = "special_tokens_map.json";
pub(crate) const ADDED_TOKENS: &str = "added_tokens.json";
/// The files, in no order.
pub(crate) const FILES: [&str; 3] = [CONFIG, SPECIAL_TOKENS, ADDED_TOKENS];

/// Forms that `transformers` turns into `tokenizer.json`.
const OLDER: [&str; 4] = ["tokenizer.model", "spiece.model", "tekken.json", "vocab.json"];

/// Checks that a folder's tokenizer is not in an older form alone.
///
/// # Errors
/// Says how to convert it.
pub(crate) fn check_there(dir: &Path) -> Result<()> {
    let path = dir.join(super::FILE);
    let older = OLDER.iter().find(|name| !path.is_file() && dir.join(name).is_file());
    older.map_or(Ok(()), |older| {
        let dir = dir.display();
        let message = format!(
            "missing, and {older} alone is not read; make it with transformers: python3 -c \"from transformers import \
             AutoTokenizer; AutoTokenizer.from_pretrained('{dir}').save_pretrained('{dir}')\""
        );
        Err(Error::format(&path, message))
    })
}

/// Tokens that have a name of their own.
pub(crate) const NAMED: [&str; 7] =
    ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];
/// Lists of further special tokens, by their newer and their older name.
const EXTRA: [&str; 2] = ["extra_special_tokens", "additional_special_tokens"];
const FLAGS: [&str; 5] = ["single_word", "lstrip", "rstrip", "normalized", "special"];

/// A token as `added_tokens` of `tokenizer.json` has it, without its id.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Token {
    content: String,
    /// In the order of [`FLAGS`].
    flags: [bool; 5],
}

impl Token {
    /// One that nothing is said of.
    fn plain(content: &str, special: bool) -> Self {
        Self { content: content.to_owned(), flags: [false, false, false, !special, special] }
    }

    fn special(&self) -> bool {
        self.flags[4]
    }

    /// A text, or an object with `content` and flags.
    fn read(value: &Value, special: bool) -> Option<Self> {
        if let Some(content) = value.as_str() {
            return Some(Self::plain(content, special));
        }
        let content = value.get("content")?.as_str()?;
        let special = value.get("special").and_then(Value::as_bool).unwrap_or(special);
        let mut token = Self::plain(content, special);
        for (flag, name) in token.flags.iter_mut().zip(FLAGS) {
            *flag = value.get(name).and_then(Value::as_bool).unwrap_or(*flag);
        }
        Some(token)
    }

    fn json(&self, id: u64) -> Value {
        let mut json = json!({"id": id, "content": self.content});
        for (flag, name) in self.flags.iter().zip(FLAGS) {
            json[name] = (*flag).into();
        }
        json
    }
}

/// The tokens of a `tokenizer.json` that is being completed.
struct Vocabulary<'a> {
    /// The model's, where it has them by content.
    model: Option<&'a Map<String, Value>>,
    /// The model's where it has a list, and the added ones.
    ids: HashMap<String, u64>,
    added: BTreeMap<u64, Token>,
    next: u64,
    changed: bool,
}

impl<'a> Vocabulary<'a> {
    fn of(json: &'a Value) -> Self {
        let model = &json["model"]["vocab"];
        let listed = model.as_array().into_iter().flatten().zip(0..);
        let mut ids: HashMap<String, u64> = listed
            .filter_map(|(entry, id)| Some((entry.get(0)?.as_str()?.to_owned(), id)))
            .collect();
        let model = model.as_object();
        let size = model.map_or(ids.len(), Map::len) as u64;
        let entries = json["added_tokens"].as_array().into_iter().flatten();
        let added: BTreeMap<u64, Token> = entries
            .filter_map(|entry| Some((entry["id"].as_u64()?, Token::read(entry, false)?)))
            .collect();
        ids.extend(added.iter().map(|(id, token)| (token.content.clone(), *id)));
        let next = added.last_key_value().map_or(0, |(id, _)| id.saturating_add(1)).max(size);
        Self { model, ids, added, next, changed: false }
    }

    /// The id that a token has or would get.
    fn id(&self, content: &str) -> u64 {
        let of_model = || self.model?.get(content)?.as_u64();
        self.ids.get(content).copied().or_else(of_model).unwrap_or(self.next)
    }

    fn is_added(&self, content: &str) -> bool {
        self.added.get(&self.id(content)).is_some_and(|token| token.content == content)
    }

    /// As the `tokenizers` library adds tokens: one that is special already stays as it is, others become as is said here.
    fn add(&mut self, token: Token) {
        let id = self.id(&token.content);
        let known = self.added.get(&id);
        if token.content.is_empty() || known.is_some_and(|known| known.special() || *known == token)
        {
            return;
        }
        self.next = self.next.max(id.saturating_add(1));
        self.ids.insert(token.content.clone(), id);
        self.added.insert(id, token);
        self.changed = true;
    }
}

/// `tokenizer_config.json` with what older files say beside it.
struct Settings {
    config: Value,
    /// By `added_tokens_decoder`, else by `added_tokens.json`: ids and tokens in the order of the ids.
    tokens: Vec<(u64, Token)>,
    /// The file and field of them.
    place: &'static str,
}

impl Settings {
    fn of(files: &BTreeMap<String, Vec<u8>>) -> Result<Self, String> {
        let read = |name: &str| match files.get(name) {
            Some(bytes) => serde_json::from_slice::<Value>(bytes)
                .map_err(|error| format!("{name} beside it: {error}")),
            None => Ok(Value::Null),
        };
        let mut config = read(CONFIG)?;
        let decoder = config.get("added_tokens_decoder").cloned();
        if let Some(decoder) = decoder.filter(|decoder| !decoder.is_null()) {
            let place = "added_tokens_decoder in tokenizer_config.json";
            let wrong = |id: &str| format!("{place} beside it: {id:?} is not a token with an id");
            let entries = decoder.as_object().ok_or_else(|| wrong("the whole"))?;
            let entry = |(id, token): (&String, &Value)| {
                Some((id.parse().ok()?, Token::read(token, false)?))
            };
            let tokens = entries.iter().map(|pair| entry(pair).ok_or_else(|| wrong(pair.0)));
            return Ok(Self { config, tokens: in_order(tokens.collect::<Result<_, _>>()?), place });
        }
        // Without it the older files count too.
        if let (Value::Object(older), Value::Object(fields)) = (read(SPECIAL_TOKENS)?, &mut config)
        {
            fields.extend(older);
        }
        let place = ADDED_TOKENS;
        let wrong = |token: &str| format!("{place} beside it: {token:?} has no id");
        let added = read(ADDED_TOKENS)?;
        let named = specials(&config);
        let entry = |(content, id): (&String, &Value)| {
            let special = named.iter().any(|token| token.content == *content);
            let id = id.as_u64().ok_or_else(|| wrong(content))?;
            Ok((id, Token::plain(content, special)))
        };
        let tokens = added.as_object().into_iter().flatten().map(entry);
        Ok(Self { tokens: in_order(tokens.collect::<Result<_, String>>()?), config, place })
    }
}

fn in_order(mut tokens: Vec<(u64, Token)>) -> Vec<(u64, Token)> {
    tokens.sort_by_key(|(id, _)| *id);
    tokens
}

/// The special tokens that a `tokenizer_config.json` names: those with names of their own, others that a model has, and the lists.
fn specials(config: &Value) -> Vec<Token> {
    let fields = || config.as_object().into_iter().flatten();
    let own = NAMED.iter().filter_map(|name| config.get(*name));
    let others = fields()
        .filter(|(name, _)| name.ends_with("_token") && !NAMED.contains(&name.as_str()))
        .map(|(_, token)| token);
    let lists = EXTRA.iter().map(|name| match config.get(*name) {
        Some(Value::Array(tokens)) => tokens.iter().collect(),
        Some(Value::Object(tokens)) => tokens.values().collect(),
        _ => Vec::new(),
    });
    let listed = lists.into_iter().find(|list| !list.is_empty()).unwrap_or_default();
    own.chain(others).chain(listed).filter_map(|token| Token::read(token, true)).collect()
}

/// A `tokenizer.json` with what the files beside it add; `None` where they add nothing.
///
/// # Errors
/// Says what is wrong in which file.
pub(super) fn complete(
    json: &Value,
    files: &BTreeMap<String, Vec<u8>>,
) -> Result<Option<Value>, String> {
    let settings = Settings::of(files)?;
    let mut vocabulary = Vocabulary::of(json);
    for (id, token) in &settings.tokens {
        let (content, found) = (&token.content, vocabulary.id(&token.content));
        if found != *id {
            let place = settings.place;
            return Err(format!(
                "{place} beside it: token {content:?} has id {id} there, {found} here"
            ));
        }
        vocabulary.add(token.clone());
    }
    for token in specials(&settings.config) {
        if !vocabulary.is_added(&token.content) {
            vocabulary.add(token);
        }
    }
    if !vocabulary.changed {
        return Ok(None);
    }
    let added = vocabulary.added.iter().map(|(id, token)| token.json(*id)).collect();
    let mut json = json.clone();
    json["added_tokens"] = Value::Array(added);
    Ok(Some(json))
}
