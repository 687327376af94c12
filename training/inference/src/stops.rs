//! Where a step ends.

use espalier_model::error::{Error, Result};
use espalier_model::tokenizer::Tokenizer;

/// Tells when a step that is being written has ended.
pub(super) struct Stops {
    /// By token id: what writing it means.
    meanings: Vec<Meaning>,
    texts: Vec<String>,
    /// Tokens whose text is looked at for a stop that spans several: the longest stop's bytes, each token having at
    /// least one.
    window: usize,
    max_step_tokens: usize,
}

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// By a stop, or the end of the text.
    Written,
    /// At the limit of tokens.
    Truncated,
}

#[derive(Clone, Copy, PartialEq)]
enum Meaning {
    /// The step goes on.
    Text,
    /// The step ends: the token holds a stop, or ends the text.
    End,
    /// The token holds the last character of a stop, which may have begun before it.
    MayEnd,
}

impl Stops {
    /// Reads the vocabulary.
    ///
    /// # Errors
    /// [`Error::Setting`] when no token holds the last character of a stop.
    pub fn new(
        tokenizer: &Tokenizer,
        vocab_size: usize,
        eos: &[u32],
        texts: &[String],
        max_step_tokens: usize,
    ) -> Result<Self> {
        let lasts: Vec<char> = texts.iter().filter_map(|stop| stop.chars().next_back()).collect();
        let meaning = |id: u32| {
            let text = tokenizer.decode(&[id]);
            let ends = eos.contains(&id) || !tokenizer.has_text(id);
            if ends || texts.iter().any(|stop| text.contains(stop)) {
                Meaning::End
            } else if text.contains(lasts.as_slice()) {
                Meaning::MayEnd
            } else {
                Meaning::Text
            }
        };
        let meanings: Vec<Meaning> = (0..vocab_size as u32).map(meaning).collect();
        for (stop, last) in texts.iter().zip(lasts) {
            let written = (0..vocab_size as u32)
                .filter(|&id| meanings[id as usize] != Meaning::Text)
                .any(|id| tokenizer.decode(&[id]).contains(last));
            if !written {
                let message = format!("the tokenizer has no token that ends {stop:?}");
                return Err(Error::Setting { field: "stops", message });
            }
        }
        let window = texts.iter().map(String::len).max().unwrap_or(0);
        Ok(Self { meanings, texts: texts.to_vec(), window, max_step_tokens })
    }

    /// How a step of these tokens, of which only the last is new, has ended; `None` where it goes on.
    pub fn end(&self, tokenizer: &Tokenizer, tokens: &[u32]) -> Option<End> {
        let &last = tokens.last()?;
        let written = match self.meanings[last as usize] {
            Meaning::Text => false,
            Meaning::End => true,
            Meaning::MayEnd => {
                let tail = tokenizer.decode(&tokens[tokens.len().saturating_sub(self.window)..]);
                self.texts.iter().any(|stop| tail.contains(stop))
            }
        };
        match written {
            true => Some(End::Written),
            false => (tokens.len() >= self.max_step_tokens).then_some(End::Truncated),
        }
    }

    /// The text of a step's tokens, without the stop and what follows it.
    pub fn action(&self, tokenizer: &Tokenizer, tokens: &[u32]) -> String {
        let mut text = tokenizer.decode(tokens);
        if let Some(end) = self.texts.iter().filter_map(|stop| text.find(stop)).min() {
            text.truncate(end);
        }
        text
    }
}
