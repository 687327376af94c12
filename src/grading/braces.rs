//! Braces as LaTeX has them.

/// The content of the braces that the text begins with, and the length with them; an escaped brace is a sign like others.
pub fn braced(text: &str) -> Option<(&str, usize)> {
    if !text.starts_with('{') {
        return None;
    }
    let (mut depth, mut escaped) = (0_usize, false);
    for (index, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'{' => depth += 1,
            b'}' => {
                depth -= 1;
                if depth == 0 {
                    return Some((&text[1..index], index + 1));
                }
            }
            _ => {}
        }
    }
    None
}
