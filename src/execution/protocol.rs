//! Requests to workers and their answers.

#[cfg(feature = "cpython")]
use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use super::Outcome;
#[cfg(feature = "cpython")]
use super::state::{Snippet, next_id};

/// A step to run.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Request {
    /// Steps before it, the first first. With a blob, those after the state in it.
    pub path: Vec<Earlier>,
    /// Names the state that it leaves.
    pub id: u64,
    pub code: String,
    /// Longest run of each step, in seconds.
    pub timeout: f64,
    /// Length of the blob that follows.
    pub blob: usize,
}

#[cfg(feature = "cpython")]
impl Request {
    /// Asks for `code` after the steps of `path`.
    pub fn new(path: &[Arc<Snippet>], code: &str, timeout: Duration) -> Self {
        let earlier =
            |snippet: &Arc<Snippet>| Earlier { id: snippet.id, code: snippet.code.clone() };
        Self {
            path: path.iter().map(earlier).collect(),
            id: next_id(),
            code: code.to_owned(),
            timeout: timeout.as_secs_f64(),
            blob: 0,
        }
    }
}

/// A step of the path.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Earlier {
    pub id: u64,
    pub code: String,
}

/// The outcome.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Answer {
    pub outcome: Outcome,
    pub observation: String,
    pub seconds: f64,
    /// Whether the interpreter ended with the step.
    #[serde(default)]
    pub lost: bool,
    /// Length of the blob that follows.
    #[serde(default)]
    pub blob: usize,
}
