//! From what a worker reports to what the policy reads.

use std::time::Duration;

/// The observation in `text`: no line ends at its end, no memory addresses, at most `most` characters and the mark of the cut.
pub(super) fn observation(text: &str, most: usize) -> String {
    let text = without_addresses(text.trim_end_matches(['\n', '\r']));
    let half = most / 2;
    if text.chars().nth(most).is_none() {
        return text;
    }
    // AlphaMath's own form: the first half, the mark, the last half.
    let head: String = text.chars().take(half).collect();
    let tail = text.char_indices().rev().nth(half.saturating_sub(1)).map_or(0, |(at, _)| at);
    format!("{head}...{}", &text[tail..])
}

/// What is observed of a step that was stopped at its time limit.
pub(super) fn late(timeout: Duration) -> String {
    format!("TimeoutError: ran longer than {} s", timeout.as_secs_f64())
}

/// ` at 0x7f3a...` in the form of an object's default representation differs from run to run.
fn without_addresses(text: &str) -> String {
    const MARK: &str = " at 0x";
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(MARK) {
        let (before, after) = rest.split_at(at + MARK.len());
        out.push_str(before);
        let digits = after.bytes().take_while(u8::is_ascii_hexdigit).count();
        out.push_str(if digits > 0 { "0" } else { "" });
        rest = &after[digits..];
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_output_keeps_its_two_ends() {
        assert_eq!(observation(&"x".repeat(500), 500), "x".repeat(500));
        let long = format!("{}{}", "a".repeat(400), "b".repeat(400));
        assert_eq!(observation(&long, 500), format!("{}...{}", "a".repeat(250), "b".repeat(250)));
        assert_eq!(observation("äöüäöüäöüäöü\n\n", 10), "äöüäö...üäöü".replace("...ü", "...öü"));
    }

    #[test]
    fn addresses_are_not_told() {
        let text = "<function f at 0x7f00dead> at 0x, at 0xg";
        assert_eq!(observation(text, 500), "<function f at 0x0> at 0x, at 0xg");
    }
}
