//! Examples made of solutions, problem after problem, as an objective says.

use std::collections::BTreeMap;
use std::path::Path;

use espalier_model::tokenizer::Tokenizer;

use crate::error::Result;
use crate::example::Example;
use crate::examples::ExampleFile;
use crate::objective::{LabelledPath, Objective, Unlearnt};

/// The examples of a training run.
#[derive(Debug)]
pub struct ExampleSet<'a> {
    tokenizer: &'a Tokenizer,
    objective: &'a dyn Objective,
    examples: ExampleFile,
    policy: usize,
    value: usize,
    problems: u32,
    unlearnt: BTreeMap<Unlearnt, usize>,
}

impl<'a> ExampleSet<'a> {
    /// None so far, for a net with this tokenizer. They are kept in a file on the disk of `beside` until their steps.
    ///
    /// # Errors
    /// When the file cannot be created.
    pub fn new(
        tokenizer: &'a Tokenizer,
        objective: &'a dyn Objective,
        beside: &Path,
    ) -> Result<Self> {
        Ok(Self {
            tokenizer,
            objective,
            examples: ExampleFile::create(beside)?,
            policy: 0,
            value: 0,
            problems: 0,
            unlearnt: BTreeMap::new(),
        })
    }

    /// Adds the solutions of a problem: one group. A problem that teaches nothing is counted under its reason.
    ///
    /// # Errors
    /// When the tokenizer cannot encode a solution, or it cannot be written.
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
            self.policy += usize::from(!example.policy.is_empty());
            self.value += usize::from(!example.value_targets.is_empty());
            self.examples.push(&Example { group: Some(group), ..example })?;
        }
        self.examples.flush()
    }

    /// The examples so far, in the order of the solutions.
    #[must_use]
    pub fn examples(&self) -> &ExampleFile {
        &self.examples
    }

    /// How many examples teach the policy, and how many the value head.
    #[must_use]
    pub fn learnt(&self) -> [usize; 2] {
        [self.policy, self.value]
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
