//! ProcessBench (arXiv 2412.06559): find the first wrong step of a solution, or say that all are right.
//!
//! A step is called wrong when the value at its end is below a threshold; the prediction is the first such step. The accuracy on
//! solutions with an error (their first wrong step is found exactly) and the one on solutions without (nothing is called wrong) make F1,
//! their harmonic mean.

mod metrics;
mod threshold;

pub use metrics::{Metrics, metrics};
pub use threshold::{best_threshold, both_kinds};

use anyhow::Result;
use espalier_search::Evaluator;
use serde::Serialize;

use super::{Kept, Template, Values, read_values};

/// A solution whose first wrong step is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Solution {
    /// The source's own id, or the row.
    pub id: String,
    /// The question.
    pub question: String,
    /// At least one.
    pub steps: Vec<String>,
    /// The first wrong step, counted from 0; `None` when all are right.
    pub first_error: Option<usize>,
}

/// A solution with the value net's opinion of each step.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Scored {
    /// [`Solution::id`].
    pub id: String,
    /// [`Solution::first_error`].
    pub first_error: Option<usize>,
    /// The value at the end of each step, in [-1, 1].
    pub values: Vec<f64>,
}

impl Scored {
    /// The first step whose value is below the threshold.
    #[must_use]
    pub fn prediction(&self, threshold: f64) -> Option<usize> {
        self.values.iter().position(|value| *value < threshold)
    }
}

/// Reads the value at the end of every step; also says how many step ends were too long to be read.
///
/// # Errors
/// When the evaluator fails, or what is kept is of other solutions or another net.
pub fn score(
    evaluator: &dyn Evaluator,
    template: &Template<'_>,
    solutions: &[Solution],
    kept: Option<&Kept<'_>>,
) -> Result<(Vec<Scored>, usize)> {
    let step_ends = |solution: &Solution| template.step_ends(&solution.question, &solution.steps);
    let contexts: Vec<_> = solutions.iter().map(step_ends).collect::<Result<_>>()?;
    let Values { values, too_long } = read_values(evaluator, &contexts, "value steps", kept)?;
    let scored = solutions.iter().zip(values).map(|(solution, values)| Scored {
        id: solution.id.clone(),
        first_error: solution.first_error,
        values,
    });
    Ok((scored.collect(), too_long))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::AnyEnvironment;
    use crate::environment::countdown::Countdown;
    use espalier_search::testing::AnswerEach;
    use espalier_search::{Evaluation, EvaluatorError, Request};

    /// Values a text by its last character but the delimiter, and reads no long one.
    fn by_last_digit(request: &Request) -> Result<Evaluation, EvaluatorError> {
        if request.context.len() > 20 {
            return Err(EvaluatorError::ContextTooLong { tokens: 21, limit: 20 });
        }
        let digit = request.context.trim_end().chars().last().and_then(|c| c.to_digit(10));
        Ok(Evaluation { proposals: vec![], value: f64::from(digit.unwrap()) / 10.0 })
    }

    #[test]
    fn values_are_read_at_step_ends_and_too_long_ones_count_as_wrong() {
        let solution = |steps: &[&str], first_error| Solution {
            id: "a".into(),
            question: "q".into(),
            steps: steps.iter().map(|step| (*step).to_owned()).collect(),
            first_error,
        };
        let countdown = AnyEnvironment::from(Countdown::default());
        let template = Template::of_environment(&countdown).with_prompt("{question}\n").unwrap();
        let solutions = [
            solution(&["x 3", "y 1"], Some(1)),
            solution(&["long 2", "longer and longer 9"], None),
        ];
        let (scored, too_long) =
            score(&AnswerEach(by_last_digit), &template, &solutions, None).unwrap();
        assert_eq!(
            (&scored[0].values[..], &scored[1].values[..]),
            (&[0.3, 0.1][..], &[0.2, -1.0][..])
        );
        assert_eq!(too_long, 1);
    }
}
