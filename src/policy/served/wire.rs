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
//! Token ids are kept where a search asks for them and they are those of all reported tokens: vLLM's `choices[].token_ids`, which
//! `return_token_ids` asks for. SGLang reports none in this protocol, and llama.cpp none of the delimiter; their steps have log-probabilities and no
//! tokens.
//!
//! Where no token is reported (llama.cpp, when the delimiter came at once; `logprobs` is then null) the step's probability is
//! estimated by its share of the samples, and counts as one token: read as a sum over nothing it would be certain, and such a step
//! the best of all.

use espalier_search::{Action, Proposal, SampledTokens};
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
    /// Asks vLLM for the ids of sampled tokens. Servers that do not know the field need not be sent it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) return_token_ids: bool,
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
    token_ids: Option<Vec<u32>>,
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

/// Reads `n` steps, in the order of their index; `keep_tokens` keeps their token ids where they are reported.
pub(super) fn read_completion(
    body: &[u8],
    n: usize,
    stop: &[String],
    keep_tokens: bool,
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
    let choices: Vec<_> = choices
        .into_iter()
        .map(|Choice { text, logprobs, token_ids, .. }| {
            (text, logprobs.and_then(LogProbs::reported), token_ids.filter(|_| keep_tokens))
        })
        .collect();
    // A server that reports some tokens has none to report where it reports none.
    let reports = choices.iter().any(|(_, reported, _)| reported.is_some());
    let mut proposals = Vec::with_capacity(n);
    for (text, reported, ids) in choices {
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
            action: until_stop(text, stop).into(),
            log_prob: reported.iter().sum::<f64>().min(0.0),
            tokens: reported.len(),
            sampled: ids.and_then(|ids| sampled(ids, &reported)),
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

/// The tokens of a step, if there is an id for each reported log-probability.
fn sampled(ids: Vec<u32>, reported: &[f64]) -> Option<Box<SampledTokens>> {
    let log_probs = reported.iter().map(|&number| number as f32).collect();
    (ids.len() == reported.len() && !ids.is_empty())
        .then(|| Box::new(SampledTokens { ids: ids.into(), log_probs }))
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
    let texts: Vec<Action> = proposals.iter().map(|proposal| proposal.action.clone()).collect();
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
        read_completion(body.as_bytes(), n, &stops(), false)
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
            Proposal { action: "a b".into(), log_prob: -0.75, tokens: 2, sampled: None },
            Proposal { action: "b".into(), log_prob: -3.0, tokens: 1, sampled: None },
        ];
        assert_eq!(read(vllm, 2).unwrap(), expected);
        assert_eq!(read(llama, 2).unwrap(), expected);
    }

    #[test]
    fn token_ids_are_kept_where_they_are_asked_for_and_complete() {
        let body = r#"{"choices": [
            {"index": 0, "text": "a b", "token_ids": [64, 293, 198], "logprobs": {"token_logprobs": [-0.5, -0.25, -1]}},
            {"index": 1, "text": "b", "token_ids": [65], "logprobs": {"token_logprobs": [-3, -1]}},
            {"index": 2, "text": "c", "token_ids": null, "logprobs": {"token_logprobs": [-3]}},
            {"index": 3, "text": "d", "logprobs": {"content": [{"id": 7, "token": "d", "logprob": -3}]}}]}"#;
        let steps = read_completion(body.as_bytes(), 4, &stops(), true).unwrap();
        let sampled = steps[0].sampled.as_deref().unwrap();
        assert_eq!(
            (&*sampled.ids, &*sampled.log_probs),
            (&[64, 293, 198][..], &[-0.5, -0.25, -1.0][..])
        );
        assert_eq!(sampled.log_prob(), steps[0].log_prob);
        // One id for two numbers, none, and a server that leaves the delimiter's out.
        assert!(steps[1..].iter().all(|step| step.sampled.is_none()));
        assert!(read(body, 4).unwrap().iter().all(|step| step.sampled.is_none()));
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
