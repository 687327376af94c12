//! The harvest stage: from trees to step-labelled solutions.

use std::path::Path;

use anyhow::{Context, Result, bail};
use espalier_search::{
    HarvestConfig, LabelledSolution, TreeRecord, harvest as harvest_trees, to_stepwise,
};
use serde::Serialize;

use crate::environment::AnyEnvironment;
use crate::jsonl;

/// What a harvest holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Names this form and its version.
    pub schema: String,
    /// Problems with at least one finished path.
    pub problems: usize,
    /// Problems with at least one right solution.
    pub solved: usize,
    /// Right solutions kept.
    pub correct: usize,
    /// Wrong solutions kept.
    pub incorrect: usize,
    /// Labelled steps.
    pub steps: usize,
}

/// Harvests a trees file into a labels file, and into TRL's stepwise form when a path for it is given. The solutions continue what
/// nets are trained on ([`AnyEnvironment::training_prompt`]), which may be less than what the policy read.
///
/// # Errors
/// When a file cannot be read or written, or the trees hold no finished path.
pub fn harvest(
    environment: &AnyEnvironment,
    trees: &Path,
    config: &HarvestConfig,
    seed: u64,
    labels: &Path,
    stepwise: Option<&Path>,
) -> Result<Summary> {
    let trees_of_file: Vec<TreeRecord> = jsonl::read(trees)?;
    if trees_of_file.is_empty() {
        bail!("{} holds no trees", trees.display());
    }
    let mut summary = Summary { schema: "espalier.harvest/1".into(), ..Summary::default() };
    let mut solutions: Vec<LabelledSolution> = Vec::new();
    // The search stage writes a problem's trees one after the other.
    for problem in trees_of_file.chunk_by(|a, b| a.problem == b.problem) {
        let mut harvested = harvest_trees(problem, config, seed)
            .with_context(|| format!("{}: problem {}", trees.display(), problem[0].problem))?;
        if let Some(prompt) = environment.training_prompt(&problem[0].question)? {
            harvested.iter_mut().for_each(|solution| solution.prompt.clone_from(&prompt));
        }
        let correct = harvested.iter().filter(|solution| solution.correct).count();
        summary.problems += usize::from(!harvested.is_empty());
        summary.solved += usize::from(correct > 0);
        summary.correct += correct;
        summary.incorrect += harvested.len() - correct;
        summary.steps += harvested.iter().map(|solution| solution.steps.len()).sum::<usize>();
        solutions.extend(harvested);
    }
    if solutions.is_empty() {
        bail!("{} holds no finished path to harvest", trees.display());
    }
    if let Some(path) = stepwise {
        jsonl::write(path, solutions.iter().map(to_stepwise))?;
    }
    jsonl::write(labels, &solutions)?;
    Ok(summary)
}
