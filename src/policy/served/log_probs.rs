//! The log-probabilities that a server reports with a step, and whether they are those of the step's tokens.

use serde::Deserialize;

/// In either shape.
#[derive(Deserialize)]
pub(super) struct LogProbs {
    token_logprobs: Option<Vec<Option<f64>>>,
    content: Option<Vec<Token>>,
}

#[derive(Deserialize)]
struct Token {
    logprob: f64,
    id: Option<i64>,
    bytes: Option<Vec<u8>>,
    top_logprobs: Option<Vec<Likely>>,
}

/// One of the likeliest tokens, as it is by itself.
#[derive(Deserialize)]
struct Likely {
    id: Option<i64>,
    bytes: Option<Vec<u8>>,
}

/// What is reported of a step.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Reported {
    pub(super) numbers: Vec<f64>,
    /// Whether there is a number a character where characters have several tokens: llama.cpp.
    by_character: bool,
    /// Numbers that are known to stand for a character of several tokens.
    characters: usize,
}

/// Why log-probabilities cannot be those of a step's tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Mismatch {
    #[error("{reported} log-probabilities for {sampled} tokens")]
    Count { reported: usize, sampled: usize },
    #[error(
        "{reported} log-probabilities, {characters} of them the last token's alone of a character of several"
    )]
    Characters { reported: usize, characters: usize },
    #[error(
        "{reported} log-probabilities, none of them of the tokens of a character that is cut in two"
    )]
    Cut { reported: usize },
}

impl LogProbs {
    /// `None` where the server reports nothing.
    pub(super) fn reported(self) -> Option<Reported> {
        match (self.token_logprobs, self.content) {
            (Some(numbers), _) => Some(Reported {
                numbers: numbers.into_iter().collect::<Option<_>>()?,
                ..Reported::default()
            }),
            (None, Some(tokens)) => Some(Reported {
                numbers: tokens.iter().map(|token| token.logprob).collect(),
                by_character: true,
                characters: tokens.iter().filter(|token| token.ends_a_character()).count(),
            }),
            (None, None) => None,
        }
    }
}

impl Token {
    /// Whether the token by itself is a piece of the character that it is reported as. It shows where it is the likeliest one.
    fn ends_a_character(&self) -> bool {
        let piece = |likely: &Likely| {
            likely.bytes != self.bytes
                && likely.bytes.as_deref().is_some_and(|bytes| std::str::from_utf8(bytes).is_err())
        };
        let mut likeliest = self.top_logprobs.iter().flatten();
        self.id.is_some() && likeliest.any(|likely| likely.id == self.id && piece(likely))
    }
}

impl Reported {
    /// Why the numbers cannot be the step's; `None` where they can. `sampled`: the step's tokens, where the server counts them.
    /// `left_out`: how many of them it may report no number for, the delimiter's. `cut`: whether the text ends inside a character.
    pub(super) fn mismatch(
        &self,
        sampled: Option<usize>,
        left_out: usize,
        cut: bool,
    ) -> Option<Mismatch> {
        let (reported, characters) = (self.numbers.len(), self.characters);
        let fits = |sampled: &usize| (reported..=reported + left_out).contains(sampled);
        if let Some(sampled) = sampled.filter(|sampled| !fits(sampled)) {
            return Some(Mismatch::Count { reported, sampled });
        }
        if characters > 0 {
            return Some(Mismatch::Characters { reported, characters });
        }
        (cut && self.by_character).then_some(Mismatch::Cut { reported })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reported(text: &str) -> Option<Reported> {
        serde_json::from_str::<LogProbs>(text).unwrap().reported()
    }

    #[test]
    fn numbers_that_fit_the_tokens_are_taken() {
        let two = reported(r#"{"token_logprobs": [-1, -2]}"#).unwrap();
        assert_eq!(two.numbers, [-1.0, -2.0]);
        for (sampled, left_out, fits) in [
            (None, 0, true),
            (Some(2), 0, true),
            (Some(3), 1, true),
            (Some(3), 0, false),
            (Some(4), 1, false),
            (Some(1), 1, false),
        ] {
            let expected =
                sampled.filter(|_| !fits).map(|sampled| Mismatch::Count { reported: 2, sampled });
            assert_eq!(two.mismatch(sampled, left_out, true), expected, "{sampled:?} {left_out}");
        }
        for none in ["{}", r#"{"token_logprobs": [null, -1]}"#] {
            assert_eq!(reported(none), None, "{none}");
        }
    }

    #[test]
    fn the_last_token_of_a_character_is_known_by_its_bytes() {
        // llama.cpp's for an emoji of three tokens; a character of one token; one whose token was not the likeliest.
        let emoji = r#"{"id": 218, "token": "😀", "bytes": [240, 159, 152, 128], "logprob": -0.1,
            "top_logprobs": [{"id": 218, "token": "�", "bytes": [128], "logprob": -0.1}]}"#;
        let whole = r#"{"id": 9, "token": "é", "bytes": [195, 169], "logprob": -1,
            "top_logprobs": [{"id": 9, "token": "é", "bytes": [195, 169], "logprob": -1}]}"#;
        let other = r#"{"id": 8, "token": "é", "bytes": [195, 169], "logprob": -1,
            "top_logprobs": [{"id": 7, "token": "�", "bytes": [195], "logprob": -1}]}"#;
        // Each piece with a number of its own, and text that was held back until it was no delimiter.
        let piece = r#"{"id": 6, "bytes": [240, 159], "logprob": -1, "top_logprobs": [{"id": 6, "bytes": [240, 159]}]}"#;
        let late = r#"{"id": 5, "bytes": [60, 47, 112], "logprob": -1, "top_logprobs": [{"id": 5, "bytes": [112]}]}"#;
        let content = |tokens: &[&str]| {
            reported(&format!(r#"{{"content": [{}]}}"#, tokens.join(", "))).unwrap()
        };
        assert_eq!(content(&[whole, other, piece, late]).mismatch(None, 0, false), None);
        let found = content(&[emoji, whole, emoji]).mismatch(Some(3), 0, false);
        assert_eq!(found, Some(Mismatch::Characters { reported: 3, characters: 2 }));
        let found = content(&[emoji]).mismatch(Some(5), 0, false);
        assert_eq!(found, Some(Mismatch::Count { reported: 1, sampled: 5 }));
        let found = content(&[whole]).mismatch(None, 0, true);
        assert_eq!(found, Some(Mismatch::Cut { reported: 1 }));
    }
}
