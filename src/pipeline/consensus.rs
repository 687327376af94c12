//! Labels that two judges agree on: the tree's and a process reward model's, as Qwen's PRMs filter theirs (arXiv 2501.07301, §3).

use anyhow::{Context, Result, ensure};
use espalier_search::{Cancel, Evaluator, EvaluatorError, LabelledSolution, Request};
use serde::{Deserialize, Serialize};

use crate::environment::{AnyEnvironment, Written};

/// A process reward model that reads the JSON of a [`Written`].
#[derive(Clone, Copy)]
pub struct Judge<'a> {
    /// The model.
    pub evaluator: &'a dyn Evaluator,
    /// Its fingerprint.
    pub net: &'a str,
}

/// How many labels were judged, and of how many the judge says the same.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agreement {
    /// Labels that the judge read.
    pub judged: usize,
    /// Of these, the labels of its opinion's sign.
    pub agreed: usize,
}

impl Agreement {
    /// Adds another's counts.
    pub fn add(&mut self, other: Self) {
        self.judged += other.judged;
        self.agreed += other.agreed;
    }
}

impl Judge<'_> {
    /// Reads every step of a problem's solutions, and takes the weight from each label whose sign is not that of the judge's value. A step
    /// that is too long for the judge is not agreed on. 0 counts as right, as it does in TRL's form.
    ///
    /// # Errors
    /// When the judge fails.
    pub(super) fn filter(
        &self,
        environment: &AnyEnvironment,
        question: &str,
        solutions: &mut [LabelledSolution],
        cancel: &Cancel,
    ) -> Result<Agreement> {
        let mut requests = Vec::new();
        for solution in &*solutions {
            let contexts = written(environment, question, solution)?.contexts()?;
            requests.extend(contexts.into_iter().map(Request::value));
        }
        let mut answers = self.evaluator.evaluate(&requests, cancel).into_iter();
        let mut agreement = Agreement::default();
        for step in solutions.iter_mut().flat_map(|solution| &mut solution.steps) {
            let answer = answers.next().context("the reward model gave too few answers")?;
            let value = match answer {
                Ok(evaluation) => Some(evaluation.value),
                Err(EvaluatorError::ContextTooLong { .. }) => None,
                Err(error) => return Err(error.into()),
            };
            ensure!(value.is_none_or(f64::is_finite), "the reward model gave no number");
            agreement.judged += 1;
            let agreed = value.is_some_and(|value| (value >= 0.0) == (step.q >= 0.0));
            step.agreed = Some(agreed);
            if agreed {
                agreement.agreed += 1;
            } else {
                step.weight = Some(0.0);
            }
        }
        Ok(agreement)
    }
}

/// A labelled solution without the text in which the policy was asked.
fn written(
    environment: &AnyEnvironment,
    question: &str,
    solution: &LabelledSolution,
) -> Result<Written> {
    let ends = environment.step_ends();
    let step = |action: &str, observation: &str| {
        let text = [action, observation].concat();
        let end = ends.iter().find_map(|end| text.strip_suffix(end));
        end.unwrap_or(&text).trim().to_owned()
    };
    let steps = solution.steps.iter().map(|s| step(&s.action, &s.observation)).collect();
    // What is told in hindsight is of another problem, which its own prompt says.
    let question = match solution.hindsight {
        true => environment.written(&solution.prompt).map_err(anyhow::Error::msg)?.question,
        false => question.to_owned(),
    };
    Ok(Written { question, steps })
}
