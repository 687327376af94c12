//! Text to token ids and back, in Hugging Face's `tokenizer.json` form.

use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use tokenizers::AddedToken;
use tokenizers::decoders::DecoderWrapper;
use tokenizers::decoders::fuse::Fuse;
use tokenizers::decoders::sequence::Sequence;
use tokenizers::models::bpe::BPE;

use crate::error::{Error, Result};

/// File name inside a checkpoint.
pub(crate) const FILE: &str = "tokenizer.json";
const PAD: &str = "<pad>";
const EOS: &str = "<eos>";

/// A tokenizer. Character-level ones take a path without the `tokenizers` library, because encoding a context is
/// part of every evaluation.
#[derive(Clone)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    characters: Option<CharacterTable>,
    /// What `tokenizer.json` held, to be saved again as it was; `None` for one made here.
    source: Option<Arc<[u8]>>,
    eos: Option<u32>,
    pad: Option<u32>,
    add_special_tokens: bool,
}

/// Both directions of a vocabulary in which every ordinary token is one character.
#[derive(Clone)]
struct CharacterTable {
    ids: HashMap<char, u32>,
    /// [`Self::ids`] for the first 128 code points, where nearly all text is.
    ascii: [Option<u32>; 128],
    /// `None` for special tokens, which have no text.
    characters: Vec<Option<char>>,
}

impl CharacterTable {
    /// The table of a tokenizer that maps single characters and does nothing else, `None` for every other kind.
    fn of(inner: &tokenizers::Tokenizer) -> Option<Self> {
        // Nearly all other kinds are told by this, without writing a large vocabulary down.
        if inner.get_pre_tokenizer().is_some() {
            return None;
        }
        let json: serde_json::Value = serde_json::from_str(&inner.to_string(false).ok()?).ok()?;
        let plain = ["normalizer", "pre_tokenizer", "post_processor"]
            .iter()
            .all(|part| json.get(part).is_none_or(serde_json::Value::is_null));
        let model = &json["model"];
        let no_merges = model["merges"].as_array().is_some_and(Vec::is_empty);
        if !plain || model["type"] != "BPE" || !no_merges || json["decoder"]["type"] != "Fuse" {
            return None;
        }
        let mut table = Self {
            ids: HashMap::new(),
            ascii: [None; 128],
            characters: vec![None; inner.get_vocab_size(true)],
        };
        for (token, id) in inner.get_vocab(false) {
            let special = inner.get_added_tokens_decoder().get(&id).is_some_and(|t| t.special);
            if special {
                continue;
            }
            let mut characters = token.chars();
            let (Some(character), None) = (characters.next(), characters.next()) else {
                return None;
            };
            *table.characters.get_mut(id as usize)? = Some(character);
            if let Some(slot) = table.ascii.get_mut(character as usize) {
                *slot = Some(id);
            }
            table.ids.insert(character, id);
        }
        Some(table)
    }

    fn id(&self, character: char) -> Option<u32> {
        match self.ascii.get(character as usize) {
            Some(slot) => *slot,
            None => self.ids.get(&character).copied(),
        }
    }
}

impl Tokenizer {
    /// One token a character: printable ASCII, the newline, `<pad>` (id 0) and `<eos>` (id 1).
    ///
    /// # Errors
    /// [`Error::Tokenizer`] when the `tokenizers` library refuses the vocabulary.
    pub fn characters() -> Result<Self> {
        let tokens = [PAD.to_owned(), EOS.to_owned(), "\n".to_owned()]
            .into_iter()
            .chain((' '..='~').map(String::from));
        let vocabulary: tokenizers::models::bpe::Vocab =
            tokens.enumerate().map(|(id, token)| (token, id as u32)).collect();
        let model = BPE::builder().vocab_and_merges(vocabulary, Vec::new()).build();
        let mut inner = tokenizers::Tokenizer::new(model.map_err(refused)?);
        inner.with_decoder(Some(Fuse::new()));
        inner.add_special_tokens(&[AddedToken::from(PAD, true), AddedToken::from(EOS, true)]);
        Ok(Self::wrap(inner, None))
    }

    /// Reads `tokenizer.json` in a folder.
    ///
    /// # Errors
    /// When the file cannot be read or is no tokenizer.
    pub fn load(dir: &Path) -> Result<Self> {
        let path = dir.join(FILE);
        let bytes = std::fs::read(&path).map_err(Error::io(&path))?;
        Self::from_bytes(&bytes).map_err(|error| Error::format(&path, error))
    }

