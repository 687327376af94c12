//! What can go wrong between a search and a served policy.

use espalier_search::EvaluatorError;

use super::context_limit::context_too_long;
use super::refusal::Refusal;

/// Why a server's answer did not come. Every message names the address; what the server wrote is quoted without the API key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(in crate::policy) enum HttpError {
    /// The caller no longer waits for the answer.
    #[error("POST {url}: cancelled")]
    Cancelled {
        /// The address.
        url: String,
    },
    /// An answer that is no success.
    #[error("POST {url}: status {status}{}: {excerpt}", after(*tries))]
    Status {
        /// The address.
        url: String,
        /// The status code.
        status: u16,
        /// The beginning of the answer.
        excerpt: String,
        /// All of it.
        body: String,
        /// How often it was sent.
        tries: u32,
    },
    /// No answer.
    #[error("POST {url}{}: {cause}", after(*tries))]
    Transport {
        /// The address.
        url: String,
        /// What the connection said.
        cause: String,
        /// How often it was sent.
        tries: u32,
    },
    /// An answer that says success and is not what it should be.
    #[error("POST {url}{}: {cause}: {excerpt}", after(*tries))]
    Unreadable {
        /// The address.
        url: String,
        /// What is wrong with it.
        cause: String,
        /// The beginning of the answer.
        excerpt: String,
        /// How often it was sent.
        tries: u32,
    },
}

/// The error as a search sees it: a context that the model cannot read ends a path, a cancellation stays one, anything else
/// fails the search.
impl From<HttpError> for EvaluatorError {
    fn from(error: HttpError) -> Self {
        if let HttpError::Status { status: 400 | 413 | 422, body, .. } = &error
            && let Some((tokens, limit)) = context_too_long(body)
        {
            return Self::ContextTooLong { tokens, limit };
        }
        match error {
            HttpError::Cancelled { .. } => Self::Cancelled,
            error => Self::Failed(error.to_string()),
        }
    }
}

impl HttpError {
    /// The error of a request for `n` samples, as a search sees it: says what to set where the server takes no such number.
    pub(super) fn of_samples(self, n: usize) -> EvaluatorError {
        let refused = matches!(&self, Self::Status { status: 400 | 422, body, .. }
            if n > 1 && Refusal::read(body).names_samples());
        match EvaluatorError::from(self) {
            EvaluatorError::Failed(message) if refused => EvaluatorError::Failed(format!(
                "{message}; {n} samples were asked for at once: set policy.samples_per_request to as many as the server takes \
                 (llama.cpp: its slots, --parallel)"
            )),
            error => error,
        }
    }
}

fn after(tries: u32) -> String {
    if tries > 1 { format!(" after {tries} tries") } else { String::new() }
}
