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
//! as [`espalier_search::Proposal::log_prob`] wants them; SGLang divides by the temperature unless it is started with
//! `SGLANG_RETURN_ORIGINAL_LOGPROB=1`.
//!
//! Token ids are kept where a search asks for them and they are those of all reported tokens: vLLM's `choices[].token_ids`, which
//! `return_token_ids` asks for. SGLang reports none in this protocol, and llama.cpp none of the delimiter; their steps have log-probabilities and no
//! tokens.
//!
//! What is reported may not be a step's own: llama.cpp has one number a character, so that of a character of several tokens only the
//! last one's is there. [`super::log_probs::Mismatch`] says what shows it; a server's own count of tokens does where a request has one sample.
//!
//! Where no log-probability of its own is reported (or none at all, as from llama.cpp when the delimiter came at once; `logprobs` is
//! then null) the step's probability is estimated by its share of the samples, for each token alike: read as a sum over nothing it
//! would be certain, and such a step the best of all.

use serde::{Deserialize, Serialize};

use super::chat::Conversation;
use super::finish::Finish;
use super::http::Unreadable;
use super::log_probs::LogProbs;
use super::step::Step;

/// The body of a request.
#[derive(Debug, Serialize)]
pub(super) struct CompletionRequest<'a> {
    pub(super) model: &'a str,
    #[serde(flatten)]
    pub(super) ask: Ask<'a>,
    pub(super) n: usize,
    pub(super) max_tokens: usize,
    pub(super) stop: &'a [String],
    pub(super) seed: u64,
    pub(super) temperature: f32,
    pub(super) top_p: f64,
    pub(super) top_k: i64,
    pub(super) min_p: f64,
    /// Asks vLLM for the ids of sampled tokens. Servers that do not know the field need not be sent it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) return_token_ids: bool,
}

/// What is continued, with how many of the likeliest tokens are reported beside the sampled one; llama.cpp reports none at 0.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Ask<'a> {
    /// A text.
    Text { prompt: &'a str, logprobs: u8 },
    /// A conversation.
    Chat {
        #[serde(flatten)]
        conversation: Conversation,
        logprobs: bool,
        top_logprobs: u8,
    },
}

#[derive(Deserialize)]
struct CompletionResponse {
    choices: Vec<Choice>,
    usage: Option<Usage>,
}

#[derive(Deserialize)]
pub(super) struct Usage {
    pub prompt_tokens: Option<usize>,
    completion_tokens: Option<usize>,
}

#[derive(Deserialize)]
pub(super) struct Choice {
    #[serde(default)]
    index: usize,
    /// Of a completion.
    text: Option<String>,
    /// Of a chat completion.
    message: Option<Message>,
    finish_reason: Option<String>,
    logprobs: Option<LogProbs>,
    token_ids: Option<Vec<u32>>,
}

#[derive(Deserialize)]
struct Message {
    content: Option<String>,
}

impl Choice {
    /// Its text, whichever protocol it is of.
    pub(super) fn into_text(self) -> Option<String> {
        self.text.or_else(|| self.message?.content)
    }

    fn text(&mut self) -> Result<String, Unreadable> {
        let text = self.text.take().or_else(|| self.message.take()?.content);
        text.ok_or_else(|| Unreadable::Damaged("not a completion: a choice without a text".into()))
    }
}

/// Reads `n` steps, in the order of their index; `keep_tokens` keeps their token ids where they are reported, and `new` says what of a text is
/// new.
pub(super) fn read_completion(
    body: &[u8],
    n: usize,
    stop: &[String],
    keep_tokens: bool,
    new: impl Fn(&str) -> String,
) -> Result<Vec<Step>, Unreadable> {
    let CompletionResponse { choices, usage } = serde_json::from_slice(body)
        .map_err(|error| Unreadable::Damaged(format!("not a completion: {error}")))?;
    let mut read = Vec::with_capacity(choices.len());
    for mut choice in choices {
        let text = new(&choice.text()?);
        let reason = choice.finish_reason.as_deref();
        let finish = Finish::read(reason, &text, stop).ok_or_else(|| {
            let reason = reason.map_or("null".to_owned(), |reason| format!("{reason:?}"));
            Unreadable::Damaged(format!(
                "finish_reason = {reason}: the server gave a text up before its end (its log may say why)"
            ))
        })?;
        read.push((choice, text, finish));
    }
    if read.len() != n {
        let message = format!(
            "{} choices where n = {n} were asked for (policy.samples_per_request asks for fewer at once)",
            read.len()
        );
        return Err(Unreadable::Unusable(message));
    }
    read.sort_by_key(|(choice, ..)| choice.index);
    // Of several samples some servers count the first one's tokens, others all. A server that does not count says 0.
    let counted = usage.and_then(|usage| usage.completion_tokens);
    let counted = counted.filter(|&tokens| n == 1 && tokens > 0);
    let mut reports = false;
    let mut steps = Vec::with_capacity(n);
    for (Choice { logprobs, token_ids, .. }, text, finish) in read {
        let reported = logprobs.and_then(LogProbs::reported);
        reports |= reported.is_some();
        let ids = token_ids.filter(|_| keep_tokens);
        steps.push(Step::read(text, finish, reported.unwrap_or_default(), counted, ids, stop)?);
    }
    // A server that reports some tokens has none to report where it reports none.
    if !reports && steps.iter().any(|step| !step.action.is_empty()) {
        return Err(Unreadable::Unusable("no log-probabilities of the sampled tokens".to_owned()));
    }
    Ok(steps)
}

#[cfg(test)]
mod tests {
    use espalier_search::Proposal;

    use super::*;
    use crate::policy::served::log_probs::Mismatch;
    use crate::policy::served::step::proposals;

