//! Text to token ids and back, in Hugging Face's `tokenizer.json` form.

pub(crate) mod beside;
mod check;
mod table;

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use espalier_quiet::quietly;
use serde::{Deserialize, Serialize};
use tokenizers::AddedToken;
use tokenizers::decoders::DecoderWrapper;
use tokenizers::decoders::fuse::Fuse;
use tokenizers::decoders::sequence::Sequence;
use tokenizers::models::bpe::BPE;

use crate::error::{Error, Result};
use table::{Table, by_numbers};

/// File name inside a checkpoint.
pub(crate) const FILE: &str = "tokenizer.json";
const PAD: &str = "<pad>";
const EOS: &str = "<eos>";

/// What the tokens of a net from scratch are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tokens {
    /// One a character.
    #[default]
    Characters,
    /// One a number of up to three digits, and one for every other character.
    Numbers,
}

/// A tokenizer. Those of nets from scratch take a path without the `tokenizers` library, because encoding a context is
/// part of every evaluation.
#[derive(Clone)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    table: Option<Table>,
    /// What `tokenizer.json` held, to be saved again as it was; `None` for one made here.
    source: Option<Arc<[u8]>>,
    eos: Option<u32>,
    pad: Option<u32>,
    add_special_tokens: bool,
    /// Rows of the net's embedding, where there are fewer than tokens.
    rows: Option<u32>,
}

impl Tokenizer {
    /// The tokenizer of a net from scratch: printable ASCII, the newline, `<pad>` (id 0) and `<eos>` (id 1), and with
    /// [`Tokens::Numbers`] also 10 to 999.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] when the `tokenizers` library refuses the vocabulary.
    pub fn fresh(tokens: Tokens) -> Result<Self> {
        let numbers = match tokens {
            Tokens::Characters => 0..0,
            Tokens::Numbers => 10..1000,
        };
        let tokens = [PAD.to_owned(), EOS.to_owned(), "\n".to_owned()]
            .into_iter()
            .chain((' '..='~').map(String::from))
            .chain(numbers.clone().map(|number: u32| number.to_string()));
        let vocabulary: tokenizers::models::bpe::Vocab =
            tokens.enumerate().map(|(id, token)| (token, id as u32)).collect();
        let model = BPE::builder()
            .vocab_and_merges(vocabulary, Vec::new())
            .ignore_merges(!numbers.is_empty());
        let mut inner = tokenizers::Tokenizer::new(model.build().map_err(refused)?);
        if !numbers.is_empty() {
            inner.with_pre_tokenizer(Some(by_numbers().map_err(refused)?));
        }
        inner.with_decoder(Some(Fuse::new()));
        inner.add_special_tokens(&[AddedToken::from(PAD, true), AddedToken::from(EOS, true)]);
        Ok(Self::wrap(inner, None))
    }

    /// Reads `tokenizer.json` in a folder, with the tokens that only the files beside it have.
    ///
    /// # Errors
    /// When a file cannot be read or is no tokenizer.
    pub fn load(dir: &Path) -> Result<Self> {
        beside::check_there(dir)?;
        let read = |name: &str| {
            let path = dir.join(name);
            std::fs::read(&path).map_err(Error::io(&path))
        };
        let mut beside = BTreeMap::new();
        for name in beside::FILES.into_iter().filter(|name| dir.join(name).is_file()) {
            beside.insert(name.to_owned(), read(name)?);
        }
        Self::from_files(&read(FILE)?, &beside)
            .map_err(|error| Error::format(&dir.join(FILE), error))
    }

    /// Reads the content of a `tokenizer.json` with the tokens that only the files beside it (by name) have.
    ///
    /// # Errors
    /// When it is no tokenizer, or the files do not fit each other.
    pub fn from_files(bytes: &[u8], beside: &BTreeMap<String, Vec<u8>>) -> Result<Self> {
        if beside::FILES.iter().all(|name| !beside.contains_key(*name)) {
            return Self::from_bytes(bytes);
        }
        let json = check::file(bytes).map_err(Error::Tokenizer)?;
        match beside::complete(&json, beside).map_err(Error::Tokenizer)? {
            None => Self::from_bytes(bytes),
            Some(whole) => Self::from_bytes(whole.to_string().as_bytes()),
        }
    }

