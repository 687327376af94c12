//! Any environment that a recipe can name, as one type: searches and the pipeline are compiled once for all of them. Beside an
//! evaluation, choosing the environment at each call costs nothing.

use anyhow::{Context, Result, anyhow};
use espalier_search::{Environment, Problem, ProblemError, StepError, Transition};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::kind::{EnvironmentKind, ProblemGenerator, Truth, WorkedSolution};
use super::split::Split;
use super::written::Written;
use crate::recipe::Recipe;

/// Makes the three types of all environments. Each method asks the one that is there.
macro_rules! environments {
    ($($kind:ident($environment:ty)),+ $(,)?) => {
        /// The `[environment]` section of a recipe: which environment, and its settings.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "kind", rename_all = "snake_case")]
        pub enum EnvironmentRecipe {
            $(
                #[doc = concat!("Settings of [`", stringify!($environment), "`].")]
                $kind(Box<<$environment as EnvironmentKind>::Recipe>),
            )+
        }

        /// One of the environments.
        #[derive(Clone, Serialize)]
        #[serde(untagged)]
        pub enum AnyEnvironment {
            $(#[doc = concat!("See [`", stringify!($environment), "`].")] $kind($environment),)+
        }

        /// A state of one of the environments. It belongs to the environment that made it.
        #[derive(Clone)]
        pub enum AnyState {
            $(
                #[doc = concat!("A state of [`", stringify!($environment), "`].")]
                $kind(<$environment as Environment>::State),
            )+
        }

        $(impl From<$environment> for AnyEnvironment {
            fn from(environment: $environment) -> Self {
                Self::$kind(environment)
            }
        })+

        impl EnvironmentRecipe {
            /// As [`EnvironmentKind::validate`].
            ///
            /// # Errors
            /// Names the first key that is wrong.
            pub fn validate(&self, recipe: &Recipe) -> Result<()> {
                match self {
                    $(Self::$kind(settings) => <$environment>::validate(settings, recipe),)+
                }
            }

            /// As [`EnvironmentKind::FORM_KEYS`].
            #[must_use]
            pub fn form_keys(&self) -> Option<&'static [&'static str]> {
                match self {
                    $(Self::$kind(_) => <$environment>::FORM_KEYS,)+
                }
            }

            /// As [`EnvironmentKind::with_files`].
            ///
            /// # Errors
            /// When a file cannot be read.
            pub fn with_files(&self) -> Result<Self> {
                match self {
                    $(Self::$kind(settings) => {
                        <$environment>::with_files(settings).map(|all| Self::$kind(Box::new(all)))
                    })+
                }
            }

            /// As [`EnvironmentKind::RANDOM_STEPS`].
            #[must_use]
            pub fn has_random_steps(&self) -> bool {
                match self {
                    $(Self::$kind(_) => <$environment>::RANDOM_STEPS,)+
                }
            }

            /// As [`EnvironmentKind::WORKED_SOLUTIONS`].
            #[must_use]
            pub fn has_worked_solutions(&self) -> bool {
                match self {
                    $(Self::$kind(_) => <$environment>::WORKED_SOLUTIONS,)+
                }
            }

            /// As [`EnvironmentKind::HINDSIGHT`].
            #[must_use]
            pub fn has_hindsight(&self) -> bool {
                match self {
                    $(Self::$kind(_) => <$environment>::HINDSIGHT,)+
                }
            }

            /// The generator's settings, checked, with all defaults written out.
            ///
            /// # Errors
            /// Names the first key that is wrong.
            pub fn complete_generator(&self, settings: &toml::Table) -> Result<toml::Table> {
                match self {
                    $(Self::$kind(_) => complete(&generator::<$environment>(settings)?),)+
                }
            }

            /// As [`EnvironmentKind::start`].
            ///
            /// # Errors
            /// When a setting or a file is wrong, or what steps run on cannot be started.
            pub fn start(&self, cores: usize) -> Result<AnyEnvironment> {
                match self {
                    $(Self::$kind(settings) => {
                        <$environment>::start(settings, cores).map(AnyEnvironment::$kind)
                    })+
                }
            }

            /// As [`EnvironmentKind::without_steps`].
            ///
            /// # Errors
            /// When a setting or a file is wrong.
            pub fn without_steps(&self) -> Result<AnyEnvironment> {
                match self {
                    $(Self::$kind(settings) => {
                        <$environment>::without_steps(settings).map(AnyEnvironment::$kind)
                    })+
                }
            }
        }

        impl Environment for AnyEnvironment {
            type State = AnyState;

            fn root(&self, problem: &Problem) -> Result<AnyState, ProblemError> {
                match self {
                    $(Self::$kind(environment) => environment.root(problem).map(AnyState::$kind),)+
                }
            }

            fn context<'a>(&self, state: &'a AnyState) -> &'a str {
                match (self, state) {
                    $((Self::$kind(environment), AnyState::$kind(state)) => environment.context(state),)+
                    _ => foreign_state(),
                }
            }

            fn step(&self, state: &AnyState, action: &str) -> Result<Transition<AnyState>, StepError> {
                match (self, state) {
                    $((Self::$kind(environment), AnyState::$kind(state)) => {
                        let Transition { observation, state, terminal } = environment.step(state, action)?;
                        Ok(Transition { observation, state: AnyState::$kind(state), terminal })
                    })+
                    _ => foreign_state(),
                }
            }

            fn state_key(&self, state: &AnyState) -> Option<String> {
                match (self, state) {
                    $((Self::$kind(environment), AnyState::$kind(state)) => environment.state_key(state),)+
                    _ => foreign_state(),
                }
            }

            fn reward(&self, problem: &Problem, answer: &str) -> f64 {
                match self {
                    $(Self::$kind(environment) => environment.reward(problem, answer),)+
                }
            }

            fn is_undecided(&self, problem: &Problem, answer: &str) -> bool {
                match self {
                    $(Self::$kind(environment) => environment.is_undecided(problem, answer),)+
                }
            }

            fn is_correct(&self, reward: f64) -> bool {
                match self {
                    $(Self::$kind(environment) => environment.is_correct(reward),)+
                }
            }

            fn answer_groups(&self, answers: &[&str]) -> Vec<usize> {
                match self {
                    $(Self::$kind(environment) => environment.answer_groups(answers),)+
                }
            }
        }

        impl AnyEnvironment {
            /// Makes problems by the environment's own generator, as [`ProblemGenerator::generate`].
            ///
            /// # Errors
            /// When a setting is wrong, or there are not so many problems.
            pub fn generate(
                &self,
                settings: &toml::Table,
                split: Split,
                count: usize,
                seed: u64,
            ) -> Result<Vec<Problem>> {
                match self {
                    $(Self::$kind(environment) => {
                        let generator = generator::<$environment>(settings)?;
                        generator.generate(environment, split, count, seed).map_err(anyhow::Error::msg)
                    })+
                }
            }

            /// As [`EnvironmentKind::stops`].
            #[must_use]
            pub fn stops(&self) -> Vec<String> {
                match self {
                    $(Self::$kind(environment) => environment.stops(),)+
                }
            }

            /// As [`EnvironmentKind::next_question`].
            #[must_use]
            pub fn next_question(&self) -> Option<String> {
                match self {
                    $(Self::$kind(environment) => environment.next_question(),)+
                }
            }

            /// As [`EnvironmentKind::interpreter`].
            #[must_use]
            pub fn interpreter(&self) -> Option<String> {
                match self {
                    $(Self::$kind(environment) => environment.interpreter(),)+
                }
            }

            /// As [`EnvironmentKind::read_problem`].
            ///
            /// # Errors
            /// With the expected form, when the text is not of that form.
            pub fn read_problem(&self, text: &str) -> Result<Problem, String> {
                match self {
                    $(Self::$kind(environment) => environment.read_problem(text),)+
                }
            }

            /// As [`EnvironmentKind::split`].
            ///
            /// # Errors
            /// When the problem lacks what the environment needs.
            pub fn split(&self, problem: &Problem) -> Result<Split, ProblemError> {
                match self {
                    $(Self::$kind(environment) => environment.split(problem),)+
                }
            }

            /// As [`EnvironmentKind::legal_actions`].
            #[must_use]
            pub fn legal_actions(&self, state: &AnyState) -> Option<Vec<String>> {
                match (self, state) {
                    $((Self::$kind(environment), AnyState::$kind(state)) => environment.legal_actions(state),)+
                    _ => foreign_state(),
                }
            }

            /// As [`EnvironmentKind::read_context`].
            #[must_use]
            pub fn read_context(&self, context: &str) -> Option<AnyState> {
                match self {
                    $(Self::$kind(environment) => environment.read_context(context).map(AnyState::$kind),)+
                }
            }

            /// As [`EnvironmentKind::random_action`].
            #[must_use]
            pub fn random_action(&self, state: &AnyState, rng: &mut ChaCha8Rng) -> Option<String> {
                match (self, state) {
                    $((Self::$kind(environment), AnyState::$kind(state)) => environment.random_action(state, rng),)+
                    _ => foreign_state(),
                }
            }

            /// As [`EnvironmentKind::truth`].
            #[must_use]
            pub fn truth(&self) -> Option<Truth<AnyState>> {
                match self {
                    $(Self::$kind(environment) => {
                        let mut truth = environment.truth()?;
                        Some(Box::new(move |state: &AnyState| match state {
                            AnyState::$kind(state) => truth(state),
                            _ => foreign_state(),
                        }))
                    })+
                }
            }

            /// As [`EnvironmentKind::for_net_of_round`].
            #[must_use]
            pub fn for_net_of_round(&self, round: usize) -> Self {
                match self {
                    $(Self::$kind(environment) => Self::$kind(environment.for_net_of_round(round)),)+
                }
            }

            /// As [`EnvironmentKind::solved_by`].
            #[must_use]
            pub fn solved_by(&self, prompt: &str, answer: &str) -> Option<Problem> {
                match self {
                    $(Self::$kind(environment) => environment.solved_by(prompt, answer),)+
                }
            }

            /// As [`EnvironmentKind::training_prompt`].
            ///
            /// # Errors
            /// When the prompt cannot be made.
            pub fn training_prompt(&self, question: &str) -> Result<Option<String>> {
                match self {
                    $(Self::$kind(environment) => environment.training_prompt(question),)+
                }
            }

            /// As [`EnvironmentKind::step_ends`].
            #[must_use]
            pub fn step_ends(&self) -> [&str; 2] {
                match self {
                    $(Self::$kind(environment) => environment.step_ends(),)+
                }
            }

            /// As [`EnvironmentKind::split_context`].
            ///
            /// # Errors
            /// When the context is none of this environment's.
            pub fn split_context<'a>(&self, context: &'a str) -> Result<(&'a str, &'a str), String> {
                match self {
                    $(Self::$kind(environment) => environment.split_context(context),)+
                }
            }

            /// The question and the steps of a state's context, for a judge that is asked in a text of its own.
            ///
            /// # Errors
            /// When the context is none of this environment's.
            pub fn written(&self, context: &str) -> Result<Written, String> {
                let (question, steps) = self.split_context(context)?;
                let steps = match self {
                    $(Self::$kind(environment) => environment.written_steps(steps),)+
                };
                Ok(Written { question: question.to_owned(), steps })
            }

            /// As [`EnvironmentKind::worked_solution`].
            ///
            /// # Errors
            /// When its steps cannot be taken, for reasons that are not theirs.
            pub fn worked_solution(&self, problem: &Problem) -> Result<Option<WorkedSolution>> {
                match self {
                    $(Self::$kind(environment) => environment.worked_solution(problem),)+
                }
            }
        }
    };
}

environments! {
    Countdown(super::countdown::Countdown),
    Arithmetic(super::arithmetic::Arithmetic),
    Program(super::program::Program),
}

impl Default for EnvironmentRecipe {
    fn default() -> Self {
        Self::Countdown(Box::default())
    }
}

/// A state was handed to another environment than the one that made it, which is a fault of the program.
fn foreign_state() -> ! {
    unreachable!("a state of another environment")
}

/// The generator that these settings describe.
fn generator<E: EnvironmentKind>(settings: &toml::Table) -> Result<E::Generator> {
    let generator: E::Generator =
        serde_path_to_error::deserialize(settings.clone()).map_err(|error| {
            let message = error.inner().message();
            match error.path().to_string() {
                root if root == "." => anyhow!("{message}"),
                path => anyhow!("{path}: {message}"),
            }
        })?;
    generator.validate().map_err(anyhow::Error::msg)?;
    Ok(generator)
}

fn complete(generator: &impl Serialize) -> Result<toml::Table> {
    toml::Table::try_from(generator).context("cannot write the generator's settings as TOML")
}
