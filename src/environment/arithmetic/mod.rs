//! Arithmetic: work out a chain of operations with parentheses, one operation a step.
//!
//! The policy chooses the operation, on two numbers that stand beside each other; the environment computes and appends the result and
//! the expression that is left:
//!
//! ```text
//! 2+3*(7-4)         the prompt: the expression
//! 7-4=3|2+3*3       a step: the policy wrote `7-4`, the environment appended `=3|2+3*3`
//! 3*3=9|2+9
//! 2+9=11|11         one number is left: the answer
//! ```
//!
//! Any two neighbours may be taken, whether or not it is their turn: `2+3` above would have left `5*(7-4)`, which is legal and wrong.
//! So the order of operations is what there is to learn, random legal steps seldom come to the right answer, and a state is good
//! exactly while its expression has the value of the first. Numbers are integers; a division with a remainder, one by zero and a
//! result beyond 10^12 break the rules, and a step that breaks the rules ends the path.

mod expression;
mod generator;

pub use generator::GeneratorRecipe;

use std::borrow::Cow;

use anyhow::Result;
use espalier_search::{Environment, Problem, ProblemError, StepError, Terminal, Transition};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::kind::{EnvironmentKind, Truth};
use super::split::Split;
use crate::recipe::Recipe;
use crate::seed;
use expression::{Expression, Operation};

/// The arithmetic environment; it has no settings.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Arithmetic {}

/// A partial solution: what the policy reads and the expression that is left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    context: String,
    expression: Expression,
    /// The value of the first expression; `None` where it has none.
    target: Option<i64>,
}

/// The split that an expression belongs to: a hash of its text.
fn split_of(expression: &str) -> Split {
    Split::of_hash(seed::derive(0, &["arithmetic", expression]))
}

/// A problem in our own form.
fn problem(id: String, expression: &Expression, value: i64) -> Problem {
    let mut metadata = Map::new();
    metadata.insert("expression".to_owned(), expression.to_string().into());
    Problem {
        id,
        question: format!("Calculate {expression}."),
        answer: value.to_string(),
        metadata,
    }
}

/// The expression of a problem, in metadata as reasoning-gym's `basic_arithmetic`, `chain_sum` and `products` have it.
fn expression_of(problem: &Problem) -> Result<Expression, ProblemError> {
    let fail = |message: String| ProblemError { id: problem.id.clone(), message };
    let text = problem.metadata.get("expression").and_then(Value::as_str);
    let text =
        text.ok_or_else(|| fail("metadata needs `expression`, a text such as 2+3*4".to_owned()))?;
    Expression::parse(text).map_err(|fault| fail(format!("metadata.expression: {fault}")))
}

impl Arithmetic {
    fn start_with(expression: Expression) -> State {
        let target = expression.value();
        State { context: format!("{expression}\n"), expression, target }
    }

    fn rewrite(state: &State, action: &str) -> Result<(i64, Expression), String> {
        state.expression.rewrite(Operation::parse(action)?)
    }
}

impl Environment for Arithmetic {
    type State = State;

    fn root(&self, problem: &Problem) -> Result<State, ProblemError> {
        let expression = expression_of(problem)?;
        if let Some(number) = expression.number() {
            let message = format!("metadata.expression is {number}: there is nothing to work out");
            return Err(ProblemError { id: problem.id.clone(), message });
        }
        Ok(Self::start_with(expression))
    }

    fn context<'a>(&self, state: &'a State) -> &'a str {
        &state.context
    }

    fn step(&self, state: &State, action: &str) -> Result<Transition<State>, StepError> {
        let (observation, expression, terminal) = match Self::rewrite(state, action) {
            Ok((result, expression)) => {
                let observation = format!("={result}|{expression}\n");
                let answer = expression.number().map(|number| Terminal::Answer(number.to_string()));
                (Cow::Owned(observation), expression, answer)
            }
            Err(reason) => {
                (Cow::Borrowed("\n"), state.expression.clone(), Some(Terminal::Invalid(reason)))
            }
        };
        let context = [state.context.as_str(), action, &observation].concat();
        let state = State { context, expression, target: state.target };
        Ok(Transition { observation, state, terminal })
    }

    /// The expression that is left: how it came about does not matter.
    fn state_key(&self, state: &State) -> Option<String> {
        Some(state.expression.to_string())
    }

    fn reward(&self, problem: &Problem, answer: &str) -> f64 {
        if answer == problem.answer.trim() { 1.0 } else { -1.0 }
    }
}

impl EnvironmentKind for Arithmetic {
    type Recipe = Self;
    type Generator = GeneratorRecipe;

    const RANDOM_STEPS: bool = true;

    fn validate(_: &Self, _: &Recipe) -> Result<()> {
        Ok(())
    }

    fn start(settings: &Self, _: usize) -> Result<Self> {
        Ok(*settings)
    }

    /// The first character of an observation; a line end stops a step that the environment will refuse.
    fn stops(&self) -> Vec<String> {
        ["=", "\n"].map(str::to_owned).to_vec()
    }

    fn read_problem(&self, text: &str) -> Result<Problem, String> {
        let form =
            |fault: String| format!("{fault}; write an expression of integers such as 2+3*(7-4)");
        let expression = Expression::parse(text).map_err(form)?;
        let value = expression.value().ok_or_else(|| {
            form(format!("{text:?} has a division that is not exact, or too large a result"))
        })?;
        Ok(problem(text.to_owned(), &expression, value))
    }

