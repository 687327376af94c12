//! How a question and the steps of its solution are put to the value net.

use std::sync::Arc;

/// The text before the first step, and what ends a step: as the net was trained on them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    before: String,
    after: String,
    delimiter: String,
}

/// A prompt without a place for the question, or with several.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the prompt {0:?} must hold {{question}} once")]
pub struct TemplateError(String);

impl Template {
    /// `prompt` holds `{question}` where the question stands; `delimiter` ends every step, and its last token is where the value of
    /// the step's end is read.
    ///
    /// # Errors
    /// When `{question}` is not there, or more than once.
    pub fn new(prompt: &str, delimiter: &str) -> Result<Self, TemplateError> {
        match prompt.split("{question}").collect::<Vec<_>>()[..] {
            [before, after] => Ok(Self {
                before: before.to_owned(),
                after: after.to_owned(),
                delimiter: delimiter.to_owned(),
            }),
            _ => Err(TemplateError(prompt.to_owned())),
        }
    }

    /// What the value net reads at the end of each step: the prompt and the steps up to there, each with its delimiter.
    #[must_use]
    pub fn step_ends<S: AsRef<str>>(&self, question: &str, steps: &[S]) -> Vec<Arc<str>> {
        let mut context = format!("{}{question}{}", self.before, self.after);
        let mut contexts = Vec::with_capacity(steps.len());
        for step in steps {
            let step = step.as_ref();
            context.push_str(step.strip_suffix(self.delimiter.as_str()).unwrap_or(step));
            context.push_str(&self.delimiter);
            contexts.push(context.as_str().into());
        }
        contexts
    }
}

#[cfg(test)]
mod tests {
    use super::Template;

    #[test]
    fn contexts_grow_by_steps_with_one_delimiter_each() {
        let template = Template::new("Q: {question}\nA:\n", "\n\n").unwrap();
        let contexts = template.step_ends("1+1 {question}?", &["a", "b\n\n"]);
        let contexts: Vec<&str> = contexts.iter().map(AsRef::as_ref).collect();
        assert_eq!(
            contexts,
            ["Q: 1+1 {question}?\nA:\na\n\n", "Q: 1+1 {question}?\nA:\na\n\nb\n\n"]
        );
        for bad in ["", "question", "{question}{question}"] {
            assert!(Template::new(bad, "\n").unwrap_err().to_string().contains("{question} once"));
        }
    }
}
