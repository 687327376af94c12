//! The search stage: trees for every problem, each written as soon as its problem is finished.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::sync::Mutex;
use std::time::Instant;

use anyhow::{Result, bail};
use espalier_search::{
    Cancel, Environment, Evaluator, MctsConfig, Problem, StopReason, TreeRecord, continue_tree,
    for_each_index, search_tree,
};
use espalier_training::InferenceStats;
use serde::Serialize;

use crate::compute::ComputeRecipe;
use crate::jsonl::{self, Log};
use crate::progress::Progress;
use crate::seed;

/// What to search.
#[derive(Debug, Clone)]
pub struct Plan<'a> {
    /// The training problems.
    pub problems: &'a [Problem],
    /// How each tree is grown.
    pub config: &'a MctsConfig,
    /// Trees a problem.
    pub trees_per_problem: usize,
    /// Root of the search seeds.
    pub seed: u64,
    /// Fingerprint of the net behind the evaluator.
    pub net: &'a str,
    /// Trees that are searched further instead of growing new ones of their problems.
    pub before: &'a [TreeRecord],
}

/// What a search stage did.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Summary {
    /// Names this form and its version.
    pub schema: String,
    /// Problems searched, by this process or an earlier one.
    pub problems: usize,
    /// Problems with a right answer in one of their trees.
    pub solved: usize,
    /// Problems whose search failed, with the cause.
    pub failed: BTreeMap<String, String>,
    /// Trees.
    pub trees: usize,
    /// Nodes in all trees.
    pub nodes: usize,
    /// Simulations.
    pub simulations: u64,
    /// Sampled tokens.
    pub tokens: u64,
    /// What the net's evaluator did; absent for other evaluators.
    pub inference: Option<InferenceStats>,
    /// Wall time of this process's part.
    pub seconds: f64,
}

/// Grows the trees and writes them to `path`, ordered as the problems are. Finished problems are kept in a log beside it
/// (`*.log`, one problem a line), so that after a kill only unfinished ones are searched; a log of other settings is refused. One problem's failure does not end
/// the others: it is recorded in the summary.
///
/// # Errors
/// When files cannot be read or written, or every search failed.
pub fn search<E: Environment + Serialize>(
    environment: &E,
    evaluator: &dyn Evaluator,
    plan: &Plan<'_>,
    compute: &ComputeRecipe,
    path: &Path,
) -> Result<Summary> {
    let log_path = jsonl::log_beside(path);
    let Plan { problems, config, trees_per_problem, seed, net, before } = plan;
    let parts = (environment, problems, config, trees_per_problem, seed, net, before);
    let (log, logged) = Log::<Vec<TreeRecord>>::open(&log_path, &jsonl::identity(&parts)?)?;
    let mut finished = group(logged);
    let mut to_continue: HashMap<&str, Vec<&TreeRecord>> = HashMap::new();
    for tree in *before {
        to_continue.entry(&tree.problem).or_default().push(tree);
    }
    let known: HashSet<&str> = problems.iter().map(|problem| problem.id.as_str()).collect();
    if let Some(unknown) = to_continue.keys().find(|problem| !known.contains(*problem)) {
        bail!("there is a tree of problem {unknown} to continue, and no such problem");
    }
    let missing: Vec<&Problem> =
        plan.problems.iter().filter(|problem| !finished.contains_key(&problem.id)).collect();
    let progress =
        Progress::new("search", plan.problems.len(), plan.problems.len() - missing.len());
    let failed = Mutex::new(BTreeMap::new());
    let found = Mutex::new(Vec::new());
    let start = Instant::now();
    let cancel = Cancel::new();
    for_each_index(missing.len(), compute.concurrent_problems, &cancel, |index| -> Result<()> {
        let problem = missing[index];
        let trees = to_continue.get(problem.id.as_str()).map_or(&[][..], Vec::as_slice);
        match search_problem(environment, evaluator, plan, problem, trees, &cancel) {
            // The stage is failing: they are to be grown whole the next time.
            Ok(trees) if trees.iter().any(|tree| tree.stop == StopReason::Cancelled) => {}
            Ok(trees) => {
                log.append([&trees])?;
                found.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(trees);
            }
            Err(error) => {
                tracing::warn!(problem = %problem.id, "search failed: {error}");
                let mut failed = failed.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                failed.insert(problem.id.clone(), error.to_string());
            }
        }
        progress.advance(String::new);
        Ok(())
    })?;
    let seconds = start.elapsed().as_secs_f64();
    let found = found.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    finished.extend(group(found));
    let failed = failed.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    if finished.is_empty() {
        let cause = failed.values().next().map_or("no problems", String::as_str);
        bail!("every search failed; the first: {cause}");
    }
    let trees: Vec<TreeRecord> =
        plan.problems.iter().filter_map(|problem| finished.remove(&problem.id)).flatten().collect();
    jsonl::write(path, &trees)?;
    log.remove()?;
    Ok(Summary { failed, seconds, ..count(&trees) })
}

