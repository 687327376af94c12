//! What became of each of the probe's problems: runs are compared on the same ones.

use serde::{Deserialize, Serialize};

use crate::report::{Proportion, mean_of_runs, proportion};

/// A problem of the probe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// [`espalier_search::Problem::id`].
    pub problem: String,
    /// Whether its tree has a right answer.
    pub solved: bool,
    /// How many of the policy's samples are right.
    pub right: usize,
}

impl Outcome {
    /// 1 where its tree has a right answer, else 0.
    #[must_use]
    pub fn share_solved(&self) -> f64 {
        f64::from(u8::from(self.solved))
    }
}

/// The mean over problems and runs of a share, from each run's own share and the outcomes behind it. Earlier versions did not record
/// those; of such runs the shares alone are known.
pub(super) fn share_of_runs(
    runs: &[(Proportion, Option<Vec<Outcome>>)],
    value: impl Fn(&Outcome) -> f64,
) -> Option<Proportion> {
    let outcomes: Option<Vec<&Vec<Outcome>>> =
        runs.iter().map(|(_, found)| found.as_ref()).collect();
    let problems =
        |run: &Vec<Outcome>| run.iter().map(|one| one.problem.clone()).collect::<Vec<_>>();
    let alike = |runs: &Vec<&Vec<Outcome>>| {
        runs.windows(2).all(|pair| problems(pair[0]) == problems(pair[1]))
    };
    match outcomes.filter(alike) {
        Some(runs) if !runs.is_empty() => {
            let values = |run: &&Vec<Outcome>| run.iter().map(&value).collect();
            Some(proportion(&runs.iter().map(values).collect::<Vec<_>>()))
        }
        _ => mean_of_runs(&runs.iter().map(|(share, _)| *share).collect::<Vec<_>>()),
    }
}
