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
//! All values are non-negative integers: a difference below zero, a division with a remainder and a division by zero
//! break the rules, and a step that breaks the rules ends the path. No positive target is lost by that: every expression over
//! positive integers with integer intermediates can be rearranged so that no intermediate is negative.

mod generator;
mod moves;
mod prompt;
mod solver;

pub use generator::{GeneratorRecipe, split_of};
pub use moves::{Move, Operation, legal_moves};
pub use prompt::parse_problem;
pub use solver::Solver;

use std::borrow::Cow;

use anyhow::Result;
use espalier_search::{Environment, Problem, ProblemError, StepError, Terminal, Transition};
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::kind::{EnvironmentKind, Truth};
use super::split::Split;
use crate::recipe::Recipe;

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
}

/// A partial solution: what the policy reads and the numbers that are left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    context: String,
    /// In ascending order.
    numbers: Vec<u64>,
    target: u64,
}

impl State {
    /// The numbers that are left, in ascending order.
    #[must_use]
    pub fn numbers(&self) -> &[u64] {
        &self.numbers
    }

    /// The number to reach.
    #[must_use]
    pub fn target(&self) -> u64 {
        self.target
    }
}

impl Countdown {
    /// What the policy has to write to make this move.
    #[must_use]
    pub fn action(&self, chosen: Move) -> String {
        match self.arithmetic {
            Arithmetic::Environment => chosen.to_string(),
            Arithmetic::Model => format!("{chosen}={}", chosen.result),
        }
    }

    /// Reads an action and applies it, or says why it breaks the rules.
    fn apply(&self, numbers: &[u64], action: &str) -> Result<(Move, Vec<u64>), String> {
        let (expression, claimed) = match (self.arithmetic, action.split_once('=')) {
            (Arithmetic::Environment, None) => (action, None),
            (Arithmetic::Environment, Some(_)) => return Err("a step has no `=`".into()),
            (Arithmetic::Model, Some((expression, result))) => (expression, Some(result)),
            (Arithmetic::Model, None) => return Err("a step needs `=` and its result".into()),
        };
        let chosen = Move::parse(expression)?;
        if let Some(claimed) = claimed
            && moves::parse_number(claimed)? != chosen.result
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
        let (mut numbers, target) = prompt::numbers_and_target(problem)?;
        numbers.sort_unstable();
        let context = match self.prompt {
            PromptStyle::Short => format!("{target}:{}\n", moves::join(&numbers)),
            PromptStyle::Question => format!("{}\n", problem.question.trim_end()),
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
                    Arithmetic::Environment => format!("={}|{left}\n", chosen.result),
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
        parse_problem(text)
    }

    fn split(&self, problem: &Problem) -> Result<Split, ProblemError> {
        let (numbers, target) = prompt::numbers_and_target(problem)?;
        Ok(split_of(&numbers, target))
    }

    fn legal_actions(&self, state: &State) -> Option<Vec<String>> {
        Some(legal_moves(&state.numbers).iter().map(|&(chosen, _)| self.action(chosen)).collect())
    }

    fn read_context(&self, context: &str) -> Option<State> {
        let mut lines = context.strip_suffix('\n')?.split('\n');
        let first = lines.next()?;
        let problem = match self.prompt {
            PromptStyle::Short => parse_problem(first).ok()?,
            PromptStyle::Question => prompt::parse_question(first)?,
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
        legal_moves(&state.numbers).choose(rng).map(|&(chosen, _)| self.action(chosen))
    }

    /// The numbers of the prompt with the answer as target.
    fn solved_by(&self, prompt: &str, answer: &str) -> Option<Problem> {
        let State { numbers, .. } = self.read_context(prompt)?;
        Some(prompt::problem(String::new(), &numbers, answer.parse().ok()?))
    }

    fn truth(&self) -> Option<Truth<State>> {
        let mut solver = Solver::default();
        Some(Box::new(move |state| solver.reachable(&state.numbers, state.target)))
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::rand_core::SeedableRng;

    use super::*;

    fn problem() -> Problem {
        parse_problem("26: 7 3 5").unwrap()
    }

    #[test]
    fn a_solution_runs_to_its_answer() {
        let environment = Countdown::default();
        let root = environment.root(&problem()).unwrap();
        assert_eq!(environment.context(&root), "26:3 5 7\n");
        let first = environment.step(&root, "7*3").unwrap();
        assert_eq!(first.observation, "=21|5 21\n");
        assert_eq!(first.terminal, None);
        let last = environment.step(&first.state, "21+5").unwrap();
        assert_eq!(last.terminal, Some(Terminal::Answer("26".into())));
        assert_eq!(environment.context(&last.state), "26:3 5 7\n7*3=21|5 21\n21+5=26|26\n");
        let rewards = ["26", "21"].map(|answer| environment.reward(&problem(), answer));
        assert_eq!(rewards, [1.0, -1.0]);
    }

    #[test]
    fn rule_breaking_steps_end_the_path_with_a_reason() {
        let environment = Countdown::default();
        let root = environment.root(&problem()).unwrap();
        for (action, reason) in [
            ("7*4", "4 is not available"),
            ("7*7", "7 is not available twice"),
            ("3-5", "below zero"),
            ("7/3", "remainder"),
            ("7", "operator"),
            ("", "operator"),
            ("7*3=21", "no `=`"),
            ("7**3", "not a number"),
            ("+7*3", "not a number"),
            ("7*٣", "not a number"),
            ("99999999999999999999*3", "too large"),
        ] {
            let transition = environment.step(&root, action).unwrap();
            match transition.terminal {
                Some(Terminal::Invalid(message)) => {
                    assert!(message.contains(reason), "{action}: {message}");
                }
                other => panic!("{action}: {other:?}"),
            }
            assert!(environment.context(&transition.state).ends_with(&format!("{action}\n")));
        }
    }

    #[test]
    fn a_context_says_its_state() {
        for arithmetic in [Arithmetic::Environment, Arithmetic::Model] {
            for prompt in [PromptStyle::Short, PromptStyle::Question] {
                let environment = Countdown { arithmetic, prompt };
                let mut rng = ChaCha8Rng::seed_from_u64(1);
                let mut state = environment.root(&problem()).unwrap();
                loop {
                    assert_eq!(environment.read_context(&state.context).as_ref(), Some(&state));
                    let Some(action) = environment.random_action(&state, &mut rng) else { break };
                    let legal = environment.legal_actions(&state).unwrap();
                    assert!(legal.contains(&action), "{action}: {legal:?}");
                    state = environment.step(&state, &action).unwrap().state;
                }
                assert_eq!(state.numbers.len(), 1);
            }
        }
        for other in ["", "26:3 5 7", "26:\n", "26:3 5 7\n3*5=14|7 14\n", "26:3 5 7\n3*6\n"] {
            assert_eq!(Countdown::default().read_context(other), None, "{other:?}");
        }
    }

    #[test]
    fn the_model_may_have_to_compute() {
        let environment = Countdown { arithmetic: Arithmetic::Model, ..Countdown::default() };
        let root = environment.root(&problem()).unwrap();
        let right = environment.step(&root, "7*3=21").unwrap();
        assert_eq!((&*right.observation, right.terminal), ("|5 21\n", None));
        let wrong = environment.step(&root, "7*3=22").unwrap();
        assert_eq!(wrong.terminal, Some(Terminal::Invalid("7*3 is not 22".into())));
        let short = environment.step(&root, "7*3").unwrap();
        assert!(matches!(short.terminal, Some(Terminal::Invalid(_))));
    }
}
