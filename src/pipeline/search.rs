//! The search stage: trees for every problem, each written as soon as its problem is finished.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Result, bail};
use espalier_search::{
    Cancel, Cut, Cuts, Environment, Evaluator, LabelledSolution, Problem, SearchConfig,
    SearchError, StopReason, TreeRecord, for_each_index,
};
use espalier_training::InferenceStats;
use serde::{Deserialize, Serialize};

use crate::compute::ComputeRecipe;
use crate::interrupt::Work;
use crate::jsonl::{self, EntryLog, Indexed, Writer};
use crate::policy::LimitWatch;
use crate::progress::Progress;
use crate::spans::Span;
use crate::{seed, status};

/// What to search.
#[derive(Clone)]
pub struct Plan<'a> {
    /// The training problems.
    pub problems: &'a Indexed<Problem>,
    /// How each record is grown.
    pub config: &'a SearchConfig,
    /// The budgets of problems that have another than `config`'s, as multiples of it, by id.
    pub budgets: Option<&'a BTreeMap<String, f64>>,
    /// Trees a problem.
    pub trees_per_problem: usize,
    /// Root of the search seeds.
    pub seed: u64,
    /// Fingerprint of the net behind the evaluator.
    pub net: &'a str,
    /// Trees that are searched further instead of growing new ones of their problems.
    pub before: Option<&'a Indexed<TreeRecord>>,
    /// Harvests each problem's trees as its search ends.
    pub harvest: Option<Harvest<'a>>,
}

impl Plan<'_> {
    /// How a problem's records are grown.
    fn config_of(&self, problem: &str) -> Cow<'_, SearchConfig> {
        let budget = self.budgets.and_then(|budgets| budgets.get(problem));
        let Some(&budget) = budget else { return Cow::Borrowed(self.config) };
        let mut config = self.config.clone();
        config.settings_mut().scale_budget(budget);
        Cow::Owned(config)
    }
}

/// Where labels go that need nothing but the trees.
#[derive(Clone, Copy)]
pub struct Harvest<'a> {
    /// Labels the trees of a problem.
    pub label: &'a (dyn Fn(&[TreeRecord]) -> Result<Vec<LabelledSolution>> + Sync),
    /// Names its settings.
    pub identity: &'a str,
    /// Where the labels are written, in the order of the trees.
    pub out: &'a Path,
}

/// What the search of a problem adds to the summary.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Counts {
    solved: bool,
    #[serde(default)]
    unread: bool,
    #[serde(default)]
    cut: Cuts,
    #[serde(default)]
    steps_truncated: usize,
    trees: usize,
    nodes: usize,
    simulations: u64,
    tokens: u64,
    /// Absent in a log that an earlier version began.
    #[serde(default)]
    stops: BTreeMap<StopReason, usize>,
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
    /// Problems that are longer than the policy reads: their trees are bare roots.
    pub context_too_long: usize,
    /// Paths in all trees that have no verdict, by the cause.
    pub paths_cut: Cuts,
    /// Steps in all trees that the policy was cut off in before it had ended them.
    pub steps_truncated: usize,
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
    /// Trees by the reason for which they ended.
    pub stops: BTreeMap<StopReason, usize>,
    /// See [`Evaluator::tokens_read`]; of this process's part.
    pub tokens_read: Option<u64>,
    /// What the net's evaluator did; absent for other evaluators.
    pub inference: Option<InferenceStats>,
    /// Wall time of this process's part.
    pub seconds: f64,
}

