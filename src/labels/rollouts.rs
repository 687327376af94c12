//! Roll-outs for label rules: the policy plays on from a step, and the environment says what it came to.

use anyhow::{Context, Result, bail};
use espalier_search::{
    Cancel, Cut, Environment, Evaluator, Problem, RolloutPlan, Rollouts, Terminal, roll_out,
};
use serde::{Deserialize, Serialize};

/// How a rule wants its roll-outs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Play {
    /// How many.
    pub count: usize,
    /// Sampling temperature.
    pub temperature: f32,
    /// Most steps of a path in all, those before the roll-out included.
    pub max_depth: usize,
    /// Seed of all of them.
    pub seed: u64,
}

/// What labels cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cost {
    /// Roll-outs played.
    pub rollouts: u64,
    /// Tokens sampled for them.
    pub tokens: u64,
    /// Requests answered by the evaluator.
    pub evaluations: u64,
}

impl Cost {
    /// Adds another's.
    pub fn add(&mut self, other: Self) {
        self.rollouts += other.rollouts;
        self.tokens += other.tokens;
        self.evaluations += other.evaluations;
    }
}

/// Rewards of roll-outs, each in [-1, 1]. A path without an answer has -1, and one that says nothing of its steps 0.
pub type Played = Vec<f64>;

/// Plays roll-outs of one problem.
pub trait RolloutPlayer {
    /// Plays on from the state to which these actions lead.
    ///
    /// # Errors
    /// When the policy or the environment fails.
    fn play(&mut self, actions: &[&str], play: &Play) -> Result<Played>;
}

/// Stands where a rule needs none.
#[derive(Debug)]
pub struct NoRollouts;

impl RolloutPlayer for NoRollouts {
    fn play(&mut self, _: &[&str], _: &Play) -> Result<Played> {
        bail!(
            "this rule plays roll-outs: name the policy (--checkpoint) and the problems (--problems)"
        )
    }
}

/// Roll-outs of a problem by a policy, with their cost so far.
pub struct PolicyRollouts<'a, E> {
    environment: &'a E,
    evaluator: &'a dyn Evaluator,
    problem: &'a Problem,
    cancel: &'a Cancel,
    cost: Cost,
}

impl<'a, E: Environment> PolicyRollouts<'a, E> {
    /// Roll-outs that end early once `cancel` is cancelled.
    #[must_use]
    pub fn new(
        environment: &'a E,
        evaluator: &'a dyn Evaluator,
        problem: &'a Problem,
        cancel: &'a Cancel,
    ) -> Self {
        Self { environment, evaluator, problem, cancel, cost: Cost::default() }
    }

    /// The cost so far.
    #[must_use]
    pub fn cost(&self) -> Cost {
        self.cost
    }

    fn reward(&self, end: Option<&Terminal>) -> f64 {
        match end {
            Some(Terminal::Answer(answer)) => self.environment.reward(self.problem, answer),
            Some(ending) => Cut::worth(ending, -1.0),
            None => -1.0,
        }
    }
}

impl<E: Environment> RolloutPlayer for PolicyRollouts<'_, E> {
    fn play(&mut self, actions: &[&str], play: &Play) -> Result<Played> {
        let mut state = self.environment.root(self.problem)?;
        for action in actions {
            state = self.environment.step(&state, action)?.state;
        }
        let plan = RolloutPlan {
            count: play.count,
            temperature: play.temperature,
            max_steps: play.max_depth.saturating_sub(actions.len()).max(1),
            seed: play.seed,
        };
        let Rollouts { ends, tokens, evaluations } =
            roll_out(self.environment, self.evaluator, self.problem, &state, &plan, self.cancel)
                .with_context(|| format!("roll-outs from step {}", actions.len()))?;
        self.cost.add(Cost { rollouts: ends.len() as u64, tokens, evaluations });
        Ok(ends.iter().map(|end| self.reward(end.as_ref())).collect())
    }
}

#[cfg(test)]
mod tests {
    use espalier_search::testing::{HashedEvaluator, LetterGame};
    use espalier_search::{ProblemError, StepError, Transition};

    use super::*;

    /// Ends every path at its first step: `u` is code that is not run, `!` breaks the rules, and all else is an answer, of which `?` has no
    /// verdict.
    struct Unsure;

    impl Environment for Unsure {
        type State = String;

        fn root(&self, problem: &Problem) -> Result<String, ProblemError> {
            Ok(problem.question.clone())
        }

        fn context<'a>(&self, state: &'a String) -> &'a str {
            state
        }

        fn step(&self, state: &String, action: &str) -> Result<Transition<String>, StepError> {
            let terminal = match action {
                "u" => Cut::UnsupportedCode.ending_at("import x"),
                "!" => Terminal::Invalid("a rule".to_owned()),
                answer => Terminal::Answer(answer.to_owned()),
            };
            let state = [state, action, "\n"].concat();
            Ok(Transition { observation: "\n".into(), state, terminal: Some(terminal) })
        }

        fn reward(&self, problem: &Problem, answer: &str) -> f64 {
            match answer {
                "?" => 0.0,
                answer if answer == problem.answer => 1.0,
                _ => -1.0,
            }
        }
    }

    #[test]
    fn a_roll_out_without_a_verdict_says_nothing_either_way() {
        let (problem, cancel) = (LetterGame::problem("p", "a"), Cancel::new());
        let play = Play { count: 2, temperature: 1.0, max_depth: 3, seed: 1 };
        for (step, reward) in [("a", 1.0), ("b", -1.0), ("!", -1.0), ("u", 0.0), ("?", 0.0)] {
            let policy = HashedEvaluator::new(1, [step]);
            let mut rollouts = PolicyRollouts::new(&Unsure, &policy, &problem, &cancel);
            assert_eq!(rollouts.play(&[], &play).unwrap(), [reward; 2], "{step}");
        }
    }
}