    /// Reads the content of a `tokenizer.json`.
    ///
    /// # Errors
    /// When it is no tokenizer.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let mut inner = tokenizers::Tokenizer::from_bytes(bytes).map_err(refused)?;
        // What a file says of cutting and padding is for batches of its trainer's, not for whole texts.
        inner.with_truncation(None).map_err(refused)?;
        inner.with_padding(None);
        keep_blanks_in_spans(&mut inner)?;
        keep_first_blank(&mut inner)?;
        Ok(Self::wrap(inner, Some(bytes.into())))
    }

    fn wrap(inner: tokenizers::Tokenizer, source: Option<Arc<[u8]>>) -> Self {
        let characters = CharacterTable::of(&inner);
        let (eos, pad) = (inner.token_to_id(EOS), inner.token_to_id(PAD));
        Self { inner, characters, source, eos, pad, add_special_tokens: true }
    }

    /// Writes `tokenizer.json` into a folder.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&self, dir: &Path) -> Result<()> {
        let path = dir.join(FILE);
        std::fs::write(&path, self.to_bytes()?).map_err(Error::io(&path))
    }

    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>> {
        if let Some(source) = &self.source {
            return Ok(source.to_vec());
        }
        Ok(self.inner.to_string(true).map_err(refused)?.into_bytes())
    }

    /// Tokens of a text. Special tokens are never made from text by a character-level tokenizer.
    ///
    /// # Errors
    /// [`Error::UnknownCharacter`] when a character has no token.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let Some(table) = &self.characters else {
            return Ok(self
                .inner
                .encode_fast(text, self.add_special_tokens)
                .map_err(refused)?
                .get_ids()
                .to_vec());
        };
        let mut ids = Vec::with_capacity(text.len());
        for (position, character) in text.chars().enumerate() {
            ids.push(table.id(character).ok_or(Error::UnknownCharacter { character, position })?);
        }
        Ok(ids)
    }

    /// Tokens of a text with the bytes of the text that each stands for.
    ///
    /// # Errors
    /// [`Error::UnknownCharacter`] when a character has no token.
    pub fn encode_with_spans(&self, text: &str) -> Result<Vec<(u32, Range<usize>)>> {
        if self.characters.is_some() {
            let ids = self.encode(text)?;
            let spans = text.char_indices().map(|(start, c)| start..start + c.len_utf8());
            return Ok(ids.into_iter().zip(spans).collect());
        }
        let encoding = self.inner.encode(text, self.add_special_tokens).map_err(refused)?;
        let spans = encoding.get_offsets().iter().map(|&(start, end)| start..end);
        Ok(encoding.get_ids().iter().copied().zip(spans).collect())
    }

    /// The text of tokens, without special tokens, as it goes on from what is before it: a blank that the first of them
    /// begins with stays.
    #[must_use]
    pub fn decode(&self, ids: &[u32]) -> String {
        match &self.characters {
            Some(table) => ids
                .iter()
                .filter_map(|&id| table.characters.get(id as usize).copied().flatten())
                .collect(),
            // The library fails only on ids outside the vocabulary, which have no text.
            None => self.inner.decode(ids, true).unwrap_or_default(),
        }
    }

    /// Whether a token stands for text: it is in the vocabulary and not special.
    #[must_use]
    pub fn has_text(&self, id: u32) -> bool {
        let special = self.inner.get_added_tokens_decoder().get(&id).is_some_and(|t| t.special);
        !special && self.inner.id_to_token(id).is_some()
    }

    /// Tokens in the vocabulary, special ones included.
    #[must_use]
    pub fn vocab_size(&self) -> usize {
        self.inner.get_vocab_size(true)
    }

    /// One more than the largest token id.
    pub(crate) fn id_limit(&self) -> usize {
        self.inner.get_vocab(true).into_values().max().map_or(0, |id| id as usize + 1)
    }

    /// A token by its text in the vocabulary.
    #[must_use]
    pub fn id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// The padding token: the one that the checkpoint names, else `<pad>`, when the vocabulary has it.
    #[must_use]
    pub fn pad(&self) -> Option<u32> {
        self.pad
    }

    /// The token that ends a text: the one that the checkpoint names, else `<eos>`, when the vocabulary has it. A net
    /// may know further ones ([`Checkpoint::eos_token_ids`](crate::Checkpoint::eos_token_ids)).
    #[must_use]
    pub fn eos(&self) -> Option<u32> {
        self.eos
    }

    /// Whether encoding puts the tokens around a text that its kind of tokenizer calls for, as many begin with one; at
    /// first it does. A text that a [`ChatTemplate`](crate::ChatTemplate) made has them already: `false` is for those.
    pub fn set_add_special_tokens(&mut self, add: bool) {
        self.add_special_tokens = add;
    }

    /// Notes what a checkpoint says of its special tokens.
    pub(crate) fn name_special_tokens(&mut self, eos: Option<u32>, pad: Option<u32>) {
        self.eos = eos.or(self.eos);
        self.pad = pad.or(self.pad);
    }
}

/// Some byte-level tokenizers cut blanks off the spans of their tokens. Which part of a text a token ends in depends on
/// them, so they are kept; the tokens are the same.
fn keep_blanks_in_spans(inner: &mut tokenizers::Tokenizer) -> Result<()> {
    let Some(post_processor) = inner.get_post_processor() else {
        return Ok(());
    };
    let encoding = |error: serde_json::Error| Error::Tokenizer(error.to_string());
    let json = serde_json::to_string(post_processor).map_err(encoding)?;
    let kept = json.replace("\"trim_offsets\":true", "\"trim_offsets\":false");
    if kept != json {
        let kept: tokenizers::PostProcessorWrapper =
            serde_json::from_str(&kept).map_err(encoding)?;
        inner.with_post_processor(Some(kept));
    }
    Ok(())
}

/// SentencePiece's kind puts a blank before a text and takes the first one off again. What a policy writes goes on from a
/// text, where that blank is one that it wrote.
fn keep_first_blank(inner: &mut tokenizers::Tokenizer) -> Result<()> {
    let Some(DecoderWrapper::Sequence(sequence)) = inner.get_decoder() else {
        return Ok(());
    };
    let takes = |decoder: &DecoderWrapper| matches!(decoder, DecoderWrapper::Strip(strip) if strip.content == ' ' && strip.stop == 0);
    let decoders = sequence.get_decoders();
    if decoders.iter().any(takes) {
        let kept = decoders.iter().filter(|decoder| !takes(decoder)).cloned().collect();
        inner.with_decoder(Some(DecoderWrapper::Sequence(Sequence::new(kept))));
    }
    Ok(())
}

impl std::fmt::Debug for Tokenizer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = if self.characters.is_some() { "characters" } else { "library" };
        write!(formatter, "Tokenizer({kind}, {} tokens)", self.vocab_size())
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err wants")]
fn refused(error: tokenizers::Error) -> Error {
    Error::Tokenizer(error.to_string())
}
