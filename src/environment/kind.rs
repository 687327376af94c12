//! The trait that every environment implements which a recipe can name.

use std::fmt::Debug;

use anyhow::Result;
use espalier_search::{Environment, Problem, ProblemError};
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};

use super::split::Split;
use crate::recipe::Recipe;

/// Exact truth: whether a state can still be brought to a right answer. It measures how good a label or a value is, and never says
/// what it should be: search and training live in crates that cannot see it, and the pipeline asks it only to write metrics.
pub type Truth<S> = Box<dyn FnMut(&S) -> bool>;

/// A whole solution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkedSolution {
    /// What the steps continue.
    pub prompt: String,
    /// Action and observation of each step.
    pub steps: Vec<(String, String)>,
}

/// What the program needs of an environment beyond what the search needs. Its serialized form is what results depend on.
pub trait EnvironmentKind: Environment + Clone + Serialize {
    /// The settings of `[environment]`.
    type Recipe: Debug + Clone + PartialEq + Serialize + DeserializeOwned;
    /// The settings of `[problems]` of kind `generated`; [`NoGenerator`] where problems come from files alone.
    type Generator: ProblemGenerator<Self>;

    /// Whether round 0 can be trained on random legal steps ([`Self::random_action`]).
    const RANDOM_STEPS: bool = false;
    /// Whether problems may carry solutions that round 0 can be trained on ([`Self::worked_solution`]).
    const WORKED_SOLUTIONS: bool = false;
    /// Whether an answer makes a problem ([`Self::solved_by`]).
    const HINDSIGHT: bool = false;

    /// Keys of the settings on which prompts and steps depend, and so nets that are trained on them; `None` (the default): all keys.
    const FORM_KEYS: Option<&'static [&'static str]> = None;

    /// The settings with what the files hold that they name, as far as prompts depend on it. The same by default.
    ///
    /// # Errors
    /// When a file cannot be read.
    fn with_files(settings: &Self::Recipe) -> Result<Self::Recipe> {
        Ok(settings.clone())
    }

    /// Checks the settings, alone and beside those of the whole recipe; files are not opened.
    ///
    /// # Errors
    /// Names the first key that is wrong.
    fn validate(settings: &Self::Recipe, recipe: &Recipe) -> Result<()>;

    /// Makes the environment of round 0's net; what its steps run on may use so many cores.
    ///
    /// # Errors
    /// When a setting or a file is wrong, or what steps run on cannot be started.
    fn start(settings: &Self::Recipe, cores: usize) -> Result<Self>;

    /// As [`Self::start`], for prompts and answers alone: what only steps need need not be started, and steps may fail.
    ///
    /// # Errors
    /// When a setting or a file is wrong.
    fn without_steps(settings: &Self::Recipe) -> Result<Self> {
        Self::start(settings, 1)
    }

    /// The texts that end a step when the policy writes them.
    fn stops(&self) -> Vec<String>;

    /// The text from which on a model writes a question of its own, and no answer to this one. `None` (the default) where no such
    /// text is known.
    fn next_question(&self) -> Option<String> {
        None
    }

    /// Who runs the code of steps, with its version, on which observations may depend. `None` (the default) where steps have no code.
    fn interpreter(&self) -> Option<String> {
        None
    }

    /// Reads a problem that a user typed.
    ///
    /// # Errors
    /// With the expected form, when it is not of that form.
    fn read_problem(&self, text: &str) -> Result<Problem, String>;

    /// The split that a problem belongs to. Decided by the problem itself, so that splits are disjoint whatever the
    /// file, seed or order that problems come in.
    ///
    /// # Errors
    /// When the problem lacks what the environment needs.
    fn split(&self, problem: &Problem) -> Result<Split, ProblemError>;

    /// All legal actions of a state, in an order of its own; none where it has ended. `None` (the default) where they cannot be
    /// listed.
    fn legal_actions(&self, _state: &Self::State) -> Option<Vec<String>> {
        None
    }

    /// The state with this context, for a policy that is no language model; `None` (the default) where the context does not say it.
    fn read_context(&self, _context: &str) -> Option<Self::State> {
        None
    }

    /// A random legal action, by default each of [`Self::legal_actions`] with equal chance: what round 0 is trained on. `None` where
    /// there is none.
    fn random_action(&self, state: &Self::State, rng: &mut ChaCha8Rng) -> Option<String> {
        self.legal_actions(state)?.choose(rng).cloned()
    }

    /// The exact truth; `None` (the default) where it cannot be computed.
    fn truth(&self) -> Option<Truth<Self::State>> {
        None
    }

    /// Makes the problem that `answer` solves: it has the givens of `prompt`, and the same steps lead from there to the answer. Whoever
    /// trains on it checks its split. `None` (the default) where there is none.
    fn solved_by(&self, _prompt: &str, _answer: &str) -> Option<Problem> {
        None
    }

    /// This environment as the net of a round reads it: untrained nets may be shown worked examples. The same for all by default.
    #[must_use]
    fn for_net_of_round(&self, _round: usize) -> Self {
        self.clone()
    }

    /// What solutions of a question continue where a net is trained on them; `None` (the default): what the policy read.
    ///
    /// # Errors
    /// When the prompt cannot be made.
    fn training_prompt(&self, _question: &str) -> Result<Option<String>> {
        Ok(None)
    }

    /// The text at the end of each step of a written solution, and of its last step: where a net reads their values.
    fn step_ends(&self) -> [&str; 2] {
        ["\n", "\n"]
    }

    /// The question of a state's context, and the steps as they stand behind the prompt. By default the question is the first line.
    ///
    /// # Errors
    /// When the context is none of this environment's.
    fn split_context<'a>(&self, context: &'a str) -> Result<(&'a str, &'a str), String> {
        Ok(context.split_once('\n').unwrap_or((context, "")))
    }

    /// Steps as they stand in a context, each without its end; by default each is a line.
    fn written_steps(&self, text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    /// The solution that a problem carries (`metadata.solution`) as steps of this environment. `None` where there is none, or
    /// none that leads to the right answer.
    ///
    /// # Errors
    /// When its steps cannot be taken, for reasons that are not theirs.
    fn worked_solution(&self, _problem: &Problem) -> Result<Option<WorkedSolution>> {
        Ok(None)
    }
}

/// Makes problems of an environment: the settings of `[problems]` of kind `generated`.
pub trait ProblemGenerator<E>: Serialize + DeserializeOwned {
    /// Checks every field.
    ///
    /// # Errors
    /// Names the first key that is wrong.
    fn validate(&self) -> Result<(), String>;

    /// Makes `count` different problems of a split. The same seed gives the same problems, and a larger count only adds to them.
    ///
    /// # Errors
    /// When there are not so many.
    fn generate(
        &self,
        environment: &E,
        split: Split,
        count: usize,
        seed: u64,
    ) -> Result<Vec<Problem>, String>;
}

/// The generator of an environment that has none: no settings are right.
#[derive(Debug, Serialize)]
pub enum NoGenerator {}

impl<'de> Deserialize<'de> for NoGenerator {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Err(serde::de::Error::custom(
            "this environment makes no problems: write kind = \"jsonl\" or \"dataset\", and where they are",
        ))
    }
}

impl<E> ProblemGenerator<E> for NoGenerator {
    fn validate(&self) -> Result<(), String> {
        match *self {}
    }

    fn generate(&self, _: &E, _: Split, _: usize, _: u64) -> Result<Vec<Problem>, String> {
        match *self {}
    }
}
