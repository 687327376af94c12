//! What a search leaves behind in its tree when it fails or is cancelled, which no record shows.

use std::time::{Duration, Instant};

use super::*;
use crate::snapshot::StopReason;
use crate::sync::{AtomicBool, AtomicU64, Ordering};
use crate::testing::{HashedEvaluator, LetterGame, LetterState};
use crate::tree::{Node, NodeState};
use crate::{
    Cancel, Evaluation, EvaluatorError, ProblemError, Proposal, Request, StepError, Transition,
};
use proptest::prelude::*;

#[derive(Debug, Clone, Copy)]
enum Fault {
    None,
    Error,
    Panic,
    WrongShape,
    /// Cancels the search from outside, and gives up when that has come down to it.
    Cancelled,
    /// Cancels the search and answers all the same.
    Deaf,
}

/// Answers by hash until a given call, and gives other threads a chance before each.
struct Faulty {
    inner: HashedEvaluator,
    fault: Fault,
    left: AtomicU64,
    broken: AtomicBool,
    outside: Cancel,
}

type Answers = Vec<Result<Evaluation, EvaluatorError>>;

fn cancelled(requests: &[Request]) -> Answers {
    vec![Err(EvaluatorError::Cancelled); requests.len()]
}

/// Waits until a call is cancelled, which must come.
fn wait_for(cancel: &Cancel) {
    let begun = Instant::now();
    while !cancel.is_cancelled() {
        assert!(begun.elapsed() < Duration::from_secs(60), "nobody cancels the evaluation");
        std::thread::yield_now();
    }
}

impl Evaluator for Faulty {
    fn evaluate(&self, requests: &[Request], cancel: &Cancel) -> Answers {
        for _ in 0..requests[0].seed % 4 {
            std::thread::yield_now();
        }
        let left = |n: u64| n.checked_sub(1);
        if self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, left).is_ok() {
            return self.inner.evaluate(requests, cancel);
        }
        self.broken.store(true, Ordering::Relaxed);
        match self.fault {
            Fault::None => self.inner.evaluate(requests, cancel),
            Fault::Error => {
                vec![Err(EvaluatorError::Failed("out of order".to_owned())); requests.len()]
            }
            Fault::Panic => panic!("out of order"),
            Fault::WrongShape => Vec::new(),
            Fault::Cancelled => {
                self.outside.cancel();
                wait_for(cancel);
                cancelled(requests)
            }
            Fault::Deaf => {
                self.outside.cancel();
                self.inner.evaluate(requests, cancel)
            }
        }
    }
}

/// Panics at the letter z, and cannot take the step `y`.
struct Fragile;

impl Environment for Fragile {
    type State = LetterState;

    fn root(&self, problem: &Problem) -> Result<LetterState, ProblemError> {
        LetterGame::default().root(problem)
    }

    fn context<'a>(&self, state: &'a LetterState) -> &'a str {
        const { &LetterGame { length: None } }.context(state)
    }

    fn step(
        &self,
        state: &LetterState,
        action: &str,
    ) -> Result<Transition<LetterState>, StepError> {
        assert!(action != "z", "z is too much");
        if action == "y" {
            return Err(StepError::new("y is too much"));
        }
        LetterGame::default().step(state, action)
    }

    fn reward(&self, problem: &Problem, answer: &str) -> f64 {
        LetterGame::default().reward(problem, answer)
    }
}

/// Walks the whole tree: nothing in flight, nothing claimed, and as many expanded nodes as
/// simulations that widened none.
fn assert_settled<E: Environment>(search: &Search<'_, E>) {
    let tree = &search.tree;
    let mut open = vec![tree.root()];
    let mut expanded = 0;
    while let Some(node) = open.pop() {
        let stats = node.stats(tree);
        assert_eq!(stats.in_flight, 0, "{node:?}");
        assert!(stats.q().abs() <= 1.0);
        assert_ne!(node.state(), NodeState::Expanding, "{node:?}");
        if node.state() == NodeState::Expanded {
            expanded += 1;
            assert!(!tree.siblings(node).unwrap().are_claimed(), "{node:?}");
            let closed = |child: &Node<'_>| child.is_closed();
            assert_eq!(
                node.open_children(tree),
                node.children(tree).filter(|c| !closed(c)).count()
            );
        }
        open.extend(node.children(tree));
    }
    let most = expanded * (1 + search.config.widening as u64);
    assert!((expanded..=most).contains(&search.completed()), "{expanded} expanded nodes");
}

fn config(workers: usize, update_leaf_value: bool) -> MctsConfig {
    MctsConfig { simulations: 120, samples: 3, workers, update_leaf_value, ..MctsConfig::default() }
}

