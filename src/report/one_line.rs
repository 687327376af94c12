//! Any text on one line of a terminal.

use unicode_width::UnicodeWidthStr;

/// The text with line breaks and other unprintable characters as escapes (`\n`, `\u{1b}`), cut with an ellipsis where it
/// would exceed `width` characters.
#[must_use]
pub fn one_line(text: &str, width: usize) -> String {
    // One more than fits tells whether the text has to be cut.
    let mut line: Vec<char> = visible(text).take(width + 1).collect();
    if line.len() > width {
        line.truncate(width.saturating_sub(1));
        line.push('…');
    }
    line.into_iter().collect()
}

/// As [`one_line`], but whole: what names something is not cut, for others may begin alike.
#[must_use]
pub fn whole_line(text: &str) -> String {
    visible(text).collect()
}

/// Cells of a terminal that a line takes; East Asian characters take two.
#[must_use]
pub fn width_of(line: &str) -> usize {
    UnicodeWidthStr::width(line)
}

/// A line, cut with an ellipsis where it would take more cells.
#[must_use]
pub fn cut(line: &str, cells: usize) -> String {
    if width_of(line) <= cells {
        return line.to_owned();
    }
    let Some(room) = cells.checked_sub(1) else { return String::new() };
    let mut shown = String::new();
    for character in line.chars() {
        shown.push(character);
        if width_of(&shown) > room {
            shown.pop();
            break;
        }
    }
    shown.push('…');
    shown
}

fn visible(text: &str) -> impl Iterator<Item = char> {
    text.chars().flat_map(|character| {
        // Quotes are harmless here, and math is full of primes.
        let plain = matches!(character, '"' | '\'').then_some(character);
        let escaped = plain.is_none().then(|| character.escape_debug());
        plain.into_iter().chain(escaped.into_iter().flatten())
    })
}

#[cfg(test)]
mod tests {
    use super::{cut, one_line, whole_line, width_of};

    #[test]
    fn nothing_moves_the_cursor_and_nothing_is_too_long() {
        assert_eq!(one_line("5 + 3 = 8\n", 60), r"5 + 3 = 8\n");
        assert_eq!(one_line("\u{1b}[2J f'(\"x\")", 60), "\\u{1b}[2J f'(\"x\")");
        assert_eq!(one_line("é×4", 3), "é×4");
        assert_eq!(one_line("abcd", 3), "ab…");
        assert_eq!(whole_line(&"a\n".repeat(40)), r"a\n".repeat(40));
    }

    #[test]
    fn wide_characters_take_two_cells() {
        assert_eq!((width_of("3×4 …"), width_of("三乘四")), (5, 6));
        let cuts = [6, 5, 4, 1, 0].map(|cells| cut("三乘四", cells));
        assert_eq!(cuts, ["三乘四", "三乘…", "三…", "…", ""]);
    }
}
