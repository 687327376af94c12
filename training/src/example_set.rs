//! Examples made of solutions, problem after problem, as an objective says.

use std::collections::BTreeMap;

use espalier_model::tokenizer::Tokenizer;

use crate::error::Result;
use crate::example::Example;
use crate::objective::{LabelledPath, Objective, Unlearnt};

/// The examples of a training run.
#[derive(Debug)]
pub struct ExampleSet<'a> {
    tokenizer: &'a Tokenizer,
    objective: &'a dyn Objective,
    examples: Vec<Example>,
    problems: u32,
    unlearnt: BTreeMap<Unlearnt, usize>,
}

impl<'a> ExampleSet<'a> {
    /// None so far, for a net with this tokenizer.
    #[must_use]
    pub fn new(tokenizer: &'a Tokenizer, objective: &'a dyn Objective) -> Self {
        Self { tokenizer, objective, examples: Vec::new(), problems: 0, unlearnt: BTreeMap::new() }
    }

    /// Adds the solutions of a problem: one group. A problem that teaches nothing is counted under its reason.
    ///
    /// # Errors
    /// When the tokenizer cannot encode a solution.
    pub fn add(&mut self, paths: &[LabelledPath<'_>]) -> Result<()> {
        let group = self.problems;
        self.problems += 1;
        let targets = match self.objective.targets(paths) {
            Ok(targets) => targets,
            Err(reason) => {
                *self.unlearnt.entry(reason).or_default() += 1;
                return Ok(());
            }
        };
        for (path, targets) in paths.iter().zip(&targets) {
            let example = Example::from_path(self.tokenizer, path, targets)?;
            self.examples.push(Example { group: Some(group), ..example });
        }
        Ok(())
    }

    /// The examples so far, in the order of the solutions.
    #[must_use]
    pub fn examples(&self) -> &[Example] {
        &self.examples
    }

    /// The objective that they are made for.
    #[must_use]
    pub fn objective(&self) -> &'a dyn Objective {
        self.objective
    }

    /// How many problems were added.
    #[must_use]
    pub fn problems(&self) -> usize {
        self.problems as usize
    }

    /// How many problems taught nothing, and why; `None` when all taught something.
    #[must_use]
    pub fn unlearnt(&self) -> Option<String> {
        let reasons = self.unlearnt.iter();
        let reasons: Vec<String> =
            reasons.map(|(Unlearnt(reason), count)| format!("{count} {reason}")).collect();
        (!reasons.is_empty()).then(|| reasons.join(", "))
    }
}