const FAULTS: [Fault; 6] =
    [Fault::None, Fault::Error, Fault::Panic, Fault::WrongShape, Fault::Cancelled, Fault::Deaf];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn nothing_is_left_in_flight(
        (workers, left, seed) in (1..=8_usize, 0..90_u64, any::<u64>()),
        (update_leaf_value, ground_truth) in any::<(bool, bool)>(),
        fault in prop::sample::select(FAULTS.to_vec()),
        (leaf_batch, tokens, widening) in (1..=5_usize, prop::option::of(1..800_u64), 0..=2_usize),
        in_flight in prop::sample::select(vec![InFlightRule::VirtualLoss, InFlightRule::WuUct]),
    ) {
        let net = Faulty {
            inner: HashedEvaluator::new(seed, ["a", "b", "c", "d", "="]),
            fault,
            left: AtomicU64::new(left),
            broken: AtomicBool::new(false),
            outside: Cancel::new(),
        };
        let problem = LetterGame::problem("p", "ab");
        let (game, config) = (LetterGame::default(), config(workers, update_leaf_value));
        let stop = StopConfig { tokens, ..StopConfig::default() };
        let config = MctsConfig { leaf_batch, widening, in_flight, stop, ..config };
        let search =
            Search::new(&game, &net, &problem, &config, seed, ground_truth, &net.outside).unwrap();
        let result = search.run();
        assert_settled(&search);
        // A tree may be exhausted before the fault.
        let broken = net.broken.load(Ordering::Relaxed);
        let cause = match fault {
            Fault::Error | Fault::Panic if broken => "out of order",
            Fault::WrongShape if broken => "0 answers",
            _ => {
                let stop = result.unwrap();
                match stop {
                    StopReason::Simulations => prop_assert_eq!(search.completed(), config.simulations),
                    StopReason::Tokens => prop_assert!(search.evaluator.tokens() >= tokens.unwrap()),
                    StopReason::Cancelled => prop_assert!(broken),
                    _ => prop_assert!(search.tree.root().is_closed()),
                }
                if broken && matches!(fault, Fault::Cancelled) {
                    prop_assert!(matches!(stop, StopReason::Cancelled | StopReason::Tokens));
                }
                if widening == 0 {
                    check_continued(&search.record(stop), &config, &net.inner)?;
                }
                return Ok(());
            }
        };
        prop_assert!(result.unwrap_err().to_string().contains(cause));
    }
}

/// Searches a stopped tree to its end. With one descent at a time that is the tree of a search that was never stopped.
fn check_continued(
    record: &TreeRecord,
    config: &MctsConfig,
    net: &HashedEvaluator,
) -> Result<(), TestCaseError> {
    let (game, problem) = (LetterGame::default(), LetterGame::problem("p", "ab"));
    let config = MctsConfig { stop: StopConfig::default(), ..config.clone() };
    let free = Cancel::new();
    let continued = continue_tree(&game, net, &problem, &config, record, &free).unwrap();
    let exhausted = continued.stop == StopReason::Exhausted;
    prop_assert!(exhausted || continued.simulations == config.simulations);
    if config.workers == 1 && config.leaf_batch == 1 {
        let (seed, ground_truth) = (record.seed, record.ground_truth);
        let whole = search_tree(&game, net, &problem, &config, seed, ground_truth, &free).unwrap();
        // Tokens apart: a simulation may be given up between its two questions.
        let tree = |tree: TreeRecord| TreeRecord { tokens: 0, evaluations: 0, ..tree };
        prop_assert_eq!(tree(continued), tree(whole));
    }
    Ok(())
}

/// Answers the calls, by their number from 0, with what the closure makes of them.
struct Calls<F> {
    count: AtomicU64,
    answer: F,
}

impl<F> Evaluator for Calls<F>
where
    F: Fn(u64, &[Request], &Cancel) -> Answers + Send + Sync,
{
    fn evaluate(&self, requests: &[Request], cancel: &Cancel) -> Answers {
        (self.answer)(self.count.fetch_add(1, Ordering::Relaxed), requests, cancel)
    }
}

fn calls<F>(answer: F) -> Calls<F>
where
    F: Fn(u64, &[Request], &Cancel) -> Answers + Send + Sync,
{
    Calls { count: AtomicU64::new(0), answer }
}

/// Settings of parallel searches of both kinds.
fn parallel(stop: StopConfig) -> impl Iterator<Item = MctsConfig> {
    [InFlightRule::VirtualLoss, InFlightRule::WuUct].into_iter().map(move |in_flight| MctsConfig {
        in_flight,
        stop: stop.clone(),
        simulations: 100_000,
        max_depth: 100,
        ..config(3, false)
    })
}

fn letters() -> HashedEvaluator {
    HashedEvaluator::new(5, ["a", "b", "c", "d"])
}

#[test]
fn a_search_does_not_wait_for_evaluations_beyond_its_time() {
    let inner = letters();
    let (game, problem) = (LetterGame::default(), LetterGame::problem("p", "ab"));
    let stop = StopConfig { seconds: Some(0.05), ..StopConfig::default() };
    let alone = MctsConfig { stop: stop.clone(), ..config(1, false) };
    for config in parallel(stop).chain([alone]) {
        let net = calls(|call, requests: &[Request], cancel: &Cancel| {
            if call < 5 {
                return inner.evaluate(requests, cancel);
            }
            wait_for(cancel);
            cancelled(requests)
        });
        let free = Cancel::new();
        let search = Search::new(&game, &net, &problem, &config, 5, true, &free).unwrap();
        assert_eq!(search.run(), Ok(StopReason::Time));
        assert_settled(&search);
        assert!(search.completed() <= 5 && !free.is_cancelled());
    }
}

