//! A solution as a person writes it: a question and steps, without the text in which a policy is asked.

use serde::{Deserialize, Serialize};

/// A question and the steps of a solution so far.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Written {
    /// The question.
    pub question: String,
    /// Each without what ends it.
    pub steps: Vec<String>,
}
