//! Whether a server refused a request because its context is too long.
//!
//! Wrongly read as too long, a refused parameter would end every path in silence; wrongly read as an error, a long path would end its
//! problem's search. So a refusal counts as "too long"
//!
//! 1. in the words of a known server;
//! 2. by a code of its own, such as `context_length_exceeded`;
//! 3. in other words only if all of this holds: the kind of error is a bad request's; what its message names first is the prompt and
//!    no parameter of the request; it speaks of tokens or a length, and of too many; and it has two different numbers.

use super::refusal::Refusal;

/// What known servers write, in lower case: pieces in their order, after which the model's limit follows.
const TEXTS: [&[&str]; 7] = [
    &["available context size"],                   // llama.cpp
    &["maximum context length"],                   // OpenAI, vLLM
    &["maximum model length"],                     // vLLM
    &["context length"],                           // SGLang, Ollama
    &["input length", "maximum allowed length"],   // SGLang
    &["`inputs` tokens + `max_new_tokens`", "<="], // TGI
    &["`inputs` must have less than"],             // TGI
];
/// vLLM, where the context leaves no room for a step: what is asked for is at least 1, so that a smaller number is the room.
const NO_ROOM: &str = "max_tokens must be at least 1, got ";

/// Pieces of the kinds of error that a bad request has.
const BAD_REQUEST: [&str; 6] = [
    "invalid_request",
    "bad_request",
    "badrequest",
    "invalid_argument",
    "validation",
    "value_error",
];
/// What the policy reads.
const CONTEXT: [&str; 11] = [
    "prompt",
    "prompts",
    "input",
    "inputs",
    "context",
    "messages",
    "prompt_tokens",
    "input_tokens",
    "prompt_length",
    "input_length",
    "context_length",
];
/// What else a request can be refused for.
const PARAMETERS: [&str; 22] = [
    "max_tokens",
    "max_new_tokens",
    "max_completion_tokens",
    "min_tokens",
    "n",
    "n_cmpl",
    "best_of",
    "logprobs",
    "top_logprobs",
    "prompt_logprobs",
    "top_k",
    "top_p",
    "min_p",
    "temperature",
    "seed",
    "stop",
    "suffix",
    "echo",
    "logit_bias",
    "truncate",
    "truncate_prompt_tokens",
    "return_token_ids",
];
const SIZES: [&str; 5] = ["token", "tokens", "length", "long", "window"];
const EXCESS: [&str; 13] = [
    "exceed",
    "too long",
    "too large",
    "too many",
    "longer than",
    "larger than",
    "greater than",
    "more than",
    "less than",
    "at most",
    "maximum",
    "limit",
    "<=",
];
/// Words of refusals of the prompt for what it says.
const CONTENT: [&str; 2] = ["vocabulary", "vocab"];

/// Tokens asked for and the model's limit, where the body of a refusal says that they are the matter; 0 for a number that it does not
/// name.
pub(super) fn context_too_long(body: &str) -> Option<(usize, usize)> {
    let refusal = Refusal::read(body);
    let message = refusal.message.as_str();
    if let Some(end) = TEXTS.iter().find_map(|pieces| end_of(message, pieces)) {
        return Some(sizes_after(message, end));
    }
    if let Some(end) = end_of(message, &[NO_ROOM])
        && message[end..].starts_with(['-', '0'])
    {
        return Some((0, 0));
    }
    (has_own_code(&refusal) || is_told_in_other_words(&refusal)).then(|| largest_two(message))
}

/// The place behind the last of the pieces, which stand in their order.
fn end_of(message: &str, pieces: &[&str]) -> Option<usize> {
    pieces.iter().try_fold(0, |from, piece| Some(from + message[from..].find(piece)? + piece.len()))
}

/// The limit is the first number behind a place. The tokens are the largest number, or where the limit is that, the sum of the
/// numbers behind it: its parts.
fn sizes_after(message: &str, end: usize) -> (usize, usize) {
    let mut behind = numbers(&message[end..]);
    let limit = behind.next().unwrap_or(0);
    let largest = numbers(message).max().unwrap_or(0);
    let tokens = if largest > limit { largest } else { behind.fold(0, usize::saturating_add) };
    (tokens.max(limit), limit)
}

fn has_own_code(refusal: &Refusal) -> bool {
    let subject = |code: &str| ["context", "prompt", "input"].iter().any(|it| code.contains(it));
    let excess =
        |code: &str| ["exceed", "too_long", "too_large"].iter().any(|it| code.contains(it));
    refusal.codes.iter().any(|code| subject(code) && excess(code))
}

fn is_told_in_other_words(refusal: &Refusal) -> bool {
    let message = refusal.message.as_str();
    let bad_request =
        refusal.codes.iter().any(|code| BAD_REQUEST.iter().any(|kind| code.contains(kind)));
    let parameter =
        refusal.parameter.as_deref().is_some_and(|parameter| PARAMETERS.contains(&parameter));
    // TGI begins every message so.
    let heading = message.strip_prefix("input validation error").map_or(0, |_| 3);
    let words = || refusal.words().skip(heading);
    let first = words().find(|word| CONTEXT.contains(word) || PARAMETERS.contains(word));
    bad_request
        && !parameter
        && first.is_some_and(|word| CONTEXT.contains(&word))
        && words().any(|word| SIZES.contains(&word))
        && !words().any(|word| CONTENT.contains(&word))
        && EXCESS.iter().any(|excess| message.contains(excess))
        && largest_two(message).1 > 0
}

