//! One evaluator behind many searches.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};

use espalier_search::testing::{HashedEvaluator, LetterGame};
use espalier_search::{
    BatcherConfig, Evaluation, Evaluator, EvaluatorError, MctsConfig, Request, for_each_index,
    search_tree, serve,
};

use crate::script::problem;

/// Refuses a context with "long", panics at "bad", and notes the largest batch.
struct Net {
    inner: HashedEvaluator,
    largest: AtomicUsize,
}

fn net() -> Net {
    Net { inner: HashedEvaluator::new(1, ["a", "b", "="]), largest: AtomicUsize::new(0) }
}

impl Evaluator for Net {
    fn evaluate(&self, requests: &[Request]) -> Vec<Result<Evaluation, EvaluatorError>> {
        self.largest.fetch_max(requests.len(), Ordering::Relaxed);
        assert!(requests.iter().all(|request| !request.context.contains("bad")), "a bad context");
        let mut answers = self.inner.evaluate(requests);
        for (request, answer) in requests.iter().zip(&mut answers) {
            if request.context.contains("long") {
                *answer = Err(EvaluatorError::ContextTooLong { tokens: 9, limit: 8 });
            }
        }
        answers
    }
}

fn request(context: &str, seed: u64) -> Request {
    Request { context: context.into(), samples: 2, temperature: 1.0, seed }
}

#[test]
fn eight_callers_get_their_own_answers() {
    for (threads, max_batch, queue) in [(1, 64, 1024), (3, 4, 1), (2, 1, 2)] {
        let config = BatcherConfig { threads, max_batch, queue };
        let net = net();
        let ((), stats) = serve(&net, &config, |batcher| {
            for_each_index(8, 8, |caller| {
                for round in 0..20 {
                    let requests: Vec<Request> = (0..=round % 7)
                        .map(|i| request(&format!("{caller} {i}"), (caller * 100 + round) as u64))
                        .collect();
                    assert_eq!(batcher.evaluate(&requests), net.inner.evaluate(&requests));
                }
                Ok::<(), ()>(())
            })
            .unwrap();
        });
        let per_caller: u64 = (0..20).map(|round| round % 7 + 1).sum();
        assert_eq!(stats.requests, 8 * per_caller);
        assert_eq!(stats.largest_batch, net.largest.load(Ordering::Relaxed) as u64);
        assert!(stats.largest_batch <= max_batch as u64);
        assert!((stats.mean_batch - stats.requests as f64 / stats.batches as f64).abs() < 1e-12);
    }
}

/// Holds its first call until the gate opens.
struct Gate {
    open: Barrier,
    calls: AtomicUsize,
}

impl Evaluator for Gate {
    fn evaluate(&self, requests: &[Request]) -> Vec<Result<Evaluation, EvaluatorError>> {
        if self.calls.fetch_add(1, Ordering::SeqCst) == 0 {
            self.open.wait();
        }
        HashedEvaluator::new(0, ["a"]).evaluate(requests)
    }
}

#[test]
fn what_waits_is_evaluated_together() {
    let gate = Gate { open: Barrier::new(2), calls: AtomicUsize::new(0) };
    let many: Vec<Request> = vec![request("many", 0); 10];
    let config = BatcherConfig { threads: 1, max_batch: 5, queue: 16 };
    let ((), stats) = serve(&gate, &config, |batcher| {
        std::thread::scope(|scope| {
            scope.spawn(|| batcher.evaluate(&[request("first", 0)]));
            while gate.calls.load(Ordering::SeqCst) == 0 {
                std::thread::yield_now();
            }
            scope.spawn(|| assert!(batcher.evaluate(&many).iter().all(Result::is_ok)));
            // A request in the queue shares its context with the caller's copy.
            while Arc::strong_count(&many[0].context) < 2 * many.len() {
                std::thread::yield_now();
            }
            gate.open.wait();
        });
    });
    assert_eq!((stats.requests, stats.largest_batch), (11, 5));
    // The last of the ten may have been on its way into the queue when the gate opened.
    assert!((3..=4).contains(&stats.batches), "{} batches", stats.batches);
}

#[test]
fn an_ending_and_a_failure_reach_only_those_who_asked() {
    // One request a batch, so that what fails is one request.
    let config = BatcherConfig { max_batch: 1, ..BatcherConfig::default() };
    let (answers, _) = serve(&net(), &config, |batcher| {
        batcher.evaluate(&[request("good", 1), request("bad", 2), request("too long", 3)])
    });
    assert!(answers[0].is_ok());
    let cause = answers[1].as_ref().unwrap_err().to_string();
    assert!(cause.contains("it panicked: a bad context"), "{cause}");
    assert_eq!(answers[2], Err(EvaluatorError::ContextTooLong { tokens: 9, limit: 8 }));
    let (answers, stats) = serve(&net(), &config, |batcher| batcher.evaluate(&[]));
    assert!(answers.is_empty() && stats.batches == 0 && stats.mean_batch == 0.0);
}

#[test]
fn a_short_answer_fails_its_batch() {
    struct Silent;
    impl Evaluator for Silent {
        fn evaluate(&self, _: &[Request]) -> Vec<Result<Evaluation, EvaluatorError>> {
            Vec::new()
        }
    }
    let config = BatcherConfig::default();
    let (answers, _) = serve(&Silent, &config, |batcher| batcher.evaluate(&[request("a", 1)]));
    assert!(answers[0].as_ref().unwrap_err().to_string().contains("0 answers to 1 requests"));
}

#[test]
fn a_panic_of_the_work_comes_out() {
    let net = net();
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        serve(&net, &BatcherConfig::default(), |batcher| {
            assert!(batcher.evaluate(&[request("good", 1)])[0].is_ok());
            panic!("the work failed");
        })
    }));
    assert!(outcome.is_err());
}

#[test]
fn trees_do_not_depend_on_who_shares_their_batches() {
    let net = HashedEvaluator::new(4, ["a", "b", "c", "="]);
    let game = LetterGame::default();
    let config = MctsConfig::default();
    let alone = |seed| search_tree(&game, &net, &problem("ab"), &config, seed, true).unwrap();
    serve(&net, &BatcherConfig::default(), |batcher| {
        for_each_index(12, 6, |seed| {
            let tree = search_tree(&game, batcher, &problem("ab"), &config, seed as u64, true);
            assert_eq!(tree.unwrap(), alone(seed as u64));
            Ok::<(), ()>(())
        })
        .unwrap();
    });
}

#[test]
fn zero_is_named() {
    BatcherConfig::default().validate().unwrap();
    let config = BatcherConfig { queue: 0, ..BatcherConfig::default() };
    assert_eq!(config.validate().unwrap_err().field, "queue");
}
