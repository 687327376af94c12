//! Contexts that a policy cannot read, told with their numbers.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use espalier_search::{Cancel, Evaluation, Evaluator, EvaluatorError, Request};

/// An evaluator that notes the longest context which its policy could not read.
pub struct ContextWatch<'a> {
    inner: &'a dyn Evaluator,
    /// Its tokens and the policy's limit; 0 where a server does not say.
    longest: Mutex<Option<(usize, usize)>>,
}

impl<'a> ContextWatch<'a> {
    /// Watches over an evaluator.
    #[must_use]
    pub fn new(inner: &'a dyn Evaluator) -> Self {
        Self { inner, longest: Mutex::new(None) }
    }
}

impl Evaluator for ContextWatch<'_> {
    fn evaluate(
        &self,
        requests: &[Request],
        cancel: &Cancel,
    ) -> Vec<Result<Evaluation, EvaluatorError>> {
        let answers = self.inner.evaluate(requests, cancel);
        for answer in &answers {
            if let Err(EvaluatorError::ContextTooLong { tokens, limit }) = answer {
                let mut longest = self.longest.lock().unwrap_or_else(PoisonError::into_inner);
                *longest = (*longest).max(Some((*tokens, *limit)));
            }
        }
        answers
    }
}

/// What was too long, to stand in brackets behind a count of problems.
impl fmt::Display for ContextWatch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self.longest.lock().unwrap_or_else(PoisonError::into_inner) {
            Some((tokens @ 1.., limit @ 1..)) => write!(
                f,
                "up to {tokens} tokens with room for a step, where the policy reads {limit}"
            ),
            _ => f.write_str("the policy refuses their length"),
        }
    }
}

#[cfg(test)]
mod tests {
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
        let watch = ContextWatch::new(&short);
        let ask = |texts: &[&str]| {
            let requests: Vec<Request> =
                texts.iter().map(|text| Request::value((*text).into())).collect();
            watch.evaluate(&requests, &Cancel::new()).iter().filter(|answer| answer.is_ok()).count()
        };
        assert_eq!(ask(&["abc"]), 1);
        assert_eq!(watch.to_string(), "the policy refuses their length");
        assert_eq!(ask(&["abcdef", "abc", "abcde"]), 1);
        assert_eq!(
            watch.to_string(),
            "up to 6 tokens with room for a step, where the policy reads 4"
        );
    }
}
