//! A solution as a person writes it: a question and steps, without the text in which a policy is asked.

use std::sync::Arc;

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
    /// The solution up to each of its steps, the first one first.
    pub fn prefixes(&self) -> impl DoubleEndedIterator<Item = Self> {
        (1..=self.steps.len()).map(|count| Self {
            question: self.question.clone(),
            steps: self.steps[..count].to_vec(),
        })
    }

    /// The prefixes as JSON, which a verifier reads as its contexts.
    ///
    /// # Errors
    /// When one cannot be written as JSON.
    pub fn contexts(&self) -> serde_json::Result<Vec<Arc<str>>> {
        self.prefixes().map(|prefix| Ok(serde_json::to_string(&prefix)?.into())).collect()
    }
}