    fn stops() -> Vec<String> {
        vec!["\n".to_owned()]
    }

    /// Bodies are shown without what ended their choices, which is a delimiter.
    fn ended(body: &str) -> String {
        body.replace(r#""text":"#, r#""finish_reason": "stop", "text":"#)
    }

    fn read(body: &str, n: usize) -> Result<Vec<Proposal>, Unreadable> {
        read_completion(ended(body).as_bytes(), n, &stops(), false, str::to_owned).map(proposals)
    }

    /// The only step of an answer that counts its tokens.
    fn counted(choice: &str, tokens: usize) -> Step {
        let body =
            format!(r#"{{"choices": [{choice}], "usage": {{"completion_tokens": {tokens}}}}}"#);
        let mut steps =
            read_completion(body.as_bytes(), 1, &stops(), false, str::to_owned).unwrap();
        steps.remove(0)
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
            Proposal {
                action: "a b".into(),
                log_prob: -0.75,
                tokens: 2,
                truncated: false,
                sampled: None,
            },
            Proposal {
                action: "b".into(),
                log_prob: -3.0,
                tokens: 1,
                truncated: false,
                sampled: None,
            },
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
        let steps =
            read_completion(ended(body).as_bytes(), 4, &stops(), true, str::to_owned).unwrap();
        let sampled = steps[0].sampled.as_deref().unwrap();
        assert_eq!(
            (&*sampled.ids, &*sampled.log_probs),
            (&[64, 293, 198][..], &[-0.5, -0.25, -1.0][..])
        );
        assert_eq!(Some(sampled.log_prob()), steps[0].log_prob);
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
    fn log_probabilities_that_are_not_the_step_s_own_are_not_used() {
        let count = |reported, sampled| Some(Mismatch::Count { reported, sampled });
        for (text, finish, numbers, tokens, mismatch) in [
            ("日本", "stop", "-1, -2", 3, None),
            ("日本", "stop", "-1, -2", 2, None),
            ("日本", "stop", "-1, -2", 6, count(2, 6)),
            ("日本", "length", "-1, -2", 3, count(2, 3)),
            ("ab", "stop", "-1, -2", 1, count(2, 1)),
            // A server that does not count.
            ("ab", "stop", "-1, -2", 0, None),
            ("ab", "stop", "", 7, count(0, 7)),
        ] {
            for shape in ["token_logprobs", "content"] {
                let numbers = match shape {
                    "content" => numbers.replace('-', "{\"logprob\": -").replace(',', "},"),
                    _ => numbers.to_owned(),
                };
                let end = if numbers.contains('{') { "}" } else { "" };
                let choice = format!(
                    r#"{{"text": "{text}", "finish_reason": "{finish}", "logprobs": {{"{shape}": [{numbers}{end}]}}}}"#
                );
                let step = counted(&choice, tokens);
                assert_eq!(step.mismatch, mismatch, "{choice} {tokens}");
                let (own, expected) = match mismatch {
                    None => (Some(-3.0), 2),
                    Some(_) => (None, tokens),
                };
                assert_eq!((step.log_prob, step.tokens), (own, expected), "{choice} {tokens}");
            }
        }
    }

    #[test]
    fn half_a_character_is_no_text_and_no_failure() {
        let cut = |text: &str, numbers: &str| {
            format!(r#"{{"text": "{text}", "finish_reason": "length", "logprobs": {numbers}}}"#)
        };
        let step = counted(&cut("\u{fffd}", "null"), 2);
        assert_eq!((step.action.as_str(), step.log_prob, step.tokens), ("", None, 2));
        let step = counted(&cut("😀\u{fffd}", r#"{"content": [{"logprob": -1}]}"#), 5);
        assert_eq!((step.action.as_str(), step.log_prob, step.tokens), ("😀", None, 5));
        // Of several samples nothing is counted.
        let (one, other) = (
            cut("a\u{fffd}", r#"{"content": [{"logprob": -1}]}"#),
            cut("b", r#"{"content": [{"logprob": -1}]}"#),
        );
        let body =
            format!(r#"{{"choices": [{one}, {other}], "usage": {{"completion_tokens": 1}}}}"#);
        let steps = read_completion(body.as_bytes(), 2, &stops(), false, str::to_owned).unwrap();
        assert_eq!(steps[0].mismatch, Some(Mismatch::Cut { reported: 1 }));
        assert_eq!((steps[1].mismatch, steps[1].log_prob), (None, Some(-1.0)));
        // The model's own, in a step that it ended.
        let step =
            counted(&cut("a\u{fffd}", r#"{"token_logprobs": [-1]}"#).replace("length", "stop"), 1);
        assert_eq!((step.action.as_str(), step.log_prob), ("a\u{fffd}", Some(-1.0)));
    }

    #[test]
    fn an_unfinished_text_is_damage() {
        let good =
            r#"{"text": "a", "finish_reason": "stop", "logprobs": {"token_logprobs": [-1]}}"#;
        for (reason, told) in [
            (r#""finish_reason": "abort", "#, "finish_reason = \"abort\""),
            (r#""finish_reason": null, "#, "finish_reason = null"),
            ("", "finish_reason = null"),
        ] {
            let half =
                format!(r#"{{{reason}"text": "a b", "logprobs": {{"token_logprobs": [-1]}}}}"#);
            let body = format!(r#"{{"choices": [{good}, {half}]}}"#);
            let Err(Unreadable::Damaged(message)) =
                read_completion(body.as_bytes(), 2, &stops(), false, str::to_owned)
            else {
                panic!("{body}");
            };
            assert!(message.contains(told), "{message}");
        }
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
