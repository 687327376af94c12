//! Tokenizers that are a table: one token a character, or one a number and one for every other character.

use std::collections::HashMap;
use std::ops::Range;

use tokenizers::PreTokenizerWrapper;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::tokenizer::SplitDelimiterBehavior;

use crate::error::{Error, Result};

/// Digits of the longest number that is one token.
const DIGITS: usize = 3;

/// What the `tokenizers` library cuts text by, so that it looks a number up whole: digits by threes from the left, as Llama 3's, and
/// everything else by characters.
pub(super) fn by_numbers() -> tokenizers::Result<Split> {
    let pattern = SplitPattern::Regex("[0-9]{1,3}|[^0-9]".to_owned());
    Split::new(pattern, SplitDelimiterBehavior::Isolated, false)
}

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
        // All other kinds but a few are told by this, without writing a large vocabulary down.
        let numbers = match inner.get_pre_tokenizer() {
            None => false,
            Some(PreTokenizerWrapper::Split(cut)) if by_numbers().is_ok_and(|own| own == *cut) => {
                true
            }
            Some(_) => return None,
        };
        let json: serde_json::Value = serde_json::from_str(&inner.to_string(false).ok()?).ok()?;
        let plain = ["normalizer", "post_processor"]
            .iter()
            .all(|part| json.get(part).is_none_or(serde_json::Value::is_null));
        let model = &json["model"];
        let no_merges = model["merges"].as_array().is_some_and(Vec::is_empty);
        let whole = !numbers || model["ignore_merges"] == true;
        let bare = plain && no_merges && whole;
        if !bare || model["type"] != "BPE" || json["decoder"]["type"] != "Fuse" {
            return None;
        }
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
            let piece = &text[start..start + self.piece(&text[start..])];
            if let Some(&id) = self.numbers.get(piece) {
                take(id, start..start + piece.len());
            } else {
                // A number without a token of its own, as 007, is its digits.
                for (offset, character) in piece.char_indices() {
                    let at = start + offset;
                    let unknown = || {
                        let position = text[..at].chars().count();
                        Error::UnknownCharacter { character, position }
                    };
                    let id = self.id(character).ok_or_else(unknown)?;
                    take(id, at..at + character.len_utf8());
                }
            }
            start += piece.len();
        }
        Ok(())
    }

    /// Bytes of a text's first piece, which is looked up whole: where there are numbers the digits of one token or another character, else all.
    fn piece(&self, text: &str) -> usize {
        if self.numbers.is_empty() {
            return text.len();
        }
        match text.bytes().take(DIGITS).take_while(u8::is_ascii_digit).count() {
            0 => text.chars().next().map_or(0, char::len_utf8),
            digits => digits,
        }
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
