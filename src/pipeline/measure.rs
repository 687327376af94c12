//! Label quality against the exact truth: how well Q tells states that can still be solved from states that cannot. Nothing here flows
//! back into search or training.

use std::collections::HashSet;
use std::path::Path;

use anyhow::{Context, Result};
use espalier_search::{Environment, LabelledSolution, Problem};

use crate::environment::AnyEnvironment;
use crate::jsonl::{self, Indexed, Rows};
use crate::report::{Auc, Scored};

/// AUC of the Q of every distinct labelled state that does not end its path; `None` where no truth is known. Labels are read a
/// problem at a time; 8 bytes a state stay.
///
/// # Errors
/// When labels cannot be read or are of no known problem.
pub fn label_auc(
    environment: &AnyEnvironment,
    problems: &Indexed<Problem>,
    labels: &Path,
) -> Result<Option<Auc>> {
    let mut scored = Scored::default();
    let rows = Rows::<LabelledSolution>::open(labels)?.rows();
    for solutions in jsonl::groups(rows, |a, b| a.problem_id == b.problem_id) {
        let solutions = solutions?;
        // What is told of other problems is labelled by the paths alone, not by a search.
        if solutions[0].hindsight {
            continue;
        }
        // Fresh for each problem: all that a solver remembers of 60,000 of them would be most of the program's memory.
        let Some(mut truth) = environment.truth() else { return Ok(None) };
        let id = &solutions[0].problem_id;
        let problem = problems.of(id)?.pop().with_context(|| format!("no problem {id}"))?;
        let mut seen = HashSet::new();
        for solution in &solutions {
            let mut state = environment.root(&problem)?;
            for step in &solution.steps {
                let transition = environment.step(&state, &step.action)?;
                if transition.terminal.is_some() {
                    break;
                }
                state = transition.state;
                if seen.insert((solution.tree, environment.context(&state).to_owned())) {
                    scored.push(step.q, truth(&state));
                }
            }
        }
    }
    Ok(scored.auc())
}