/// The two largest different numbers, 0 for those that there are not.
fn largest_two(message: &str) -> (usize, usize) {
    let largest = numbers(message).max().unwrap_or(0);
    (largest, numbers(message).filter(|&number| number < largest).max().unwrap_or(0))
}

fn numbers(text: &str) -> impl Iterator<Item = usize> {
    text.split(|c: char| !c.is_ascii_digit()).filter_map(|digits| digits.parse().ok())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::context_too_long;

    #[test]
    fn known_servers_refusals_are_recognised() {
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
            // The status is no size.
            (
                r#"{"object":"error","message":"Input length (76 tokens) exceeds the maximum allowed length (59 tokens). Use a shorter input.","type":"BadRequestError","code":400}"#,
                (76, 59),
            ),
            ("Input length (76 tokens) exceeds the maximum allowed length (59 tokens)", (76, 59)),
            (
                r#"{"error":{"message":"max_tokens must be at least 1, got -12. (parameter=max_tokens, value=-12)","type":"BadRequestError","param":"max_tokens","code":400}}"#,
                (0, 0),
            ),
            ("max_tokens must be at least 1, got 0.", (0, 0)),
            (
                r#"{"error":"Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. Given: 4090 `inputs` tokens and 100 `max_new_tokens`","error_type":"validation"}"#,
                (4190, 4096),
            ),
            (
                r#"{"error":"Input validation error: `inputs` must have less than 1024 tokens. Given: 2000","error_type":"validation"}"#,
                (2000, 1024),
            ),
            (r#"{"error":{"code":"context_length_exceeded"}}"#, (0, 0)),
        ] {
            assert_eq!(context_too_long(body), Some(expected), "{body}");
        }
    }

    #[test]
    fn others_are_recognised_by_their_kind_and_what_they_speak_of() {
        for (kind, message, expected) in [
            ("context_window_exceeded", "shorten it", (0, 0)),
            ("prompt_too_long", "9000 is over 8192", (9000, 8192)),
            (
                "invalid_request_error",
                "prompt is too long: 2100 tokens > 2048 maximum",
                (2100, 2048),
            ),
            (
                "BadRequestError",
                "Prompt length 3000 is greater than max_seq_len 2048",
                (3000, 2048),
            ),
            (
                "invalid_request_error",
                "Requested tokens (3001) exceed context window of 2048",
                (3001, 2048),
            ),
            (
                "BadRequestError",
                "The sum of prompt length (3000) and max_tokens (24) should not exceed max_num_tokens (2048)",
                (3000, 2048),
            ),
            (
                "INVALID_ARGUMENT",
                "The input token count (40000) exceeds the maximum number of tokens allowed (32768).",
                (40_000, 32_768),
            ),
            (
                "Validation",
                "Input validation error: the prompt has 70 tokens, at most 64 fit",
                (70, 64),
            ),
        ] {
            for body in [
                json!({ "error": { "message": message, "type": kind } }),
                json!({ "error": { "message": message, "code": kind, "param": "prompt" } }),
                json!({ "message": message, "type": kind, "param": null, "code": 400 }),
                json!({ "error": message, "error_type": kind }),
            ] {
                assert_eq!(context_too_long(&body.to_string()), Some(expected), "{body}");
            }
        }
    }

    #[test]
    fn other_refusals_stay_errors() {
        for message in [
            "",
            "\u{17f} context",
            "bad request",
            "Field 'n': Value must be between 1 <= value <= 4, but got 9",
            "max_tokens must be at least 1, got 9: 10 tokens of input",
            "max_tokens must be at most 4096 tokens of the context, got 5000",
            "Input validation error: `max_new_tokens` must be <= 512. Given: 600",
            "Input validation error: `top_k` must be <= 64 tokens. Given: 100",
            "Input validation error: `stop` supports at most 4 sequences of a length of 16, given 5",
            "Requested prompt logprobs of 25, which is greater than max allowed: 20",
            "logprobs of prompt tokens: at most 20, got 25",
            "top_k (100) exceeds the number of tokens that the input allows, 64",
            "truncate_prompt_tokens (3000) cannot be greater than the maximum input of 2048 tokens",
            "The prompt must have at least 2 tokens, got 1",
            "The prompt has a token id larger than the vocabulary: 50000 > 32000",
            "The prompt must be a string",
            "The prompt is too long",
            "The model `m-7b` of 4096 tokens does not exist; at most 3 are loaded",
            "temperature 3 exceeds 2, the limit for inputs of this length",
        ] {
            for kind in ["invalid_request_error", "BadRequestError", "validation"] {
                for body in [
                    json!({ "error": { "message": message, "type": kind, "code": 400 } }),
                    json!({ "error": message, "error_type": kind }),
                ] {
                    assert_eq!(context_too_long(&body.to_string()), None, "{body}");
                }
            }
            assert_eq!(context_too_long(message), None, "{message}");
        }
        // The kind of error, and the parameter that a server names, are heard.
        let long = "prompt is too long: 2100 tokens > 2048 maximum";
        for body in [
            json!({ "message": long }),
            json!({ "message": long, "type": "authentication_error" }),
            json!({ "message": long, "type": "invalid_request_error", "param": "max_tokens" }),
        ] {
            assert_eq!(context_too_long(&body.to_string()), None, "{body}");
        }
    }
}
