//! Questions as words, so that layout and punctuation tell no two apart.

/// The words, numbers and signs of a question in lower case, with one space between. Dollar signs and punctuation are left out.
pub(super) fn normalised(question: &str) -> String {
    let mut text = String::with_capacity(question.len());
    each_token(question, |token, _| {
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(token);
    });
    text
}

/// The words and numbers of a question in lower case. Programs that draw its figures (`[asy]`) are no words: they begin alike.
pub(super) fn words(question: &str) -> Vec<String> {
    let mut words = Vec::new();
    for part in question.split("[asy]") {
        let text = part.split_once("[/asy]").map_or(part, |(_, behind)| behind);
        each_token(text, |token, is_word| {
            if is_word {
                words.push(token.to_owned());
            }
        });
    }
    words
}

/// Calls `found` with every word or sign, and whether it is a word.
fn each_token(text: &str, mut found: impl FnMut(&str, bool)) {
    let lower = text.to_lowercase();
    let mut rest = lower.as_str();
    while let Some(first) = rest.chars().next() {
        let length = word_length(rest);
        if length > 0 {
            let word = match &rest[..length] {
                "dfrac" | "tfrac" => "frac",
                word => word,
            };
            found(word, true);
            rest = &rest[length..];
            continue;
        }
        let (sign, behind) = rest.split_at(first.len_utf8());
        if !is_punctuation(first) {
            found(sign, false);
        }
        rest = behind;
    }
}

/// Bytes of the word that a text begins with: letters and digits, points between digits included. Writing without spaces counts each
/// sign as a word.
fn word_length(text: &str) -> usize {
    let mut characters = text.char_indices().peekable();
    let mut digit_before = false;
    while let Some((at, character)) = characters.next() {
        if is_ideograph(character) {
            return if at == 0 { character.len_utf8() } else { at };
        }
        let digit_after = characters.peek().is_some_and(|(_, next)| next.is_ascii_digit());
        let is_point = character == '.' && digit_before && digit_after;
        if !character.is_alphanumeric() && !is_point {
            return at;
        }
        digit_before = character.is_ascii_digit();
    }
    text.len()
}

fn is_punctuation(character: char) -> bool {
    character.is_whitespace()
        || matches!(character, '.' | ',' | ';' | ':' | '?' | '!' | '\'' | '"' | '$' | '~' | '\\')
        || matches!(
            character,
            '‘' | '’' | '“' | '”' | '。' | '，' | '；' | '：' | '？' | '！' | '、'
        )
}

fn is_ideograph(character: char) -> bool {
    matches!(character, '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{f900}'..='\u{faff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layout_and_punctuation_tell_nothing_apart() {
        let one = normalised("How much is $3.5 + \\dfrac{1}{2}$,  “Ann”?\n");
        assert_eq!(one, "how much is 3.5 + frac { 1 } { 2 } ann");
        assert_eq!(one, normalised("how much is 3.5 + \\frac{1}{2} Ann"));
    }

    #[test]
    fn signs_and_numbers_do() {
        for (one, other) in
            [("3 + 4", "3 - 4"), ("3.5", "35"), ("x^2", "x2"), ("-3", "3"), ("1 2", "12")]
        {
            assert_ne!(normalised(one), normalised(other), "{one} {other}");
        }
    }

    #[test]
    fn words_are_counted_in_every_script() {
        assert_eq!(words("Ann's 1.5 kg (x=2)."), ["ann", "s", "1.5", "kg", "x", "2"]);
        assert_eq!(words("已知 ab 是数列"), ["已", "知", "ab", "是", "数", "列"]);
        assert_eq!(words("ab数c"), ["ab", "数", "c"]);
        assert!(words("... $$ ?").is_empty());
        assert_eq!(words("a [asy]\ndraw(b);\n[/asy] c [asy]d[/asy]"), ["a", "c"]);
        assert_eq!(words("1. 2"), ["1", "2"]);
    }
}
