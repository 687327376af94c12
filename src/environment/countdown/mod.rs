//! Countdown: combine all the numbers, each once, to reach the target.
//!
//! A step is one line with one operation on two of the available numbers. The environment computes, as a code
//! interpreter would, and appends the result and what is left:
//!
//! ```text
//! 26:3 5 7          the prompt: the target, then the numbers
//! 7*3=21|5 21       a step: the policy wrote `7*3`, the environment appended `=21|5 21`
//! 21+5=26|26        one number is left: the answer
//! ```
//!
//! Blanks around the numbers do not count. A step that breaks the rules ends the path. By default all values are non-negative integers:
//! a difference below zero and a division with a remainder break the rules. No positive target is lost by the first: every expression over
//! positive integers with integer intermediates can be rearranged so that no intermediate is negative. Three settings widen the rules:
//!
//! * `negative`: results may be below zero.
//! * `fractions`: results may be fractions. They are exact.
//! * `leftover`: not all numbers need be used. A step that is one of the numbers ends the path with it as the answer.
//!
//! ```text
//! 24:3 3 8 8 9      with `fractions` and `leftover`
//! 8/3=8/3|8/3 3 8 9
//! 3-(8/3)=1/3|1/3 8 9
//! 8/(1/3)=24|9 24
//! 24=24|24          a number alone: the answer; 9 is left over
//! ```
//!
//! Beside an operator a fraction stands in parentheses, so that its bar is no operator: `8/3/2` would have two readings. A negative number
//! is written so too (`3-(-2)`), but read without (`3--2`). Results and the numbers that are left stand alone and have none.
//!
//! Division by zero and results with a part beyond 10^9 break the rules whatever the settings.

mod generator;
mod moves;
mod number;
mod prompt;
mod rules;
mod solver;
#[cfg(test)]
mod tests;

pub use generator::{GeneratorRecipe, split_of};
pub use prompt::parse_problem;

use std::borrow::Cow;

use anyhow::Result;
use espalier_search::{Environment, Problem, ProblemError, StepError, Terminal, Transition};
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::kind::{EnvironmentKind, Truth};
use super::split::Split;
use crate::recipe::Recipe;
use moves::{Move, legal_moves};
use number::Number;
use rules::Rules;
use solver::Solver;

/// Who works out the result of a step.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arithmetic {
    /// The policy writes `7*3`; the environment appends `=21|5 21`.
    #[default]
    Environment,
    /// The policy writes `7*3=21`; the environment checks it and appends `|5 21`. A wrong result breaks the rules.
    Model,
}

/// How a problem is put to the policy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PromptStyle {
    /// `26:3 5 7`, numbers in ascending order.
    #[default]
    Short,
    /// The question's own text.
    Question,
}

/// The countdown environment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Countdown {
    /// Who works out the result of a step.
    pub arithmetic: Arithmetic,
    /// How a problem is put to the policy.
    pub prompt: PromptStyle,
    /// Whether results may be negative.
    pub negative: bool,
    /// Whether results may be fractions.
    pub fractions: bool,
    /// Whether numbers may be left over: a step that is one of the numbers ends the path with it as the answer.
    pub leftover: bool,
}

/// A partial solution: what the policy reads and the numbers that are left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    context: String,
    /// In ascending order.
    numbers: Vec<Number>,
    target: u64,
}

impl State {
    /// The number to reach.
    #[must_use]
    pub fn target(&self) -> u64 {
        self.target
    }
}

impl Countdown {
    fn rules(&self) -> Rules {
        let Self { negative, fractions, leftover, .. } = *self;
        Rules { negative, fractions, leftover }
    }

    /// What the policy has to write to make this move.
    fn action(&self, chosen: Move) -> String {
        match self.arithmetic {
            Arithmetic::Environment => chosen.to_string(),
            Arithmetic::Model => format!("{chosen}={}", chosen.result()),
        }
    }

    /// A question of our own wording in the words of these rules; any other as it is.
    fn reworded<'a>(&self, question: &'a str) -> Cow<'a, str> {
        match prompt::parse_question(question) {
            Some((numbers, target)) => prompt::question(&numbers, target, self.rules()).into(),
            None => question.into(),
        }
    }

    /// Reads an action and applies it, or says why it breaks the rules.
    fn apply(&self, numbers: &[Number], action: &str) -> Result<(Move, Vec<Number>), String> {
        let (expression, claimed) = match (self.arithmetic, action.split_once('=')) {
            (Arithmetic::Environment, None) => (action, None),
            (Arithmetic::Environment, Some(_)) => return Err("a step has no `=`".into()),
            (Arithmetic::Model, Some((expression, result))) => (expression, Some(result)),
            (Arithmetic::Model, None) => return Err("a step needs `=` and its result".into()),
        };
        let chosen = Move::parse(expression, self.rules())?;
        if let Some(claimed) = claimed
            && Number::parse(claimed, self.rules())? != chosen.result()
        {
            return Err(format!("{chosen} is not {claimed}"));
        }
        let left = chosen.apply(numbers)?;
        Ok((chosen, left))
    }
}

impl Environment for Countdown {
    type State = State;