    fn split(&self, problem: &Problem) -> Result<Split, ProblemError> {
        Ok(split_of(&expression_of(problem)?.to_string()))
    }

    fn legal_actions(&self, state: &State) -> Option<Vec<String>> {
        Some(state.expression.operations().iter().map(ToString::to_string).collect())
    }

    fn read_context(&self, context: &str) -> Option<State> {
        let mut lines = context.strip_suffix('\n')?.split('\n');
        let mut state = Self::start_with(Expression::parse(lines.next()?).ok()?);
        for line in lines {
            state = self.step(&state, line.split_once('=')?.0).ok()?.state;
        }
        (state.context == context).then_some(state)
    }

    fn truth(&self) -> Option<Truth<State>> {
        let keeps_value =
            |state: &State| state.target.is_some() && state.expression.value() == state.target;
        Some(Box::new(keeps_value))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::SeedableRng;

    use super::*;

    fn root(text: &str) -> State {
        let problem = Arithmetic {}.read_problem(text).unwrap();
        Arithmetic {}.root(&problem).unwrap()
    }

    fn step(state: &State, action: &str) -> Transition<State> {
        Arithmetic {}.step(state, action).unwrap()
    }

    #[test]
    fn a_solution_runs_to_its_answer() {
        let environment = Arithmetic {};
        let problem = environment.read_problem("2+3*(7-4)").unwrap();
        let first = environment.root(&problem).unwrap();
        assert_eq!(environment.context(&first), "2+3*(7-4)\n");
        let second = step(&first, "7-4");
        assert_eq!((&*second.observation, second.terminal), ("=3|2+3*3\n", None));
        let third = step(&second.state, "3*3");
        let last = step(&third.state, "2+9");
        assert_eq!(last.terminal, Some(Terminal::Answer("11".into())));
        let whole = "2+3*(7-4)\n7-4=3|2+3*3\n3*3=9|2+9\n2+9=11|11\n";
        assert_eq!(environment.context(&last.state), whole);
        let rewards = ["11", "15"].map(|answer| environment.reward(&problem, answer));
        assert_eq!(rewards, [1.0, -1.0]);
    }

    #[test]
    fn a_step_out_of_turn_is_legal_and_the_truth_knows() {
        let mut truth = Arithmetic {}.truth().unwrap();
        let first = root("2+3*(7-4)");
        let (right, wrong) = (step(&first, "7-4"), step(&first, "2+3"));
        assert_eq!((&*wrong.observation, &wrong.terminal), ("=5|5*(7-4)\n", &None));
        assert_eq!([&first, &right.state, &wrong.state].map(&mut truth), [true, true, false]);
        assert_eq!(
            step(&step(&wrong.state, "7-4").state, "5*3").terminal,
            Some(Terminal::Answer("15".into()))
        );
    }

    #[test]
    fn rule_breaking_steps_end_the_path_with_a_reason() {
        let first = root("7-7/7+2");
        for (action, reason) in [
            ("7+2", "remainder"),
            ("7*7", "does not stand"),
            ("7", "not an operation"),
            ("", "not an operation"),
            ("7-7=0", "not an operation"),
        ] {
            let state = if reason == "remainder" { root("9-8/4") } else { first.clone() };
            let (state, action) = match reason {
                "remainder" => (step(&state, "9-8").state, "1/4"),
                _ => (state, action),
            };
            match step(&state, action).terminal {
                Some(Terminal::Invalid(message)) => assert!(message.contains(reason), "{message}"),
                other => panic!("{action}: {other:?}"),
            }
        }
    }

    #[test]
    fn a_context_says_its_state() {
        let environment = Arithmetic {};
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        for text in ["2+3*(7-4)", "-(4-9)*3--2", "8/2/2+1"] {
            let mut state = root(text);
            loop {
                assert_eq!(environment.read_context(&state.context).as_ref(), Some(&state));
                let Some(action) = environment.random_action(&state, &mut rng) else { break };
                state = step(&state, &action).state;
            }
        }
        for other in ["", "2+3", "2+\n", "2+3*4\n3*4=13|2+13\n", "Which word?\n"] {
            assert_eq!(environment.read_context(other), None, "{other:?}");
        }
    }

    #[test]
    fn problems_that_cannot_be_posed_say_why() {
        let environment = Arithmetic {};
        let mut problem = environment.read_problem("2+3").unwrap();
        for (expression, part) in [("2+", "whole expression"), ("((7))", "nothing to work out")] {
            problem.metadata.insert("expression".to_owned(), expression.into());
            let error = environment.root(&problem).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
        problem.metadata.clear();
        assert!(environment.root(&problem).unwrap_err().to_string().contains("`expression`"));
        for bad in ["", "2+", "7/2", "two"] {
            assert!(environment.read_problem(bad).unwrap_err().contains("2+3*(7-4)"), "{bad}");
        }
    }

    /// Rows as reasoning-gym makes them.
    #[test]
    fn rows_of_reasoning_gym_are_problems_whose_value_is_their_answer() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../tests/data/reasoning-gym-arithmetic.jsonl");
        let text = fs::read_to_string(path).unwrap();
        let mut seen = 0;
        for line in text.lines() {
            let problem: Problem = serde_json::from_str(line).unwrap();
            let environment = Arithmetic {};
            let state = environment.root(&problem).unwrap();
            assert_eq!(state.target.map(|value| value.to_string()), Some(problem.answer), "{line}");
            seen += 1;
        }
        assert_eq!(seen, 20);
    }
}
