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

impl Written {
    /// Of a context whose first line is the question and whose other lines are the steps.
    #[must_use]
    pub fn of_lines(context: &str) -> Self {
        let mut lines = context.lines();
        let question = lines.next().unwrap_or_default().to_owned();
        Self { question, steps: lines.map(str::to_owned).collect() }
    }
}
