//! A policy's limits that were met, told with their numbers: contexts that it cannot read, and steps that it does not end.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use espalier_search::{Cancel, Evaluation, Evaluator, EvaluatorError, Request};

/// An evaluator that notes where its policy's limits were met.
pub struct LimitWatch<'a> {
    inner: &'a dyn Evaluator,
    /// Of the longest context that could not be read, its tokens and the policy's limit; 0 where a server does not say.
    longest: Mutex<Option<(usize, usize)>>,
    /// Tokens of the longest step that was cut off; 0 where none was.
    longest_step: AtomicUsize,
}

impl<'a> LimitWatch<'a> {
    /// Watches over an evaluator.
    #[must_use]
    pub fn new(inner: &'a dyn Evaluator) -> Self {
        Self { inner, longest: Mutex::new(None), longest_step: AtomicUsize::new(0) }
    }

    /// What context was too long, to stand behind a count of problems.
    #[must_use]
    pub fn context(&self) -> String {
        match *self.longest.lock().unwrap_or_else(PoisonError::into_inner) {
            Some((tokens @ 1.., limit @ 1..)) => {
                format!(
                    "up to {tokens} tokens with room for a step, where the policy reads {limit}"
                )
            }
            _ => "the policy refuses their length".to_owned(),
        }
    }

    /// Warns of so many steps that were cut off, if any were.
    pub fn warn_of_steps(&self, truncated: usize) {
        if truncated > 0 {
            tracing::warn!("{}", self.steps(truncated));
        }
    }

    fn steps(&self, truncated: usize) -> String {
        // Relaxed: a maximum, read when those who raise it have answered.
        let limit = match self.longest_step.load(Ordering::Relaxed) {
            0 => String::new(),
            tokens => format!(" of {tokens} tokens"),
        };
        format!(
            "{truncated} steps were cut off at the policy's limit{limit} before they had ended, and taken as they were: \
             policy.max_step_tokens (of a served policy policy.max_tokens) allows longer ones"
        )
    }
}

impl Evaluator for LimitWatch<'_> {
    fn evaluate(
        &self,
        requests: &[Request],
        cancel: &Cancel,
    ) -> Vec<Result<Evaluation, EvaluatorError>> {
        let answers = self.inner.evaluate(requests, cancel);
        for answer in &answers {
            match answer {
                Ok(evaluation) => {
                    let truncated = evaluation.proposals.iter().filter(|step| step.truncated);
                    let longest = truncated.map(|step| step.tokens).max().unwrap_or(0);
                    self.longest_step.fetch_max(longest, Ordering::Relaxed);
                }
                Err(EvaluatorError::ContextTooLong { tokens, limit }) => {
                    let mut longest = self.longest.lock().unwrap_or_else(PoisonError::into_inner);
                    *longest = (*longest).max(Some((*tokens, *limit)));
                }
                Err(_) => {}
            }
        }
        answers
    }

    fn tokens_read(&self) -> Option<u64> {
        self.inner.tokens_read()
    }
}

#[cfg(test)]
mod tests {
    use espalier_search::Proposal;
    use espalier_search::testing::Answering;

    use super::*;

    #[test]
    fn the_longest_context_is_told_with_the_limit() {
        // Reads four bytes.
        let answer = |request: &Request| match request.context.len() {
            tokens if tokens > 4 => Err(EvaluatorError::ContextTooLong { tokens, limit: 4 }),
            _ => Ok(Evaluation { proposals: Vec::new(), value: 0.0 }),
        };
        let short =
            Answering(|requests: &[Request], _: &Cancel| requests.iter().map(answer).collect());
        let watch = LimitWatch::new(&short);
        let ask = |texts: &[&str]| {
            let requests: Vec<Request> =
                texts.iter().map(|text| Request::value((*text).into())).collect();
            watch.evaluate(&requests, &Cancel::new()).iter().filter(|answer| answer.is_ok()).count()
        };
        assert_eq!(ask(&["abc"]), 1);
        assert_eq!(watch.context(), "the policy refuses their length");
        assert_eq!(ask(&["abcdef", "abc", "abcde"]), 1);
        assert_eq!(
            watch.context(),
            "up to 6 tokens with room for a step, where the policy reads 4"
        );
    }

    #[test]
    fn the_limit_of_steps_is_that_of_the_longest_that_was_cut_off() {
        // A step of so many tokens as the context has bytes, cut off but for the shortest.
        let answer = |request: &Request| {
            let tokens = request.context.len();
            let step = Proposal {
                action: "a".into(),
                log_prob: -1.0,
                tokens,
                truncated: tokens > 1,
                sampled: None,
            };
            Ok(Evaluation { proposals: vec![step], value: 0.0 })
        };
        let policy =
            Answering(|requests: &[Request], _: &Cancel| requests.iter().map(answer).collect());
        let watch = LimitWatch::new(&policy);
        let ask = |text: &str| {
            let request = Request::steps(text.into(), 1, 1.0, 0);
            watch.evaluate(&[request], &Cancel::new());
        };
        ask("a");
        assert!(watch.steps(3).starts_with("3 steps were cut off at the policy's limit before"));
        ask("abcd");
        ask("ab");
        let told = watch.steps(3);
        for part in ["limit of 4 tokens", "policy.max_step_tokens", "policy.max_tokens"] {
            assert!(told.contains(part), "{told}");
        }
    }
}