/// Three steps of two tokens, equally likely, whose states are worth nothing: every worker finds a leaf of its own.
fn even(requests: &[Request]) -> Answers {
    let step = |action: &str| Proposal {
        action: action.into(),
        log_prob: -1.0,
        tokens: 2,
        truncated: false,
        sampled: None,
    };
    let proposals = ["a", "b", "c"].map(step).to_vec();
    vec![Ok(Evaluation { proposals, value: 0.0 }); requests.len()]
}

#[test]
fn what_ends_one_worker_ends_the_others_evaluations() {
    let (game, problem) = (LetterGame::default(), LetterGame::problem("p", "ab"));
    // Those of the root's expansion and one more.
    let stop = StopConfig { tokens: Some(12), ..StopConfig::default() };
    for fails in [false, true] {
        for config in parallel(stop.clone()) {
            // Two of the three workers are stuck, and the third goes on.
            let net = calls(|call, requests: &[Request], cancel: &Cancel| match call {
                1 | 2 => {
                    wait_for(cancel);
                    cancelled(requests)
                }
                3 if fails => panic!("out of order"),
                _ => even(requests),
            });
            let free = Cancel::new();
            let search = Search::new(&game, &net, &problem, &config, 5, true, &free).unwrap();
            let result = search.run();
            assert_settled(&search);
            if fails {
                assert!(result.unwrap_err().to_string().contains("out of order"));
            } else {
                assert_eq!(result, Ok(StopReason::Tokens));
                assert_eq!((search.evaluator.tokens(), search.completed()), (12, 2));
            }
            assert!(!free.is_cancelled());
        }
    }
}

#[test]
fn one_root_s_failure_ends_the_others() {
    let config = MctsConfig { roots: 2, ..config(1, false) };
    let net = calls(|call, requests: &[Request], cancel: &Cancel| {
        if call > 0 {
            return vec![Err(EvaluatorError::Failed("out of order".to_owned())); requests.len()];
        }
        wait_for(cancel);
        cancelled(requests)
    });
    let (game, problem) = (LetterGame::default(), LetterGame::problem("p", "ab"));
    let error = search_tree(&game, &net, &problem, &config, 5, true, &Cancel::new()).unwrap_err();
    assert!(error.to_string().contains("out of order"), "{error}");
}

#[test]
fn a_search_that_is_cancelled_before_it_begins_is_a_bare_root() {
    let (game, problem) = (LetterGame::default(), LetterGame::problem("p", "ab"));
    let net = calls(|_, _: &[Request], _: &Cancel| panic!("nobody wants to know"));
    let cancel = Cancel::new();
    cancel.cancel();
    for roots in [1, 3] {
        let config = MctsConfig { roots, ..config(2, false) };
        let tree = search_tree(&game, &net, &problem, &config, 5, true, &cancel).unwrap();
        assert_eq!((tree.stop, tree.simulations), (StopReason::Cancelled, 0));
        assert_eq!(tree.react.len(), 1);
    }
}

#[test]
fn an_evaluator_s_own_cancellation_ends_the_search_too() {
    let inner = letters();
    let (game, problem) = (LetterGame::default(), LetterGame::problem("p", "ab"));
    let net = calls(|call, requests: &[Request], cancel: &Cancel| match call {
        0..3 => inner.evaluate(requests, cancel),
        _ => cancelled(requests),
    });
    let config = config(1, false);
    let tree = search_tree(&game, &net, &problem, &config, 5, true, &Cancel::new()).unwrap();
    assert_eq!((tree.stop, tree.simulations), (StopReason::Cancelled, 3));
}

#[test]
fn a_failing_or_panicking_environment_fails_its_search_alone() {
    let failed = SearchError::Step(StepError::new("y is too much"));
    let panicked = SearchError::Environment("z is too much".to_owned());
    for (letter, cause) in [("y", failed), ("z", panicked)] {
        for workers in [1, 4] {
            let net = HashedEvaluator::new(5, ["a", "b", letter]);
            let problem = LetterGame::problem("p", "ab");
            let config = config(workers, false);
            let free = Cancel::new();
            let search = Search::new(&Fragile, &net, &problem, &config, 5, true, &free).unwrap();
            assert_eq!(search.run().unwrap_err(), cause);
            assert_settled(&search);
        }
    }
}

#[test]
fn bad_settings_and_bad_problems_are_told_apart() {
    let net = HashedEvaluator::new(5, ["a"]);
    let game = LetterGame::default();
    let mut problem = LetterGame::problem("p", "ab");
    let bad = MctsConfig { workers: 0, ..MctsConfig::default() };
    let error = search_tree(&game, &net, &problem, &bad, 0, true, &Cancel::new()).unwrap_err();
    assert!(error.to_string().contains("workers = 0"), "{error}");
    problem.question.clear();
    let error = search_tree(&game, &net, &problem, &MctsConfig::default(), 0, true, &Cancel::new())
        .unwrap_err();
    assert_eq!(error.to_string(), "problem p: the question is empty");
}