/// Grows the trees and writes them to `path`, ordered as the problems are. Finished problems are kept in a log beside it
/// (`*.log`), so that after a kill only unfinished ones are searched; a log of other settings is refused. One problem's failure
/// does not end the others: it is recorded in the summary.
///
/// The trees of the problems under way are in memory, and of the others only where they lie.
///
/// # Errors
/// When files cannot be read or written, every search failed, or the policy can read none of the problems.
pub fn search<E: Environment + Serialize>(
    environment: &E,
    evaluator: &dyn Evaluator,
    plan: &Plan<'_>,
    compute: &ComputeRecipe,
    path: &Path,
) -> Result<Summary> {
    check_continued(plan)?;
    let watch = LimitWatch::new(evaluator);
    let Plan { problems, config, budgets, trees_per_problem, seed, net, before, .. } = plan;
    let before_digest = before.map(Indexed::digest);
    let harvest = plan.harvest.as_ref().map(|harvest| harvest.identity);
    let problems_digest = problems.digest();
    let parts = (
        environment,
        problems_digest,
        config,
        budgets,
        trees_per_problem,
        seed,
        net,
        before_digest,
        harvest,
    );
    let summary = Mutex::new(Summary::default());
    let add = |counts: Counts| {
        status::solved(counts.solved);
        locked(&summary).add(&counts);
    };
    let log: EntryLog<Counts, 2> =
        EntryLog::open(&jsonl::log_beside(path), &jsonl::identity(&parts)?, add)?;
    let missing: Vec<u32> =
        (0..problems.len() as u32).filter(|&index| !log.contains(index as usize)).collect();
    let progress = Progress::new("search", problems.len(), problems.len() - missing.len());
    let (start, read) = (Instant::now(), evaluator.tokens_read());
    let work = Work::begin();
    let cancel = work.cancel();
    let span = Span::current();
    let done = |index: usize| -> Result<()> {
        let index = missing[index] as usize;
        let problem = problems.get(index)?;
        match search_problem(environment, &watch, plan, &problem, &span, cancel)? {
            // The stage is failing: they are to be grown whole the next time.
            Ok(trees) if trees.iter().any(|tree| tree.stop == StopReason::Cancelled) => {}
            Ok(trees) => {
                status::trees(&trees);
                let counts = Counts::of(&trees);
                let labels = match &plan.harvest {
                    Some(harvest) => jsonl::to_rows(&(harvest.label)(&trees)?)?,
                    None => Vec::new(),
                };
                log.append(index, &counts, [&jsonl::to_rows(&trees)?, &labels])?;
                add(counts);
            }
            Err(error) => {
                tracing::warn!(problem = %problem.id, "search failed: {error}");
                locked(&summary).failed.insert(problem.id, error.to_string());
            }
        }
        progress.advance(String::new);
        Ok(())
    };
    let searched = for_each_index(missing.len(), compute.concurrent_problems, cancel, done);
    work.check(|| {
        format!(
            "{} of {} problems are searched; the same command goes on",
            log.len(),
            problems.len()
        )
    })?;
    searched?;
    let mut summary = summary.into_inner().unwrap_or_else(PoisonError::into_inner);
    summary.schema = "espalier.search/1".into();
    summary.seconds = start.elapsed().as_secs_f64();
    summary.tokens_read = evaluator.tokens_read().zip(read).map(|(after, before)| after - before);
    if log.is_empty() {
        let cause = summary.failed.values().next().map_or("no problems", String::as_str);
        bail!("every search failed; the first: {cause}");
    }
    let Summary { problems: searched, context_too_long: unread, .. } = summary;
    if unread == searched {
        log.remove()?;
        bail!("none of the {searched} problems can be read: {}", watch.context());
    }
    if unread > 0 {
        tracing::warn!(
            "{unread} of {searched} problems cannot be read and stay unsolved: {}",
            watch.context()
        );
    }
    watch.warn_of_steps(summary.steps_truncated);
    let Cuts { unsupported_code, undecided_answer, .. } = summary.paths_cut;
    if unsupported_code > 0 {
        tracing::warn!(
            "{unsupported_code} paths ended with code that the interpreter here does not run: nothing is learnt from them"
        );
    }
    if undecided_answer > 0 {
        tracing::warn!(
            "{undecided_answer} paths have answers that could be shown neither right nor wrong: nothing is learnt from them"
        );
    }
    let outputs = [Some(path), plan.harvest.as_ref().map(|harvest| harvest.out)];
    for (section, path) in outputs.into_iter().enumerate() {
        let Some(path) = path else { continue };
        let mut file = Writer::create(path)?;
        log.copy(section, &mut file)?;
        file.finish()?;
    }
    log.retire()?;
    Ok(summary)
}

