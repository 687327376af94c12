//! What the search walks over: problems, states and the rules by which a step leads from one to the next.

use std::borrow::Cow;
use std::collections::HashMap;

use serde::{Deserialize, Serialize};

/// A question with its known answer, one line of a problems file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Problem {
    /// Unique within a file; keys results, seeds and resumption.
    pub id: String,
    /// The question as its author wrote it.
    pub question: String,
    /// The ground truth, in the form that [`Environment::reward`] expects.
    pub answer: String,
    /// What else the environment needs (countdown: `numbers` and `target`).
    #[serde(default)]
    pub metadata: serde_json::Map<String, serde_json::Value>,
}

/// How a path ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Terminal {
    /// A final answer, right or wrong.
    Answer(String),
    /// A step that broke the rules, with the reason; no answer.
    Invalid(String),
}

/// What one step did.
#[derive(Debug, Clone)]
pub struct Transition<S> {
    /// What the environment appended to the action: the observation with the delimiter that ends the step.
    /// `action + observation` is the step as it stands in the context of every later step. One that is always the same,
    /// as a delimiter is, need not be copied.
    pub observation: Cow<'static, str>,
    /// The state after the step; its context ends with the step, also when the path has ended.
    pub state: S,
    /// Set when the path ends here.
    pub terminal: Option<Terminal>,
}

/// A problem cannot be posed in this environment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("problem {id}: {message}")]
pub struct ProblemError {
    /// [`Problem::id`].
    pub id: String,
    /// What is wrong with it and where.
    pub message: String,
}

/// A step could not be taken, for a reason that says nothing about the step: an interpreter that cannot be started, a service that is
/// down. The search that asked fails with this cause, and no label is made of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the environment cannot take a step: {cause}")]
pub struct StepError {
    /// What failed and why.
    pub cause: String,
}

impl StepError {
    /// An error with this cause.
    #[must_use]
    pub fn new(cause: impl std::fmt::Display) -> Self {
        Self { cause: cause.to_string() }
    }
}

/// The rules of a kind of problem. Deterministic: the same state and action give the same transition.
pub trait Environment: Send + Sync {
    /// A partial solution.
    type State: Clone + Send + Sync;

    /// The state before the first step.
    ///
    /// # Errors
    /// When the problem lacks what the environment needs.
    fn root(&self, problem: &Problem) -> Result<Self::State, ProblemError>;

    /// All that the policy reads: the prompt and the steps so far, with their observations.
    fn context<'a>(&self, state: &'a Self::State) -> &'a str;

    /// Takes one step. `action` is what the policy wrote, without the delimiter that ended it. An action that cannot be read or
    /// breaks the rules gives [`Terminal::Invalid`].
    ///
    /// # Errors
    /// When the step cannot be taken for a reason that is not its own.
    fn step(&self, state: &Self::State, action: &str)
    -> Result<Transition<Self::State>, StepError>;

    /// What tells two states of one problem apart, as far as what may follow is concerned; `None` (the default) for a
    /// state that is shared with none. Asked only under [`crate::MctsConfig::transpositions`]. States at different depths
    /// are kept apart by the search.
    fn state_key(&self, _state: &Self::State) -> Option<String> {
        None
    }

    /// The reward of an answer, in [-1, 1]; an environment that knows right and wrong alone gives 1 and -1. Search may ask only
    /// where the ground truth is known (when it makes training data).
    fn reward(&self, problem: &Problem, answer: &str) -> f64;

    /// Whether an answer could be shown to be neither right nor wrong. It counts as wrong, and such answers are counted apart. By default
    /// none is so.
    fn is_undecided(&self, _problem: &Problem, _answer: &str) -> bool {
        false
    }

    /// Whether an answer of this reward is right; `None` where it could be shown neither right nor wrong.
    fn verdict(&self, problem: &Problem, answer: &str, reward: f64) -> Option<bool> {
        let right = self.is_correct(reward);
        (right || !self.is_undecided(problem, answer)).then_some(right)
    }

    /// Whether an answer of this reward counts as right: in accuracies, in the choice of training solutions, and where a search
    /// stops at the first right answer. By default a positive reward does.
    fn is_correct(&self, reward: f64) -> bool {
        reward > 0.0
    }

    /// The group of each answer, for votes: answers of one number are the same. Numbers begin at 0 and follow the groups' first
    /// members. By default answers are the same when their trimmed texts are.
    fn answer_groups(&self, answers: &[&str]) -> Vec<usize> {
        let mut first_of: HashMap<&str, usize> = HashMap::new();
        let mut groups = Vec::with_capacity(answers.len());
        for answer in answers {
            let next = first_of.len();
            groups.push(*first_of.entry(answer.trim()).or_insert(next));
        }
        groups
    }
}
