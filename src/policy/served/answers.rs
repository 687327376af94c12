//! What is made of a server's answer, for whoever has the answer and no server.

use espalier_search::Proposal;

use super::http::Unreadable;
use super::refusal::Refusal;
use super::{context_limit, pooling, step, wire};

/// The steps of an answer to a request for `n` samples that `stop` ends.
///
/// # Errors
/// When it is no completion, or one that cannot be used.
pub fn steps(body: &[u8], n: usize, stop: &[String]) -> Result<Vec<Proposal>, String> {
    wire::read_completion(body, n, stop, true, str::to_owned).map(step::proposals).map_err(told)
}

/// A reward model's number.
///
/// # Errors
/// When there is none.
pub fn value(body: &[u8]) -> Result<f64, String> {
    pooling::last_number(body).map_err(told)
}

/// What a refusal is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused {
    /// Tokens asked for and the model's limit, where these are the matter; 0 for a number that is not named.
    pub context: Option<(usize, usize)>,
    /// Whether it is the number of samples.
    pub samples: bool,
}

/// Reads the body of a refusal, whatever it is.
#[must_use]
pub fn refusal(body: &str) -> Refused {
    Refused {
        context: context_limit::context_too_long(body),
        samples: Refusal::read(body).names_samples(),
    }
}

fn told(unreadable: Unreadable) -> String {
    match unreadable {
        Unreadable::Damaged(cause) | Unreadable::Unusable(cause) => cause,
    }
}
