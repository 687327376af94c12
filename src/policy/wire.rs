//! The completions protocol: what is sent, and steps with their log-probabilities from what comes back.
//!
//! Log-probabilities come in two shapes, and both are read:
//!
//! * vLLM and SGLang (OpenAI's completions): `choices[].logprobs.{tokens, token_logprobs}`;
//! * llama.cpp (OpenAI's chat): `choices[].logprobs.content[].{token, bytes, logprob}`.
//!
//! All three drop the delimiter from the text. vLLM and SGLang report the delimiter's tokens with the others, llama.cpp leaves them
//! out. What a server reports is what counts: `log_prob` is the sum over the reported tokens and `tokens` their number, so that a prior
//! is the mean over the same tokens. vLLM and llama.cpp report log-probabilities of the model itself, before temperature and top-p,
//! as [`Proposal::log_prob`] wants them; SGLang divides by the temperature unless it is started with
//! `SGLANG_RETURN_ORIGINAL_LOGPROB=1`.
//!
//! Where no token is reported (llama.cpp, when the delimiter came at once; `logprobs` is then null) the step's probability is
//! estimated by its share of the samples, and counts as one token: read as a sum over nothing it would be certain, and such a step
//! the best of all.

use espalier_search::Proposal;
use serde::{Deserialize, Serialize};

use super::http::Unreadable;

/// The body of a request.
#[derive(Debug, Serialize)]
pub(super) struct CompletionRequest<'a> {
    pub(super) model: &'a str,
    pub(super) prompt: &'a str,
    pub(super) n: usize,
    pub(super) max_tokens: usize,
    pub(super) stop: &'a [String],
    /// How many of the likeliest tokens are reported beside the sampled one; llama.cpp reports none at 0.
    pub(super) logprobs: u8,
    pub(super) seed: u64,
    pub(super) temperature: f32,
    pub(super) top_p: f64,
    pub(super) top_k: i64,
    pub(super) min_p: f64,
}

#[derive(Deserialize)]
struct CompletionResponse {
    choices: Vec<Choice>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default)]
    index: usize,
    text: String,
    logprobs: Option<LogProbs>,
}

#[derive(Deserialize)]
struct LogProbs {
    token_logprobs: Option<Vec<Option<f64>>>,
    content: Option<Vec<Token>>,
}

#[derive(Deserialize)]
struct Token {
    logprob: f64,
}

/// Reads `n` steps, in the order of their index.
pub(super) fn read_completion(
    body: &[u8],
    n: usize,
    stop: &[String],
) -> Result<Vec<Proposal>, Unreadable> {
    let response: CompletionResponse = serde_json::from_slice(body)
        .map_err(|error| Unreadable::Damaged(format!("not a completion: {error}")))?;
    let mut choices = response.choices;
    if choices.len() != n {
        let message = format!(
            "{} choices where n = {n} were asked for (samples_per_request asks for fewer at once)",
            choices.len()
        );
        return Err(Unreadable::Unusable(message));
    }
    choices.sort_by_key(|choice| choice.index);
    let choices: Vec<(String, Option<Vec<f64>>)> = choices
        .into_iter()
        .map(|choice| (choice.text, choice.logprobs.and_then(LogProbs::reported)))
        .collect();
    // A server that reports some tokens has none to report where it reports none.
    let reports = choices.iter().any(|(_, reported)| reported.is_some());
    let mut proposals = Vec::with_capacity(n);
    for (text, reported) in choices {
        if reported.is_none() && !reports && !text.is_empty() {
            let message = "no log-probabilities of the sampled tokens";
            return Err(Unreadable::Unusable(message.to_owned()));
        }
        let reported = reported.unwrap_or_default();
        if let Some(number) = reported.iter().find(|number| number.is_nan() || **number > 1e-3) {
            let message = format!("{number} is no logarithm of a probability");
            return Err(Unreadable::Unusable(message));
        }
        proposals.push(Proposal {
            action: until_stop(text, stop),
            log_prob: reported.iter().sum::<f64>().min(0.0),
            tokens: reported.len(),
        });
    }
    estimate_unreported(&mut proposals);
    Ok(proposals)
}

impl LogProbs {
    /// One number a sampled token, in either shape.
    fn reported(self) -> Option<Vec<f64>> {
        match (self.token_logprobs, self.content) {
            (Some(numbers), _) => numbers.into_iter().collect(),
            (None, Some(tokens)) => Some(tokens.iter().map(|token| token.logprob).collect()),
            (None, None) => None,
        }
    }
}

