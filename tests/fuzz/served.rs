//! What servers answer: completions, values of reward models, and refusals.

use espalier::policy::answers;

use crate::harness::fuzz;
use crate::mutate::json::Json;

const COMPLETIONS: &str = r##"[
    {"choices": [{"index": 1, "text": "b", "finish_reason": "stop", "token_ids": [4, 5], "logprobs": {"tokens": ["b", "\n"],
        "token_logprobs": [-3, -0.5], "top_logprobs": [{"b": -3}]}}, {"index": 0, "text": "a b", "finish_reason": "length",
        "logprobs": {"tokens": ["a", " b"], "token_logprobs": [-0.5, -0.25]}}], "usage": {"completion_tokens": 4}},
    {"choices": [{"index": 0, "text": "日本", "finish_reason": "stop", "logprobs": {"content": [{"token": "a", "bytes": [97],
        "logprob": -0.5, "top_logprobs": []}, {"token": " b", "bytes": [32, 98], "logprob": -0.25}]}},
        {"index": 1, "text": "", "finish_reason": "stop", "logprobs": null}], "usage": {"completion_tokens": 2}}
]"##;
const POOLED: &str = r##"[
    {"object": "list", "data": [{"index": 0, "object": "pooling", "data": [[0.9, 0.1], [0.2, 0.8]]}], "usage": {}},
    {"data": [{"data": [0.25]}]}
]"##;
const REFUSALS: &str = r##"[
    {"error": {"message": "This model's maximum context length is 2048 tokens. However, you requested 2100 tokens (2050 in the messages, 50 in the completion).",
        "type": "BadRequestError", "param": "prompt", "code": 400}},
    {"error": {"code": 400, "message": "request (3001 tokens) exceeds the available context size (1024 tokens), try increasing it",
        "type": "exceed_context_size_error", "n_prompt_tokens": 3001, "n_ctx": 1024}},
    {"error": "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. Given: 4090 `inputs` tokens and 100 `max_new_tokens`",
        "error_type": "validation"},
    {"object": "error", "message": "max_tokens must be at least 1, got -12. (parameter=max_tokens, value=-12)", "param": "max_tokens"},
    {"detail": "n must be at most 4"}
]"##;

#[test]
fn server_bodies() {
    let seeds = [COMPLETIONS, POOLED, REFUSALS];
    let seeds = seeds.map(|texts| Json::of(serde_json::from_str(texts).unwrap()));
    let stop = ["\n".to_owned()];
    fuzz(
        "server bodies",
        // The first byte tells what is answered.
        |random| {
            let which = random.below(seeds.len());
            [vec![which as u8], seeds[which].changed(random)].concat()
        },
        |input| {
            let Some((which, body)) = input.split_first() else { return false };
            let read = match which {
                0 => answers::steps(body, 2, &stop).map(drop),
                1 => answers::value(body).map(drop),
                _ => {
                    _ = answers::refusal(&String::from_utf8_lossy(body));
                    serde_json::from_slice::<serde::de::IgnoredAny>(body)
                        .map(drop)
                        .map_err(|error| error.to_string())
                }
            };
            read.map_or_else(|error| !error.contains(" column "), |()| true)
        },
    );
}
