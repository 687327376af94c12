//! Tokenizers that are a table: one token a character, or one a number and one for every other character.

use std::collections::HashMap;
use std::ops::Range;

use crate::error::{Error, Result};

/// What the `tokenizers` library cuts text by, so that it looks a number up whole: digits by threes from the left, as Llama 3's, and
/// everything else by characters.
pub(super) const NUMBERS: &str = "[0-9]{1,3}|[^0-9]";
/// Digits of the longest number that is one token.
const DIGITS: usize = 3;

/// Both directions of a vocabulary of characters and numbers, for encoding without the library.
#[derive(Clone)]
pub(super) struct Table {
    ids: HashMap<char, u32>,
    /// [`Self::ids`] for the first 128 code points, where nearly all text is.
    ascii: [Option<u32>; 128],
    /// Numbers of two digits and more; none where every token is a character.
    numbers: HashMap<Box<str>, u32>,
    /// Empty for special tokens, which have no text.
    texts: Vec<Box<str>>,
}

impl Table {
    /// The table of a tokenizer that does nothing else, `None` for every other kind.
    pub fn of(inner: &tokenizers::Tokenizer) -> Option<Self> {
        use tokenizers::PreTokenizerWrapper::Split;
        // Nearly all other kinds are told by this, without writing a large vocabulary down.
        if inner.get_pre_tokenizer().is_some_and(|cut| !matches!(cut, Split(_))) {
            return None;
        }
        let json: serde_json::Value = serde_json::from_str(&inner.to_string(false).ok()?).ok()?;
        let plain = ["normalizer", "post_processor"]
            .iter()
            .all(|part| json.get(part).is_none_or(serde_json::Value::is_null));
        let model = &json["model"];
        let no_merges = model["merges"].as_array().is_some_and(Vec::is_empty);
        if !plain || model["type"] != "BPE" || !no_merges || json["decoder"]["type"] != "Fuse" {
            return None;
        }
        let numbers = match &json["pre_tokenizer"] {
            serde_json::Value::Null => false,
            cut => {
                let by_numbers = cut["pattern"]["Regex"] == NUMBERS
                    && cut["behavior"] == "Isolated"
                    && cut["invert"] == false
                    && model["ignore_merges"] == true;
                if !by_numbers {
                    return None;
                }
                true
            }
        };
        let mut table = Self {
            ids: HashMap::new(),
            ascii: [None; 128],
            numbers: HashMap::new(),
            texts: vec![Box::default(); inner.get_vocab_size(true)],
        };
        for (token, id) in inner.get_vocab(false) {
            let special = inner.get_added_tokens_decoder().get(&id).is_some_and(|t| t.special);
            if special {
                continue;
            }
            let mut characters = token.chars();
            let (character, more) = (characters.next()?, characters.next().is_some());
            if more {
                let whole =
                    token.len() <= DIGITS && token.bytes().all(|byte| byte.is_ascii_digit());
                if !numbers || !whole {
                    return None;
                }
                table.numbers.insert(token.as_str().into(), id);
            } else {
                if let Some(slot) = table.ascii.get_mut(character as usize) {
                    *slot = Some(id);
                }
                table.ids.insert(character, id);
            }
            *table.texts.get_mut(id as usize)? = token.into();
        }
        Some(table)
    }

    /// Gives each token of a text and the bytes that it stands for to `take`, in order.
    ///
    /// # Errors
    /// [`Error::UnknownCharacter`] when a character has no token.
    pub fn encode(&self, text: &str, mut take: impl FnMut(u32, Range<usize>)) -> Result<()> {
        let mut start = 0;
        while start < text.len() {
            let digits =
                if self.numbers.is_empty() { 0 } else { digits(&text.as_bytes()[start..]) };
            let chunk = digits.max(1);
            if let Some(&id) = text.get(start..start + digits).and_then(|n| self.numbers.get(n)) {
                take(id, start..start + digits);
                start += digits;
                continue;
            }
            // A number without a token of its own, as 007, is its digits.
            for character in text[start..].chars().take(chunk) {
                let end = start + character.len_utf8();
                let id = self.id(character).ok_or_else(|| Error::UnknownCharacter {
                    character,
                    position: text[..start].chars().count(),
                })?;
                take(id, start..end);
                start = end;
            }
        }
        Ok(())
    }

    pub fn decode(&self, ids: &[u32]) -> String {
        ids.iter().filter_map(|&id| self.texts.get(id as usize)).map(AsRef::as_ref).collect()
    }

    fn id(&self, character: char) -> Option<u32> {
        match self.ascii.get(character as usize) {
            Some(slot) => *slot,
            None => self.ids.get(&character).copied(),
        }
    }
}

/// How many of the first bytes are the digits of one token.
fn digits(bytes: &[u8]) -> usize {
    bytes.iter().take(DIGITS).take_while(|byte| byte.is_ascii_digit()).count()
}