/// The text before the first delimiter, should a server have kept it.
fn until_stop(mut text: String, stop: &[String]) -> String {
    if let Some(end) = stop.iter().filter_map(|stop| text.find(stop)).min() {
        text.truncate(end);
    }
    text
}

/// Gives steps without reported tokens their share of the samples.
fn estimate_unreported(proposals: &mut [Proposal]) {
    let texts: Vec<String> = proposals.iter().map(|proposal| proposal.action.clone()).collect();
    for proposal in proposals.iter_mut().filter(|proposal| proposal.tokens == 0) {
        let equal = texts.iter().filter(|text| **text == proposal.action).count();
        proposal.log_prob = (equal as f64 / texts.len() as f64).ln();
        proposal.tokens = 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stops() -> Vec<String> {
        vec!["\n".to_owned()]
    }

    fn read(body: &str, n: usize) -> Result<Vec<Proposal>, Unreadable> {
        read_completion(body.as_bytes(), n, &stops())
    }

    #[test]
    fn both_shapes_give_the_same_steps() {
        let vllm = r#"{"choices": [
            {"index": 1, "text": "b", "logprobs": {"tokens": ["b"], "token_logprobs": [-3], "top_logprobs": [{"b": -3}]}},
            {"index": 0, "text": "a b", "logprobs": {"tokens": ["a", " b"], "token_logprobs": [-0.5, -0.25]}}]}"#;
        let llama = r#"{"choices": [
            {"index": 0, "text": "a b", "logprobs": {"content": [
                {"token": "a", "bytes": [97], "logprob": -0.5, "top_logprobs": []},
                {"token": " b", "bytes": [32, 98], "logprob": -0.25}]}},
            {"index": 1, "text": "b", "logprobs": {"content": [{"token": "b", "logprob": -3}]}}]}"#;
        let expected = vec![
            Proposal { action: "a b".into(), log_prob: -0.75, tokens: 2 },
            Proposal { action: "b".into(), log_prob: -3.0, tokens: 1 },
        ];
        assert_eq!(read(vllm, 2).unwrap(), expected);
        assert_eq!(read(llama, 2).unwrap(), expected);
    }

    #[test]
    fn a_step_without_reported_tokens_is_as_likely_as_it_is_frequent() {
        for none in ["null", "{\"content\": []}"] {
            let empty = format!(r#"{{"text": "", "logprobs": {none}}}"#);
            assert_share(&empty);
        }
    }

    fn assert_share(empty: &str) {
        let other = r#"{"text": "x", "logprobs": {"content": [{"logprob": -1}]}}"#;
        let body = format!(r#"{{"choices": [{empty}, {other}, {empty}, {other}, {other}]}}"#);
        let steps = read(&body, 5).unwrap();
        assert_eq!((steps[0].log_prob, steps[0].tokens), (0.4f64.ln(), 1));
        assert_eq!(steps[0], steps[2]);
        assert_eq!((steps[1].log_prob, steps[1].tokens), (-1.0, 1));
    }

    #[test]
    fn a_delimiter_that_was_kept_is_cut_off() {
        let body = r#"{"choices": [{"text": "a\nb", "logprobs": {"token_logprobs": [-1, -1]}}]}"#;
        assert_eq!(read(body, 1).unwrap()[0].action, "a");
    }

    #[test]
    fn bad_answers_are_told_from_damaged_ones() {
        for damaged in ["", "{", "[]", r#"{"choices": [{"logprobs": null}]}"#, "<html>"] {
            assert!(matches!(read(damaged, 1), Err(Unreadable::Damaged(_))), "{damaged}");
        }
        for (unusable, part) in [
            (r#"{"choices": []}"#, "0 choices where n = 1"),
            (r#"{"choices": [{"text": "a"}]}"#, "no log-probabilities"),
            (r#"{"choices": [{"text": "a", "logprobs": null}]}"#, "no log-probabilities"),
            (r#"{"choices": [{"text": "a", "logprobs": {}}]}"#, "no log-probabilities"),
            (
                r#"{"choices": [{"text": "a", "logprobs": {"token_logprobs": [null]}}]}"#,
                "no log-probabilities",
            ),
            (r#"{"choices": [{"text": "a", "logprobs": {"token_logprobs": [0.5]}}]}"#, "0.5"),
        ] {
            let Err(Unreadable::Unusable(message)) = read(unusable, 1) else {
                panic!("{unusable}");
            };
            assert!(message.contains(part), "{message}");
        }
    }
}