fn locked(summary: &Mutex<Summary>) -> std::sync::MutexGuard<'_, Summary> {
    summary.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Checks that the trees to be continued are of problems to be searched.
fn check_continued(plan: &Plan<'_>) -> Result<()> {
    let Some(before) = plan.before else { return Ok(()) };
    for row in 0..before.len() {
        let problem = before.get(row)?.problem;
        if !plan.problems.contains(&problem) {
            bail!("there is a tree of problem {problem} to continue, and no such problem");
        }
    }
    Ok(())
}

/// The trees of a problem, or the cause for which its search failed.
fn search_problem<E: Environment>(
    environment: &E,
    evaluator: &dyn Evaluator,
    plan: &Plan<'_>,
    problem: &Problem,
    span: &Span,
    cancel: &Cancel,
) -> Result<Result<Vec<TreeRecord>, SearchError>> {
    let config = plan.config_of(&problem.id);
    let kind = config.kind::<E>();
    let before = plan.before.map_or(Ok(Vec::new()), |before| before.of(&problem.id))?;
    if !before.is_empty() {
        let further = |(index, tree): (usize, &TreeRecord)| {
            span.search(&problem.id, index, tree.seed, || {
                kind.continue_record(environment, evaluator, problem, tree, cancel)
            })
        };
        return Ok(before.iter().enumerate().map(further).collect());
    }
    let trees = (0..plan.trees_per_problem).map(|tree| {
        let stream = seed::derive(plan.seed, &["search", &problem.id, &tree.to_string()]);
        span.search(&problem.id, tree, stream, || {
            kind.grow(environment, evaluator, problem, stream, true, cancel)
        })
    });
    Ok(trees.collect())
}

/// Whether the problem itself is longer than the policy reads.
fn is_unread(tree: &TreeRecord) -> bool {
    let ending = tree.root().and_then(|root| root.terminal.as_ref());
    ending.and_then(Cut::of) == Some(Cut::ContextTooLong)
}

impl Counts {
    fn of(trees: &[TreeRecord]) -> Self {
        let mut cut = Cuts::default();
        trees.iter().for_each(|tree| cut += Cuts::in_tree(tree));
        let solved = |tree: &TreeRecord| tree.react.values().any(|node| node.correct == Some(true));
        Self {
            solved: trees.iter().any(solved),
            unread: trees.iter().all(is_unread),
            cut,
            steps_truncated: trees.iter().map(TreeRecord::steps_truncated).sum(),
            trees: trees.len(),
            nodes: trees.iter().map(|tree| tree.react.len()).sum(),
            simulations: trees.iter().map(|tree| tree.simulations).sum(),
            tokens: trees.iter().map(|tree| tree.tokens).sum(),
            stops: trees.iter().fold(BTreeMap::new(), |mut stops, tree| {
                *stops.entry(tree.stop).or_default() += 1;
                stops
            }),
        }
    }
}

