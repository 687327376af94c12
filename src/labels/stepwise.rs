//! Labelled solutions in the row form of TRL's stepwise supervision, for trainers elsewhere.

use std::path::Path;

use anyhow::Result;
use espalier_search::LabelledSolution;
use serde::{Deserialize, Serialize};

use crate::jsonl::{Rows, Writer};

/// Writes labelled solutions in TRL's form, one at a time. Ways to nodes, which end nowhere, are left out; a solution ends before the first
/// label with which a second judge disagrees, since the form has no weights.
///
/// # Errors
/// When a file cannot be read or written.
pub fn export(labels: &Path, out: &Path) -> Result<()> {
    let mut file = Writer::create(out)?;
    for solution in Rows::<LabelledSolution>::open(labels)?.rows() {
        let mut solution = solution?;
        let steps = &mut solution.steps;
        let kept = steps.iter().position(|step| step.agreed == Some(false)).unwrap_or(steps.len());
        steps.truncate(kept);
        if !solution.values_only && !solution.steps.is_empty() {
            file.row(&to_stepwise(&solution))?;
        }
    }
    file.finish()
}

/// A row of TRL's stepwise-supervision data sets (`prompt`, `completions`, `labels`), with two
/// columns more.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrlStepwise {
    /// What the steps continue.
    pub prompt: String,
    /// The steps' texts, observation and delimiter included.
    pub completions: Vec<String>,
    /// Whether each step's label is >= 0.
    pub labels: Vec<bool>,
    /// Each step's label, in [-1, 1].
    pub values: Vec<f64>,
    /// Each step's N: how much its Q in the tree is worth.
    pub visits: Vec<u64>,
}

/// The row of a labelled solution.
#[must_use]
pub fn to_stepwise(solution: &LabelledSolution) -> TrlStepwise {
    let steps = &solution.steps;
    TrlStepwise {
        prompt: solution.prompt.clone(),
        completions: steps.iter().map(|s| format!("{}{}", s.action, s.observation)).collect(),
        labels: steps.iter().map(|step| step.q >= 0.0).collect(),
        values: steps.iter().map(|step| step.q).collect(),
        visits: steps.iter().map(|step| step.visits).collect(),
    }
}

#[cfg(test)]
mod tests {
    use espalier_search::{LabelledStep, SOLUTION_SCHEMA};

    use super::*;

    #[test]
    fn a_row_keeps_the_steps_in_order() {
        let step = |action: &str, q, visits| LabelledStep {
            action: action.to_owned(),
            observation: " ok\n".to_owned(),
            prior: 0.5,
            visits,
            q,
            value: None,
            weight: None,
            agreed: None,
            sampled: None,
        };
        let row = to_stepwise(&LabelledSolution {
            schema: SOLUTION_SCHEMA.to_owned(),
            problem_id: "p".to_owned(),
            tree: 0,
            prompt: "q\n".to_owned(),
            answer: None,
            correct: false,
            steps: vec![step("a", 0.0, 7), step("b", -0.1, 3), step("c", -1.0, 1)],
            reward: -1.0,
            hindsight: false,
            values_only: false,
        });
        assert_eq!(row.completions, ["a ok\n", "b ok\n", "c ok\n"]);
        assert_eq!(row.labels, [true, false, false]);
        assert_eq!((row.values, row.visits), (vec![0.0, -0.1, -1.0], vec![7, 3, 1]));
    }
}
