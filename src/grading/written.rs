//! An answer as it is written, and read only when its text does not decide.

use std::cell::OnceCell;

use super::answer::Answer;
use super::compare::Comparison;
use super::grade::{Grade, Rule, Verdict};
use super::parse::{Plain, Reading, Unreadable, plain, read};

/// An answer's text, with what has been made of it: one that is compared with many is read once.
#[derive(Debug)]
pub struct Written<'a> {
    text: &'a str,
    plain: Option<Plain>,
    reading: OnceCell<Result<Reading, Unreadable>>,
}

impl<'a> Written<'a> {
    /// An answer; nothing is read yet.
    #[must_use]
    pub fn new(text: &'a str) -> Self {
        Self { text, plain: plain(text), reading: OnceCell::new() }
    }

    /// Compares two answers; which of them is known to be right does not matter.
    #[must_use]
    pub fn grade(&self, other: &Self) -> Grade {
        if let (Some(left), Some(right)) = (self.plain, other.plain) {
            // Long decimals may be roundings of each other.
            if left.equals(right) || left.is_integer() && right.is_integer() {
                return Grade::new(left.equals(right), Rule::Number);
            }
        }
        let (left, right) = (squeezed(self.text), squeezed(other.text));
        match (left.is_empty(), right.is_empty()) {
            (true, true) => return Grade::undecided(Rule::Missing),
            (true, false) | (false, true) => return Grade::different(Rule::Missing),
            (false, false) if left == right => return Grade::equal(Rule::Identical),
            (false, false) => {}
        }
        let (Ok(one), Ok(two)) = (self.reading(), other.reading()) else {
            return Grade::undecided(Rule::Unreadable);
        };
        let grade = Comparison::new().answers(&one.answer, &two.answer);
        if grade.is_equal() {
            let order = (capitals(&left), capitals(&right));
            let other = matches!(&order, (Some(left), Some(right)) if left != right);
            return if other { Grade::undecided(Rule::Words) } else { grade };
        }
        let words = |answer: &Answer| matches!(answer, Answer::Words(_));
        if words(&one.answer) != words(&two.answer) && same_letters(self.text, other.text) {
            return Grade::equal(Rule::Words);
        }
        let decimals = (decimal_comma(self.text), decimal_comma(other.text));
        if decimals.0.is_some() || decimals.1.is_some() {
            let left = decimals.0.as_deref().unwrap_or(self.text);
            let right = decimals.1.as_deref().unwrap_or(other.text);
            // The text has no comma any more, so that this ends.
            if Written::new(left).same(&Written::new(right)) {
                return Grade::undecided(Rule::Comma);
            }
        }
        if (one.comma_guessed || two.comma_guessed) && self.equal_as_lists(other) {
            return Grade::undecided(Rule::Comma);
        }
        grade
    }

    /// The text.
    #[must_use]
    pub fn text(&self) -> &'a str {
        self.text
    }

    /// Whether the text has a meaning here; one without is equal to its own text alone.
    #[must_use]
    pub fn is_readable(&self) -> bool {
        self.plain.is_some() || self.reading().is_ok()
    }

    /// Whether the answers are equal.
    #[must_use]
    pub fn same(&self, other: &Self) -> bool {
        self.grade(other).is_equal()
    }

    fn reading(&self) -> &Result<Reading, Unreadable> {
        self.reading.get_or_init(|| read(self.text, true))
    }

    /// Whether the answers are equal when every comma parts members.
    fn equal_as_lists(&self, other: &Self) -> bool {
        match (read(self.text, false), read(other.text, false)) {
            (Ok(left), Ok(right)) => {
                let grade = Comparison::new().answers(&left.answer, &right.answer);
                grade.verdict != Verdict::Different
            }
            _ => false,
        }
    }
}

/// The text without what only changes looks.
fn squeezed(text: &str) -> String {
    let mut squeezed = String::with_capacity(text.len());
    for character in text.chars().filter(|c| *c != '$') {
        if !character.is_whitespace() {
            // `1 2` is not 12, and `1, 234` not 1,234.
            if squeezed.ends_with(' ') && !character.is_alphanumeric() {
                squeezed.pop();
            }
            squeezed.push(character);
        } else if squeezed.ends_with(|c: char| c.is_alphanumeric() || c == ',') {
            squeezed.push(' ');
        }
    }
    let mut text = squeezed.trim_end().to_owned();
    for (form, same) in [
        ("\\left", ""),
        ("\\right", ""),
        ("\\!", ""),
        ("\\displaystyle", ""),
        ("\\dfrac", "\\frac"),
        ("\\tfrac", "\\frac"),
    ] {
        if text.contains(form) {
            text = text.replace(form, same);
        }
    }
    // One point ends a sentence, and more go on with what is before them: 0.333... is not 0.333.
    match text.strip_suffix('.') {
        Some(sentence) if !sentence.ends_with('.') => sentence.to_owned(),
        _ => text,
    }
}

/// `2,74` as much of the world writes 2.74.
fn decimal_comma(text: &str) -> Option<String> {
    let digits = |c: char| c.is_ascii_digit() || matches!(c, ',' | '-' | '$' | ' ');
    let one = text.matches(',').count() == 1 && text.chars().all(digits);
    let (whole, fraction) = text.split_once(',').filter(|_| one)?;
    let digits = |c: char| c.is_ascii_digit();
    (whole.ends_with(digits) && fraction.starts_with(digits)).then(|| text.replace(',', "."))
}

/// Capitals alone, without spaces: `AB` and `BA` may be a segment, a product, or two orders of things.
fn capitals(text: &str) -> Option<String> {
    let letters = text.replace(' ', "");
    letters.bytes().all(|byte| byte.is_ascii_uppercase()).then_some(letters)
}

/// Whether words in one text are plain letters in the other: `\text{odd}` and `odd`.
fn same_letters(left: &str, right: &str) -> bool {
    let letters = |text: &str| -> Option<String> {
        let squeezed = squeezed(text);
        let inner = ["\\text{", "\\mathrm{", "\\mbox{", "\\textbf{"]
            .iter()
            .find_map(|command| squeezed.strip_prefix(command)?.strip_suffix('}'))
            .unwrap_or(&squeezed);
        let only = !inner.is_empty() && inner.chars().all(char::is_alphabetic);
        only.then(|| inner.to_lowercase())
    };
    letters(left).is_some_and(|left| letters(right) == Some(left))
}
