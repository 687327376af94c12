//! `kind = "monte_carlo"`: Math-Shepherd's labels (arXiv 2312.08935, section 3.3).

use std::collections::HashMap;

use anyhow::Result;
use espalier_search::LabelledSolution;
use serde::{Deserialize, Serialize};

use super::{LabelRule, Play, RolloutPlayer};
use crate::seed;

/// A step's label is the estimate of N roll-outs from the state after it. The last step's is the reward: there is nothing to
/// play. Paths that begin alike share the roll-outs of their common steps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MonteCarlo {
    /// N, roll-outs from each step. The paper's is 8.
    pub rollouts: usize,
    /// How N rewards become a label.
    pub estimate: Estimate,
    /// Sampling temperature of the roll-outs.
    pub temperature: f32,
    /// Most steps of a path, those before the roll-out included.
    pub max_depth: usize,
}

/// How the rewards of N roll-outs become a label in [-1, 1].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Estimate {
    /// The paper's soft estimation, Eq. 4: the share p of roll-outs that reach the right answer, as 2p - 1. Of rewards between
    /// -1 and 1: their mean.
    Soft,
    /// The paper's hard estimation, Eq. 3: +1 where at least one roll-out reaches the right answer, else -1.
    Hard,
}

impl Default for MonteCarlo {
    fn default() -> Self {
        Self { rollouts: 8, estimate: Estimate::Soft, temperature: 1.0, max_depth: 8 }
    }
}

impl Estimate {
    fn of(self, rewards: &[f64]) -> f64 {
        match self {
            Self::Soft => rewards.iter().sum::<f64>() / rewards.len().max(1) as f64,
            Self::Hard if rewards.iter().any(|&reward| reward > 0.0) => 1.0,
            Self::Hard => -1.0,
        }
    }
}

impl LabelRule for MonteCarlo {
    fn needs_rollouts(&self) -> bool {
        true
    }

    fn validate(&self) -> Result<(), String> {
        let wrong = |key, value: &dyn std::fmt::Display, range| {
            Err(format!("{key} = {value} must be {range}"))
        };
        match self {
            Self { rollouts: 0, .. } => wrong("rollouts", &0, "at least 1"),
            Self { max_depth: 0, .. } => wrong("max_depth", &0, "at least 1"),
            Self { temperature, .. } if !(temperature.is_finite() && *temperature >= 0.0) => {
                wrong("temperature", temperature, "a number that is not negative")
            }
            _ => Ok(()),
        }
    }

    fn label(
        &self,
        paths: &mut [LabelledSolution],
        rollouts: &mut dyn RolloutPlayer,
        seed: u64,
    ) -> Result<()> {
        let mut known: HashMap<Vec<String>, f64> = HashMap::new();
        for path in paths {
            let actions: Vec<String> = path.steps.iter().map(|step| step.action.clone()).collect();
            let last = actions.len().saturating_sub(1);
            for (index, step) in path.steps.iter_mut().enumerate() {
                if index == last {
                    step.q = path.reward;
                    continue;
                }
                let prefix = &actions[..=index];
                step.q = match known.get(prefix) {
                    Some(&label) => label,
                    None => {
                        let actions: Vec<&str> = prefix.iter().map(String::as_str).collect();
                        let stream = [&["roll-outs", &path.problem_id], &*actions].concat();
                        let play = Play {
                            count: self.rollouts,
                            temperature: self.temperature,
                            max_depth: self.max_depth,
                            seed: seed::derive(seed, &stream),
                        };
                        let label = self.estimate.of(&rollouts.play(&actions, &play)?);
                        known.insert(prefix.to_vec(), label);
                        label
                    }
                };
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use espalier_search::testing::{AnswerEach, LetterGame};
    use espalier_search::{Cancel, Evaluation, EvaluatorError, Proposal, Request};

    use super::super::rollouts::{Cost, NoRollouts, PolicyRollouts};
    use super::super::tests::{labels, path};
    use super::*;

    /// Four roll-outs are asked for at once: after "a" three of the first steps are "b" and one is "c"; then all answer. Of the
    /// problem "ab" three in four are right. After "c" nothing helps.
    fn completer(request: &Request) -> Result<Evaluation, EvaluatorError> {
        let after_a = request.context.ends_with("\na\n");
        let action = |index| {
            if !after_a {
                "="
            } else if index < 3 {
                "b"
            } else {
                "c"
            }
        };
        let step = |index| Proposal {
            action: action(index).into(),
            log_prob: -1.0,
            tokens: 2,
            truncated: false,
            sampled: None,
        };
        Ok(Evaluation { proposals: (0..request.samples).map(step).collect(), value: 0.0 })
    }

    fn labelled(estimate: Estimate) -> (Vec<LabelledSolution>, Cost) {
        let (game, evaluator) = (LetterGame::default(), AnswerEach(completer));
        let (problem, cancel) = (LetterGame::problem("p", "ab"), Cancel::new());
        let mut rollouts = PolicyRollouts::new(&game, &evaluator, &problem, &cancel);
        let mut paths = vec![
            path(&[("a", 0.3), ("b", 0.4), ("=", 0.5)], true),
            path(&[("a", 0.3), ("=", 0.1)], false),
            path(&[("c", 0.9), ("a", 0.9), ("=", 0.9)], false),
        ];
        let rule = MonteCarlo { rollouts: 4, estimate, ..MonteCarlo::default() };
        rule.label(&mut paths, &mut rollouts, 1).unwrap();
        (paths, rollouts.cost())
    }

    #[test]
    fn a_label_is_the_share_of_right_roll_outs_and_its_cost_is_counted() {
        let (paths, cost) = labelled(Estimate::Soft);
        // a: 3 of 4 right, 2 * 3/4 - 1. ab: all. c: none. ca: "cab" and "cac" are both wrong.
        assert_eq!(labels(&paths[0]), [0.5, 1.0, 1.0]);
        assert_eq!(labels(&paths[1]), [0.5, -1.0]);
        assert_eq!(labels(&paths[2]), [-1.0, -1.0, -1.0]);
        // Four states, "a" once for both paths, four roll-outs each. Two steps of two tokens from "a" and "ca", one from
        // "ab" and "c"; a request for the first steps and four for the second ones.
        let expected = Cost { rollouts: 16, tokens: 2 * 16 + 2 * 8, evaluations: 2 * 5 + 2 };
        assert_eq!(cost, expected);
        let (paths, _) = labelled(Estimate::Hard);
        assert_eq!(labels(&paths[0]), [1.0, 1.0, 1.0]);
        assert_eq!(labels(&paths[1]), [1.0, -1.0]);
        assert_eq!(labels(&paths[2]), [-1.0, -1.0, -1.0]);
    }

    #[test]
    fn without_a_policy_it_is_refused() {
        let mut paths = [path(&[("a", 0.0), ("=", 0.0)], true)];
        let error = MonteCarlo::default().label(&mut paths, &mut NoRollouts, 1).unwrap_err();
        assert!(error.to_string().contains("--checkpoint"), "{error}");
        let none = MonteCarlo { rollouts: 0, ..MonteCarlo::default() };
        assert!(none.validate().unwrap_err().contains("rollouts"));
        MonteCarlo::default().validate().unwrap();
    }
}