    /// Reads the content of a `tokenizer.json`.
    ///
    /// # Errors
    /// When it is no tokenizer.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        check::file(bytes).map_err(Error::Tokenizer)?;
        guarded(|| {
            let mut inner = tokenizers::Tokenizer::from_bytes(bytes).map_err(refused)?;
            // What a file says of cutting and padding is for batches of its trainer's, not for whole texts.
            inner.with_truncation(None).map_err(refused)?;
            inner.with_padding(None);
            keep_blanks_in_spans(&mut inner)?;
            keep_first_blank(&mut inner)?;
            Ok(Self::wrap(inner, Some(bytes.into())))
        })
    }

    fn wrap(inner: tokenizers::Tokenizer, source: Option<Arc<[u8]>>) -> Self {
        let table = Table::of(&inner);
        let (eos, pad) = (inner.token_to_id(EOS), inner.token_to_id(PAD));
        Self { inner, table, source, eos, pad, add_special_tokens: true, rows: None }
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

    /// Tokens of a text. Special tokens are never made from text by the tokenizer of a net from scratch.
    ///
    /// # Errors
    /// [`Error::UnknownCharacter`] when a character has no token.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        if let Some(table) = &self.table {
            let mut ids = Vec::with_capacity(text.len());
            table.encode(text, |id, _| ids.push(id))?;
            return Ok(ids);
        }
        let encode = || self.inner.encode_fast(text, self.add_special_tokens).map_err(refused);
        let encoding = guarded(encode)?;
        self.check_rows(encoding.get_ids())?;
        Ok(encoding.get_ids().to_vec())
    }

    /// Tokens of a text with the bytes of the text that each stands for.
    ///
    /// # Errors
    /// [`Error::UnknownCharacter`] when a character has no token.
    pub fn encode_with_spans(&self, text: &str) -> Result<Vec<(u32, Range<usize>)>> {
        if let Some(table) = &self.table {
            let mut tokens = Vec::with_capacity(text.len());
            table.encode(text, |id, span| tokens.push((id, span)))?;
            return Ok(tokens);
        }
        let encode = || self.inner.encode(text, self.add_special_tokens).map_err(refused);
        let encoding = guarded(encode)?;
        self.check_rows(encoding.get_ids())?;
        let spans = encoding.get_offsets().iter().map(|&(start, end)| start..end);
        Ok(encoding.get_ids().iter().copied().zip(spans).collect())
    }

    /// The text of tokens, without special tokens, as it goes on from what is before it: a blank that the first of them
    /// begins with stays.
    #[must_use]
    pub fn decode(&self, ids: &[u32]) -> String {
        match &self.table {
            Some(table) => table.decode(ids),
            // The library fails only on ids outside the vocabulary, which have no text, and panics on some of them.
            None => guarded(|| self.inner.decode(ids, true).map_err(refused)).unwrap_or_default(),
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

    /// Says how many rows the net's embedding has. Some checkpoints have tokens beyond them, which no text may need.
    ///
    /// # Errors
    /// When the token that ends a text is beyond them.
    pub(crate) fn limit(&mut self, rows: usize) -> Result<()> {
        let last = self.inner.get_vocab(true).into_values().max();
        if last.is_none_or(|last| (last as usize) < rows) {
            return Ok(());
        }
        self.rows = Some(rows as u32);
        // A token for padding alone is never looked up.
        self.pad = self.pad.filter(|pad| (*pad as usize) < rows);
        self.eos.map_or(Ok(()), |eos| self.check_rows(&[eos]))
    }

    fn check_rows(&self, ids: &[u32]) -> Result<()> {
        let Some(rows) = self.rows else { return Ok(()) };
        match ids.iter().find(|id| **id >= rows) {
            None => Ok(()),
            Some(id) => {
                let token = self.inner.id_to_token(*id).unwrap_or_default();
                Err(Error::Tokenizer(format!(
                    "token {token:?} has id {id}, and the net's embedding {rows} rows: no text may need it"
                )))
            }
        }
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

    /// The token that encoding puts before every text.
    pub(crate) fn beginning(&self) -> Option<u32> {
        self.encode("a").ok()?.first().copied()
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
        let kind = if self.table.is_some() { "table" } else { "library" };
        write!(formatter, "Tokenizer({kind}, {} tokens)", self.vocab_size())
    }
}

/// What the library answers. Some files that it reads make it panic later, or at once.
fn guarded<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    quietly(work).unwrap_or_else(|| {
        Err(Error::Tokenizer(
            "the `tokenizers` library cannot work with this tokenizer.json".into(),
        ))
    })
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err wants")]
fn refused(error: tokenizers::Error) -> Error {
    Error::Tokenizer(error.to_string())
}