    fn root(&self, problem: &Problem) -> Result<State, ProblemError> {
        let (given, target) = prompt::numbers_and_target(problem)?;
        let number = |number: u64| {
            let message = format!("metadata.numbers holds {number}, more than {}", number::LARGEST);
            Number::whole(number).ok_or(ProblemError { id: problem.id.clone(), message })
        };
        let mut numbers = given.into_iter().map(number).collect::<Result<Vec<_>, _>>()?;
        numbers.sort_unstable();
        let context = match self.prompt {
            PromptStyle::Short => format!("{target}:{}\n", moves::join(&numbers)),
            PromptStyle::Question => format!("{}\n", self.reworded(problem.question.trim_end())),
        };
        Ok(State { context, numbers, target })
    }

    fn context<'a>(&self, state: &'a State) -> &'a str {
        &state.context
    }

    fn step(&self, state: &State, action: &str) -> Result<Transition<State>, StepError> {
        let (observation, numbers, terminal) = match self.apply(&state.numbers, action) {
            Ok((chosen, numbers)) => {
                let left = moves::join(&numbers);
                let observation = match self.arithmetic {
                    Arithmetic::Environment => format!("={}|{left}\n", chosen.result()),
                    Arithmetic::Model => format!("|{left}\n"),
                };
                let terminal = match numbers.as_slice() {
                    [answer] => Some(Terminal::Answer(answer.to_string())),
                    _ => None,
                };
                (Cow::Owned(observation), numbers, terminal)
            }
            Err(reason) => {
                (Cow::Borrowed("\n"), state.numbers.clone(), Some(Terminal::Invalid(reason)))
            }
        };
        let context = [state.context.as_str(), action, &observation].concat();
        let state = State { context, numbers, target: state.target };
        Ok(Transition { observation, state, terminal })
    }

    /// The numbers that are left: how they came about does not matter.
    fn state_key(&self, state: &State) -> Option<String> {
        Some(moves::join(&state.numbers))
    }

    /// The answer is the number reached; it is right when it is the problem's target.
    fn reward(&self, problem: &Problem, answer: &str) -> f64 {
        match prompt::numbers_and_target(problem) {
            Ok((_, target)) if answer == target.to_string() => 1.0,
            _ => -1.0,
        }
    }
}

impl EnvironmentKind for Countdown {
    type Recipe = Self;
    type Generator = GeneratorRecipe;

    const RANDOM_STEPS: bool = true;
    const HINDSIGHT: bool = true;

    fn validate(_: &Self, _: &Recipe) -> Result<()> {
        Ok(())
    }

    fn start(settings: &Self, _: usize) -> Result<Self> {
        Ok(*settings)
    }

    /// The first character of an observation: what follows an action in every text that the policy has read. A line end
    /// stops a step that the environment will refuse.
    fn stops(&self) -> Vec<String> {
        let first = match self.arithmetic {
            Arithmetic::Environment => "=",
            Arithmetic::Model => "|",
        };
        [first, "\n"].map(str::to_owned).to_vec()
    }

    fn read_problem(&self, text: &str) -> Result<Problem, String> {
        let problem = parse_problem(text)?;
        Ok(Problem { question: self.reworded(&problem.question).into(), ..problem })
    }

    fn split(&self, problem: &Problem) -> Result<Split, ProblemError> {
        let (numbers, target) = prompt::numbers_and_target(problem)?;
        Ok(split_of(&numbers, target))
    }

    fn legal_actions(&self, state: &State) -> Option<Vec<String>> {
        let moves = legal_moves(&state.numbers, self.rules());
        Some(moves.into_iter().map(|(chosen, _)| self.action(chosen)).collect())
    }

    fn read_context(&self, context: &str) -> Option<State> {
        let mut lines = context.strip_suffix('\n')?.split('\n');
        let first = lines.next()?;
        let problem = match self.prompt {
            PromptStyle::Short => parse_problem(first).ok()?,
            PromptStyle::Question => {
                let (numbers, target) = prompt::parse_question(first)?;
                prompt::problem(first.to_owned(), &numbers, target, self.rules())
            }
        };
        let end = match self.arithmetic {
            Arithmetic::Environment => '=',
            Arithmetic::Model => '|',
        };
        let mut state = self.root(&problem).ok()?;
        for line in lines {
            state = self.step(&state, line.split_once(end)?.0).ok()?.state;
        }
        (state.context == context).then_some(state)
    }

    // As by default, without writing out all the others.
    fn random_action(&self, state: &State, rng: &mut ChaCha8Rng) -> Option<String> {
        let moves = legal_moves(&state.numbers, self.rules());
        moves.choose(rng).map(|&(chosen, _)| self.action(chosen))
    }

    /// The numbers of the prompt with the answer as target, which is whole and not negative whatever the rules.
    fn solved_by(&self, prompt: &str, answer: &str) -> Option<Problem> {
        let State { numbers, .. } = self.read_context(prompt)?;
        let numbers: Option<Vec<u64>> = numbers.into_iter().map(Number::target).collect();
        Some(prompt::problem(String::new(), &numbers?, answer.parse().ok()?, self.rules()))
    }

    fn truth(&self) -> Option<Truth<State>> {
        let mut solver = Solver::new(self.rules());
        Some(Box::new(move |state| solver.reachable(&state.numbers, state.target)))
    }
}
