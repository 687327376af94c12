//! What a server says that its model read.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde::Deserialize;

/// The sum of `usage.prompt_tokens` over answers. Samples of one request share their prompt, which counts once.
#[derive(Debug, Default)]
pub(super) struct PromptTokens {
    sum: AtomicU64,
    /// Whether an answer did not say.
    unknown: AtomicBool,
}

#[derive(Deserialize)]
struct Answer {
    usage: Option<Usage>,
}

#[derive(Deserialize)]
struct Usage {
    prompt_tokens: Option<u64>,
}

impl PromptTokens {
    /// Adds an answer's.
    pub fn add(&self, answer: &[u8]) {
        let answer: Option<Answer> = serde_json::from_slice(answer).ok();
        // A server that does not count says 0, or nothing. Relaxed: read when those who add have answered.
        match answer.and_then(|answer| answer.usage?.prompt_tokens) {
            Some(tokens @ 1..) => _ = self.sum.fetch_add(tokens, Ordering::Relaxed),
            Some(0) | None => self.unknown.store(true, Ordering::Relaxed),
        }
    }

    /// All so far; `None` where an answer did not say.
    pub fn count(&self) -> Option<u64> {
        let known = !self.unknown.load(Ordering::Relaxed);
        known.then(|| self.sum.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::PromptTokens;

    #[test]
    fn a_sum_is_known_while_every_answer_says_its_part() {
        let read = PromptTokens::default();
        assert_eq!(read.count(), Some(0));
        read.add(br#"{"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 2}}"#);
        read.add(br#"{"data": [[0.5]], "usage": {"prompt_tokens": 5}}"#);
        assert_eq!(read.count(), Some(12));
        read.add(br#"{"choices": [], "usage": {"prompt_tokens": 0}}"#);
        assert_eq!(read.count(), None);
    }
}
