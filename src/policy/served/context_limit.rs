//! Whether a server refused a request because its context is too long.

/// What servers write, in lower case: llama.cpp's and OpenAI's codes, then vLLM's, SGLang's and llama.cpp's texts. The model's limit
/// follows each of the texts.
const PHRASES: [&str; 6] = [
    "exceed_context_size_error",
    "context_length_exceeded",
    "available context size",
    "maximum context length",
    "maximum model length",
    "context length",
];

/// Tokens asked for and the model's limit, where the body of a 400 says that they are the matter; 0 for a number that it does not
/// name.
pub(super) fn context_too_long(body: &str) -> Option<(usize, usize)> {
    let body = body.to_lowercase();
    let place = |phrase: &&str| body.find(*phrase).map(|start| start + phrase.len());
    // A code has no number after it that belongs to it.
    let (codes, texts) = PHRASES.split_at(2);
    let text = texts.iter().find_map(place);
    if text.is_none() && !codes.iter().any(|code| body.contains(code)) {
        return None;
    }
    let limit = text.and_then(|end| numbers(&body[end..]).next()).unwrap_or(0);
    let tokens = numbers(&body).max().unwrap_or(0);
    Some((tokens.max(limit), limit))
}

fn numbers(text: &str) -> impl Iterator<Item = usize> {
    text.split(|c: char| !c.is_ascii_digit()).filter_map(|digits| digits.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::context_too_long;

    #[test]
    fn servers_refusals_are_recognised() {
        for (body, expected) in [
            (
                r#"{"error":{"code":400,"message":"request (3001 tokens) exceeds the available context size (1024 tokens), try increasing it","type":"exceed_context_size_error","n_prompt_tokens":3001,"n_ctx":1024}}"#,
                (3001, 1024),
            ),
            (
                "This model's maximum context length is 2048 tokens. However, you requested 2100 tokens (2050 in the messages, 50 in the completion).",
                (2100, 2048),
            ),
            (
                "The decoder prompt (length 3000) is longer than the maximum model length of 2048.",
                (3000, 2048),
            ),
            (
                "The input (3001 tokens) is longer than the model's context length (2048 tokens).",
                (3001, 2048),
            ),
            (r#"{"error":{"code":"context_length_exceeded"}}"#, (0, 0)),
        ] {
            assert_eq!(context_too_long(body), Some(expected), "{body}");
        }
        for other in
            ["", "Field 'n': Value must be between 1 <= value <= 4, but got 9", "ſ context"]
        {
            assert_eq!(context_too_long(other), None, "{other}");
        }
    }
}