impl Summary {
    fn add(&mut self, counts: &Counts) {
        self.problems += 1;
        self.solved += usize::from(counts.solved);
        self.context_too_long += usize::from(counts.unread);
        self.paths_cut += counts.cut;
        self.steps_truncated += counts.steps_truncated;
        self.trees += counts.trees;
        self.nodes += counts.nodes;
        self.simulations += counts.simulations;
        self.tokens += counts.tokens;
        for (stop, trees) in &counts.stops {
            *self.stops.entry(*stop).or_default() += trees;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::atomic::{AtomicBool, Ordering};

    use espalier_search::testing::{Answering, HashedEvaluator, LetterGame, LetterState};
    use espalier_search::{
        EvaluatorError, MctsConfig, ProblemError, Request, StepError, Transition,
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

    /// Two trees a problem.
    fn plan<'a>(problems: &'a Indexed<Problem>, config: &'a SearchConfig) -> Plan<'a> {
        Plan {
            problems,
            config,
            budgets: None,
            trees_per_problem: 2,
            seed: 1,
            net: "stand-in",
            before: None,
            harvest: None,
        }
    }

    #[test]
    fn problems_that_cannot_be_read_are_counted_apart_and_not_all_may_be_such() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("problems.jsonl");
        let problem = |id| Problem { question: format!("{id}?"), ..LetterGame::problem(id, "ab") };
        jsonl::write(&file, ["short", "long"].map(problem)).unwrap();
        let problems = Indexed::open(&file, |problem: &Problem| &problem.id, |_| Ok(())).unwrap();
        let (config, compute) = (SearchConfig::default(), ComputeRecipe::default());
        let plan = plan(&problems, &config);
        let path = dir.path().join("trees.jsonl");
        let fails = AtomicBool::new(false);
        let game = Fragile { fails: &fails, game: LetterGame { length: Some(2) } };
        let net = HashedEvaluator::new(1, ["a", "b"]);
        // Reads a problem that begins so, and no other.
        let searched = |reads: &str| {
            let short = Answering(|requests: &[Request], cancel: &Cancel| {
                if requests.iter().all(|request| request.context.starts_with(reads)) {
                    return net.evaluate(requests, cancel);
                }
                vec![Err(EvaluatorError::ContextTooLong { tokens: 20, limit: 10 }); requests.len()]
            });
            search(&game, &short, &plan, &compute, &path)
        };
        let error = searched("none").unwrap_err().to_string();
        assert!(error.contains("none of the 2") && error.contains("20 tokens"), "{error}");
        assert_eq!(dir.path().read_dir().unwrap().count(), 1);
        let summary = searched("short?").unwrap();
        assert_eq!((summary.problems, summary.context_too_long), (2, 1));
        assert_eq!(summary.paths_cut, Cuts { context_too_long: 2, ..Cuts::default() });
    }

    #[test]
    fn a_failing_stage_does_not_wait_and_keeps_no_half_grown_tree() {
        let fails = AtomicBool::new(true);
        let environment = Fragile { fails: &fails, game: LetterGame { length: Some(8) } };
        let inner = HashedEvaluator::new(1, ["a", "b", "c"]);
        // While the stage is to fail: stuck until it is cancelled, after the bad problem was let go on.
        let net = Answering(|requests: &[Request], cancel: &Cancel| {
            if fails.load(Ordering::SeqCst) {
                return until_cancelled(requests, cancel);
            }
            inner.evaluate(requests, cancel)
        });
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("problems.jsonl");
        jsonl::write(&file, ["good", "bad"].map(|id| LetterGame::problem(id, "ab"))).unwrap();
        let problems = Indexed::open(&file, |problem: &Problem| &problem.id, |_| Ok(())).unwrap();
        let config = SearchConfig::default();
        let plan = plan(&problems, &config);
        let compute = ComputeRecipe { concurrent_problems: 2, ..ComputeRecipe::default() };
        let path = dir.path().join("trees.jsonl");
        let stage = || search(&environment, &net, &plan, &compute, &path);
        assert!(catch_unwind(AssertUnwindSafe(stage)).is_err());
        fails.store(false, Ordering::SeqCst);
        assert_eq!(stage().unwrap().trees, 4);
        let trees: Vec<TreeRecord> = jsonl::read(&path).unwrap();
        let simulations = MctsConfig::default().simulations;
        assert!(trees.iter().all(|tree| tree.simulations == simulations));
    }
}
