//! Trees grown in lock-step, as they are where generation is called on one batch after the other: the mark that
//! continuous batching is measured against.

use std::collections::HashMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use espalier_search::{Cancel, Evaluation, Evaluator, EvaluatorError, Request};

type Answers = Vec<Result<Evaluation, EvaluatorError>>;

/// Holds requests back until every tree that still grows has asked, and hands them in together.
pub(super) struct Lockstep<'a> {
    evaluator: &'a dyn Evaluator,
    round: Mutex<Round>,
    turned: Condvar,
}

struct Round {
    /// Trees that still grow.
    trees: usize,
    asked: Vec<(usize, Vec<Request>)>,
    answered: HashMap<usize, Answers>,
    next: usize,
}

impl<'a> Lockstep<'a> {
    pub fn new(evaluator: &'a dyn Evaluator, trees: usize) -> Self {
        let round = Round { trees, asked: Vec::new(), answered: HashMap::new(), next: 0 };
        Self { evaluator, round: Mutex::new(round), turned: Condvar::new() }
    }

    /// A tree is finished: the others no longer wait for it.
    pub fn leave(&self) {
        self.round().trees -= 1;
        self.turned.notify_all();
    }

    fn round(&self) -> MutexGuard<'_, Round> {
        self.round.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers a whole round.
    fn turn(&self, asked: Vec<(usize, Vec<Request>)>) -> Vec<(usize, Answers)> {
        let requests: Vec<Request> = asked.iter().flat_map(|(_, ask)| ask).cloned().collect();
        let mut answers = self.evaluator.evaluate(&requests, &Cancel::new()).into_iter();
        let mut share = |count| answers.by_ref().take(count).collect();
        asked.into_iter().map(|(number, ask)| (number, share(ask.len()))).collect()
    }
}

impl Evaluator for Lockstep<'_> {
    /// A round is many trees': no one's cancellation ends it.
    fn evaluate(&self, requests: &[Request], _: &Cancel) -> Answers {
        let mut round = self.round();
        let number = round.next;
        round.next += 1;
        round.asked.push((number, requests.to_vec()));
        loop {
            if let Some(answers) = round.answered.remove(&number) {
                return answers;
            }
            if !round.asked.is_empty() && round.asked.len() >= round.trees {
                let asked = std::mem::take(&mut round.asked);
                drop(round);
                let answers = self.turn(asked);
                round = self.round();
                round.answered.extend(answers);
                self.turned.notify_all();
            } else {
                round = self.turned.wait(round).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use espalier_search::for_each_index;

    use super::*;

    /// Answers a request's own seed, and remembers how many came together.
    #[derive(Default)]
    struct Counting {
        calls: AtomicUsize,
        largest: AtomicUsize,
    }

    impl Evaluator for Counting {
        fn evaluate(&self, requests: &[Request], _: &Cancel) -> Answers {
            self.calls.fetch_add(1, Ordering::Relaxed);
            self.largest.fetch_max(requests.len(), Ordering::Relaxed);
            let answer = |request: &Request| {
                Ok(Evaluation { proposals: Vec::new(), value: request.seed as f64 })
            };
            requests.iter().map(answer).collect()
        }
    }

    #[test]
    fn a_round_is_one_call_and_everybody_gets_an_answer() {
        let counting = Counting::default();
        let lockstep = Lockstep::new(&counting, 4);
        let lengths = [3_u64, 1, 2, 3];
        for_each_index(4, 4, &Cancel::new(), |tree| -> Result<(), EvaluatorError> {
            for turn in 0..lengths[tree] {
                let seed = 10 * tree as u64 + turn;
                let request = Request::steps("".into(), 1, 1.0, seed);
                let answers = lockstep.evaluate(&[request], &Cancel::new());
                assert_eq!(answers[0].as_ref().unwrap().value, seed as f64);
            }
            lockstep.leave();
            Ok(())
        })
        .unwrap();
        assert_eq!(counting.calls.into_inner(), 3);
        assert_eq!(counting.largest.into_inner(), 4);
    }
}