/// Each problem's trees under its id.
fn group(trees: Vec<Vec<TreeRecord>>) -> HashMap<String, Vec<TreeRecord>> {
    trees.into_iter().filter_map(|trees| Some((trees.first()?.problem.clone(), trees))).collect()
}

fn search_problem<E: Environment>(
    environment: &E,
    evaluator: &dyn Evaluator,
    plan: &Plan<'_>,
    problem: &Problem,
    before: &[&TreeRecord],
    cancel: &Cancel,
) -> Result<Vec<TreeRecord>, espalier_search::SearchError> {
    if !before.is_empty() {
        let further = |tree: &&TreeRecord| {
            continue_tree(environment, evaluator, problem, plan.config, tree, cancel)
        };
        return before.iter().map(further).collect();
    }
    (0..plan.trees_per_problem)
        .map(|tree| {
            let stream = seed::derive(plan.seed, &["search", &problem.id, &tree.to_string()]);
            search_tree(environment, evaluator, problem, plan.config, stream, true, cancel)
        })
        .collect()
}

fn count(trees: &[TreeRecord]) -> Summary {
    let solved: HashSet<&str> = trees
        .iter()
        .filter(|tree| tree.react.values().any(|node| node.correct == Some(true)))
        .map(|tree| tree.problem.as_str())
        .collect();
    let problems: HashSet<&str> = trees.iter().map(|tree| tree.problem.as_str()).collect();
    Summary {
        schema: "espalier.search/1".into(),
        problems: problems.len(),
        solved: solved.len(),
        trees: trees.len(),
        nodes: trees.iter().map(|tree| tree.react.len()).sum(),
        simulations: trees.iter().map(|tree| tree.simulations).sum(),
        tokens: trees.iter().map(|tree| tree.tokens).sum(),
        ..Summary::default()
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::atomic::{AtomicBool, Ordering};

    use espalier_search::testing::{HashedEvaluator, LetterGame, LetterState};
    use espalier_search::{
        Evaluation, EvaluatorError, ProblemError, Request, StepError, Transition,
    };

    use super::*;
    use crate::pipeline::tests::until_cancelled;

    /// The game of letters, in which one problem breaks the whole stage as long as it may.
    #[derive(Serialize)]
    struct Fragile<'a> {
        #[serde(skip)]
        fails: &'a AtomicBool,
        #[serde(skip)]
        game: LetterGame,
    }

    impl Environment for Fragile<'_> {
        type State = LetterState;

        fn root(&self, problem: &Problem) -> Result<LetterState, ProblemError> {
            if problem.id == "bad" && self.fails.load(Ordering::SeqCst) {
                panic!("the stage is over")
            }
            self.game.root(problem)
        }

        fn context<'s>(&self, state: &'s LetterState) -> &'s str {
            self.game.context(state)
        }

        fn step(
            &self,
            state: &LetterState,
            action: &str,
        ) -> Result<Transition<LetterState>, StepError> {
            self.game.step(state, action)
        }

        fn reward(&self, problem: &Problem, answer: &str) -> f64 {
            self.game.reward(problem, answer)
        }
    }

    /// While the stage is to fail: stuck until it is cancelled, after the bad problem was let go on.
    struct Stuck<'a> {
        fails: &'a AtomicBool,
        inner: HashedEvaluator,
    }

    impl Evaluator for Stuck<'_> {
        fn evaluate(
            &self,
            requests: &[Request],
            cancel: &Cancel,
        ) -> Vec<Result<Evaluation, EvaluatorError>> {
            if !self.fails.load(Ordering::SeqCst) {
                return self.inner.evaluate(requests, cancel);
            }
            until_cancelled(requests, cancel)
        }
    }

    #[test]
    fn a_failing_stage_does_not_wait_and_keeps_no_half_grown_tree() {
        let fails = AtomicBool::new(true);
        let environment = Fragile { fails: &fails, game: LetterGame { length: Some(8) } };
        let net = Stuck { fails: &fails, inner: HashedEvaluator::new(1, ["a", "b", "c"]) };
        let problems = ["good", "bad"].map(|id| LetterGame::problem(id, "ab"));
        let config = MctsConfig::default();
        let plan = Plan {
            problems: &problems,
            config: &config,
            trees_per_problem: 2,
            seed: 1,
            net: "hashed",
            before: &[],
        };
        let compute = ComputeRecipe { concurrent_problems: 2, ..ComputeRecipe::default() };
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("trees.jsonl");
        let stage = || search(&environment, &net, &plan, &compute, &path);
        assert!(catch_unwind(AssertUnwindSafe(stage)).is_err());
        fails.store(false, Ordering::SeqCst);
        assert_eq!(stage().unwrap().trees, 4);
        let trees: Vec<TreeRecord> = jsonl::read(&path).unwrap();
        assert!(trees.iter().all(|tree| tree.simulations == config.simulations));
    }
}
