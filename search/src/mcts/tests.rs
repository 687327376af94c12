//! What a search leaves behind in its tree when it fails, which no record shows.

use super::*;
use crate::snapshot::StopReason;
use crate::sync::{AtomicBool, AtomicU64, Ordering};
use crate::testing::{HashedEvaluator, LetterGame, LetterState};
use crate::tree::{Node, NodeState};
use crate::{Evaluation, EvaluatorError, ProblemError, Request, Transition};
use proptest::prelude::*;

#[derive(Debug, Clone, Copy)]
enum Fault {
    None,
    Error,
    Panic,
    WrongShape,
}

/// Answers by hash until a given call, and gives other threads a chance before each.
struct Faulty {
    inner: HashedEvaluator,
    fault: Fault,
    left: AtomicU64,
    broken: AtomicBool,
}

impl Evaluator for Faulty {
    fn evaluate(&self, requests: &[Request]) -> Vec<Result<Evaluation, EvaluatorError>> {
        for _ in 0..requests[0].seed % 4 {
            std::thread::yield_now();
        }
        let left = |n: u64| n.checked_sub(1);
        if self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, left).is_ok() {
            return self.inner.evaluate(requests);
        }
        self.broken.store(true, Ordering::Relaxed);
        match self.fault {
            Fault::None => self.inner.evaluate(requests),
            Fault::Error => {
                vec![Err(EvaluatorError::Failed("out of order".to_owned())); requests.len()]
            }
            Fault::Panic => panic!("out of order"),
            Fault::WrongShape => Vec::new(),
        }
    }
}

/// Panics at the letter z.
struct Fragile;

impl Environment for Fragile {
    type State = LetterState;

    fn root(&self, problem: &Problem) -> Result<LetterState, ProblemError> {
        LetterGame::default().root(problem)
    }

    fn context<'a>(&self, state: &'a LetterState) -> &'a str {
        const { &LetterGame { length: None } }.context(state)
    }

    fn step(&self, state: &LetterState, action: &str) -> Transition<LetterState> {
        assert!(action != "z", "z is too much");
        LetterGame::default().step(state, action)
    }

    fn grade(&self, problem: &Problem, answer: &str) -> bool {
        LetterGame::default().grade(problem, answer)
    }
}

/// Walks the whole tree: nothing in flight, nothing claimed, and as many expanded nodes as
/// simulations.
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
            let closed = |child: &Node<'_>| child.is_closed();
            assert_eq!(
                node.open_children(tree),
                node.children(tree).filter(|c| !closed(c)).count()
            );
        }
        open.extend(node.children(tree));
    }
    assert_eq!(expanded, search.completed());
}

fn config(workers: usize, update_leaf_value: bool) -> MctsConfig {
    MctsConfig { simulations: 120, samples: 3, workers, update_leaf_value, ..MctsConfig::default() }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn nothing_is_left_in_flight(
        (workers, left, seed) in (1..=8_usize, 0..90_u64, any::<u64>()),
        (update_leaf_value, ground_truth) in any::<(bool, bool)>(),
        fault in prop::sample::select(vec![Fault::None, Fault::Error, Fault::Panic, Fault::WrongShape]),
        (leaf_batch, tokens) in (1..=5_usize, prop::option::of(1..800_u64)),
    ) {
        let net = Faulty {
            inner: HashedEvaluator::new(seed, ["a", "b", "c", "d", "="]),
            fault,
            left: AtomicU64::new(left),
            broken: AtomicBool::new(false),
        };
        let problem = LetterGame::problem("p", "ab");
        let (game, config) = (LetterGame::default(), config(workers, update_leaf_value));
        let stop = StopConfig { tokens, ..StopConfig::default() };
        let config = MctsConfig { leaf_batch, stop, ..config };
        let search = Search::new(&game, &net, &problem, &config, seed, ground_truth).unwrap();
        let result = search.run();
        assert_settled(&search);
        // A tree may be exhausted before the fault.
        let broken = net.broken.load(Ordering::Relaxed);
        let cause = match fault {
            Fault::Error | Fault::Panic if broken => "out of order",
            Fault::WrongShape if broken => "0 answers",
            _ => {
                match result.unwrap() {
                    StopReason::Simulations => prop_assert_eq!(search.completed(), config.simulations),
                    StopReason::Tokens => prop_assert!(search.evaluator.tokens() >= tokens.unwrap()),
                    _ => prop_assert!(search.tree.root().is_closed()),
                }
                return Ok(());
            }
        };
        prop_assert!(result.unwrap_err().to_string().contains(cause));
    }
}

#[test]
fn a_panicking_environment_fails_its_search_alone() {
    for workers in [1, 4] {
        let net = HashedEvaluator::new(5, ["a", "b", "z"]);
        let problem = LetterGame::problem("p", "ab");
        let config = config(workers, false);
        let search = Search::new(&Fragile, &net, &problem, &config, 5, true).unwrap();
        let error = search.run().unwrap_err();
        assert_eq!(error, SearchError::Environment("z is too much".to_owned()));
        assert_settled(&search);
    }
}

#[test]
fn bad_settings_and_bad_problems_are_told_apart() {
    let net = HashedEvaluator::new(5, ["a"]);
    let game = LetterGame::default();
    let mut problem = LetterGame::problem("p", "ab");
    let bad = MctsConfig { workers: 0, ..MctsConfig::default() };
    let error = search_tree(&game, &net, &problem, &bad, 0, true).unwrap_err();
    assert!(error.to_string().contains("workers = 0"), "{error}");
    problem.question.clear();
    let error = search_tree(&game, &net, &problem, &MctsConfig::default(), 0, true).unwrap_err();
    assert_eq!(error.to_string(), "problem p: the question is empty");
}
