//! Answers as they are written to [`Answer`]s.

mod conditions;
mod expression;
mod lexer;
mod numeral;
mod structure;
mod token;
mod unicode;

pub use numeral::{Plain, plain};

use crate::answer::Answer;
use crate::expression::Function;

/// What an answer may be at most; everything beyond is [`Unreadable`].
pub struct Limits;

impl Limits {
    /// Length of the text.
    pub const BYTES: usize = 4000;
    /// Brackets in brackets.
    pub const DEPTH: usize = 32;
    /// Members of a list.
    pub const MEMBERS: usize = 64;
    /// Digits of a numeral.
    pub const DIGITS: usize = 1000;
}

/// Why an answer has no meaning here. Two such answers may still be the same text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    #[error("nothing is there")]
    Empty,
    #[error("it is too long")]
    TooLong,
    #[error("its brackets nest too deep")]
    TooDeep,
    #[error("its brackets do not match")]
    Unbalanced,
    #[error("it has a command that is not understood")]
    Command,
    #[error("it has a sign that is not understood")]
    Sign,
    #[error("it is no expression that is understood")]
    Syntax,
    #[error("it can be read in several ways")]
    Ambiguous,
}

/// An answer and what had to be guessed of it.
#[derive(Debug)]
pub struct Reading {
    pub answer: Answer,
    /// A comma between digits was taken to part thousands.
    pub comma_guessed: bool,
}

/// Reads an answer.
///
/// # Errors
/// When it has no meaning here.
pub fn read(text: &str, commas_part_thousands: bool) -> Result<Reading, Unreadable> {
    if let Some(words) = prose(text) {
        return Ok(Reading { answer: structure::spoken(&words), comma_guessed: false });
    }
    let lexed = lexer::lex(text, commas_part_thousands)?;
    let answer = structure::answer(&lexed.tokens)?;
    Ok(Reading { answer, comma_guessed: lexed.comma_guessed })
}

/// Words outside all commands, in lower case; `None` where letters may be factors.
fn prose(text: &str) -> Option<String> {
    const SHORT: [&str; 3] = ["yes", "no", "odd"];
    let letters = |c: char| c.is_alphabetic() || c.is_whitespace();
    let text = text.trim_matches(|c: char| c.is_whitespace() || c == '$' || c == '.');
    if text.len() > Limits::BYTES || !text.chars().all(letters) {
        return None;
    }
    let words: Vec<String> = text.split_whitespace().map(str::to_lowercase).collect();
    if words.iter().any(|word| word == "and" || word == "or") {
        return None;
    }
    let names = ["pi", "sqrt", "infinity", "percent"];
    let spoken = |word: &String| {
        let long = word.chars().count() > 3 || SHORT.contains(&word.as_str());
        long && !names.contains(&word.as_str()) && Function::named(word).is_none()
    };
    words
        .first()
        .is_some_and(|word| word.chars().count() > 1)
        .then(|| words.iter().any(spoken))
        .filter(|spoken| *spoken)
        .map(|_| words.join(" "))
}
