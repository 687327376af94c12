//! The text in which a question and the steps of its solution are put to the value net.

use std::sync::Arc;

use anyhow::{Context, Result, anyhow};
use espalier_search::Environment;

use crate::environment::program::next_question;
use crate::environment::{AnyEnvironment, Written};

/// The text before the first step and the ends of steps. The net was trained on those of its environment
/// ([`Template::of_environment`]); both can be replaced.
pub struct Template<'a> {
    prompt: Prompt<'a>,
    /// Ends each step but the last.
    step_end: String,
    /// Ends the last step.
    last_end: String,
    next_question: Option<String>,
    /// Whether the text is none of ours: the solution itself, for a judge that writes its own.
    written: bool,
}

/// Makes the text before the first step from the question.
type Prompt<'a> = Box<dyn Fn(&str) -> Result<String> + 'a>;

/// A prompt without a place for the question, or with several.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the prompt {0:?} must hold {{question}} once")]
pub struct TemplateError(String);

impl<'a> Template<'a> {
    /// The text that an environment's nets are trained on. Where that is no fixed prompt, a question is read as a problem that a user
    /// types.
    #[must_use]
    pub fn of_environment(environment: &'a AnyEnvironment) -> Self {
        let [step_end, last_end] = environment.step_ends().map(str::to_owned);
        let prompt = |question: &str| {
            if let Some(prompt) = environment.training_prompt(question)? {
                return Ok(prompt);
            }
            let problem = environment.read_problem(question).map_err(|message| anyhow!(message));
            let root = problem.and_then(|problem| Ok(environment.root(&problem)?));
            let root = root.context(
                "the recipe's environment does not read it: name the recipe of the net (--config), or write --prompt",
            )?;
            Ok(environment.context(&root).to_owned())
        };
        let next_question = environment.next_question();
        let prompt = Box::new(prompt);
        Self { prompt, step_end, last_end, next_question, written: false }
    }

    /// The same with another prompt, in which `{question}` stands for the question.
    ///
    /// # Errors
    /// When `{question}` is not there, or more than once.
    pub fn with_prompt(self, prompt: &str) -> Result<Self, TemplateError> {
        let next_question = next_question(prompt);
        match prompt.split("{question}").collect::<Vec<_>>()[..] {
            [before, after] => {
                let (before, after) = (before.to_owned(), after.to_owned());
                let prompt = move |question: &str| Ok(format!("{before}{question}{after}"));
                Ok(Self { prompt: Box::new(prompt), next_question, ..self })
            }
            _ => Err(TemplateError(prompt.to_owned())),
        }
    }

    /// The same with another end of every step, at whose last token the value of the step's end is read.
    #[must_use]
    pub fn with_step_end(self, end: &str) -> Self {
        Self { step_end: end.to_owned(), last_end: end.to_owned(), ..self }
    }

    /// Contexts that are the JSON of a [`Written`], for a reward model that is asked in a text of its own.
    #[must_use]
    pub fn as_written(self) -> Self {
        Self { written: true, ..self }
    }

    /// The prompt of a question.
    ///
    /// # Errors
    /// When the environment does not read the question.
    pub fn prompt(&self, question: &str) -> Result<String> {
        (self.prompt)(question).with_context(|| format!("question {question:?}"))
    }

    /// The ends of a step and of the last step.
    #[must_use]
    pub fn ends(&self) -> [&str; 2] {
        [&self.step_end, &self.last_end]
    }

    /// Where a written solution goes on with another question, as the prompt begins one.
    #[must_use]
    pub fn next_question(&self) -> Option<&str> {
        self.next_question.as_deref()
    }

    /// The texts that the value net reads at the end of each step: the prompt and the steps up to there, each with its end.
    ///
    /// # Errors
    /// As [`Template::prompt`].
    pub fn step_ends<S: AsRef<str>>(&self, question: &str, steps: &[S]) -> Result<Vec<Arc<str>>> {
        if self.written {
            let steps = steps.iter().map(|step| step.as_ref().trim().to_owned()).collect();
            return Ok(Written { question: question.to_owned(), steps }.contexts()?);
        }
        let mut context = self.prompt(question)?;
        let mut contexts = Vec::with_capacity(steps.len());
        for (index, step) in steps.iter().enumerate() {
            let last = index + 1 == steps.len();
            let end = if last { &self.last_end } else { &self.step_end };
            let step = step.as_ref();
            let step = self.ends().iter().find_map(|end| step.strip_suffix(end)).unwrap_or(step);
            context.push_str(step);
            context.push_str(end);
            contexts.push(context.as_str().into());
        }
        Ok(contexts)
    }

    /// The text that the value net reads at the end of a whole solution.
    ///
    /// # Errors
    /// As [`Template::prompt`].
    pub fn solution_end(&self, question: &str, solution: &str) -> Result<Arc<str>> {
        if self.written {
            let end = if self.step_end.is_empty() { "\n" } else { &self.step_end };
            let steps = solution.split(end).map(str::trim).filter(|step| !step.is_empty());
            let steps: Vec<&str> = steps.collect();
            let last = self.step_ends(question, &steps)?.pop();
            return last
                .with_context(|| format!("question {question:?}: a solution without a step"));
        }
        Ok(self.step_ends(question, &[solution])?.swap_remove(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::countdown::Countdown;

    #[test]
    fn contexts_grow_by_steps_with_one_end_each() {
        let countdown = AnyEnvironment::from(Countdown::default());
        let template = Template::of_environment(&countdown);
        let contexts = template.step_ends("26: 7 3 5", &["3*7=21", "5+21=26\n"]).unwrap();
        let contexts: Vec<&str> = contexts.iter().map(AsRef::as_ref).collect();
        assert_eq!(contexts, ["26:3 5 7\n3*7=21\n", "26:3 5 7\n3*7=21\n5+21=26\n"]);
        let error = format!("{:#}", template.prompt("1+1?").unwrap_err());
        assert!(error.contains("1+1?") && error.contains("TARGET: NUMBER"), "{error}");

        let own = Template::of_environment(&countdown).with_prompt("Q: {question}\nA:\n").unwrap();
        let own = own.with_step_end("\n\n");
        let contexts = own.step_ends("1+1 {question}?", &["a", "b\n\n"]).unwrap();
        assert_eq!(&*contexts[1], "Q: 1+1 {question}?\nA:\na\n\nb\n\n");
        assert_eq!((template.next_question(), own.next_question()), (None, Some("\nQ:")));
        for bad in ["", "question", "{question}{question}"] {
            let wrong = Template::of_environment(&countdown).with_prompt(bad).err().unwrap();
            assert!(wrong.to_string().contains("{question} once"));
        }
    }
}
