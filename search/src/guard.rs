//! What comes from outside is checked where it enters: an evaluator that panics, answers in the
//! wrong shape or gives numbers out of range fails the search that asked, with a cause that names
//! what was wrong.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::cancel::Cancel;
use crate::environment::{Environment, Problem, Terminal};
use crate::error::SearchError;
use crate::evaluator::{Evaluation, Evaluator, EvaluatorError, Request};
use crate::sync::{AtomicU64, Ordering};

/// Runs `work`, turning a panic into its message.
pub(crate) fn catch_panic<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    // AssertUnwindSafe: the search that asked is given up on a panic, and what it shares with
    // others is atomics.
    catch_unwind(AssertUnwindSafe(work)).map_err(|payload| {
        let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
        text.or_else(|| payload.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "a panic without a message".to_owned())
    })
}

/// The reward of an answer.
///
/// # Errors
/// When the environment gives none in [-1, 1].
pub(crate) fn reward<E: Environment>(
    environment: &E,
    problem: &Problem,
    answer: &str,
) -> Result<f64, SearchError> {
    let reward = environment.reward(problem, answer);
    if (-1.0..=1.0).contains(&reward) {
        return Ok(reward);
    }
    Err(SearchError::Reward { answer: answer.to_owned(), reward })
}

/// Whether a path that ended so has a right answer; `None` without an answer, or a reward, or a verdict.
pub(crate) fn verdict<E: Environment>(
    environment: &E,
    problem: &Problem,
    ending: Option<&Terminal>,
    reward: Option<f64>,
) -> Option<bool> {
    match (ending, reward) {
        (Some(Terminal::Answer(answer)), Some(reward)) => {
            environment.verdict(problem, answer, reward)
        }
        _ => None,
    }
}

/// An evaluator whose answers are checked and counted.
pub(crate) struct CheckedEvaluator<'a> {
    inner: &'a dyn Evaluator,
    cancel: Cancel,
    tokens: AtomicU64,
    evaluations: AtomicU64,
}

impl<'a> CheckedEvaluator<'a> {
    /// Once `cancel` is cancelled nothing is asked any more.
    pub(crate) fn new(inner: &'a dyn Evaluator, cancel: Cancel) -> Self {
        Self { inner, cancel, tokens: AtomicU64::new(0), evaluations: AtomicU64::new(0) }
    }

    /// Tokens sampled so far.
    pub(crate) fn tokens(&self) -> u64 {
        // Relaxed: a counter, read when the threads that add to it have ended.
        self.tokens.load(Ordering::Relaxed)
    }

    /// Requests answered so far.
    pub(crate) fn evaluations(&self) -> u64 {
        // Relaxed: as for `tokens`.
        self.evaluations.load(Ordering::Relaxed)
    }

    /// Counts what an earlier search asked.
    pub(crate) fn count(&self, tokens: u64, requests: u64) {
        // Relaxed: counters on whose account nothing else is read.
        self.tokens.fetch_add(tokens, Ordering::Relaxed);
        self.evaluations.fetch_add(requests, Ordering::Relaxed);
    }

    /// One answer a request in the same order; `None` where the context is too long. When one of them was cancelled, all
    /// count as cancelled.
    pub(crate) fn ask(&self, requests: &[Request]) -> Result<Vec<Option<Evaluation>>, SearchError> {
        if requests.is_empty() {
            return Ok(Vec::new());
        }
        if self.cancel.is_cancelled() {
            return Err(EvaluatorError::Cancelled.into());
        }
        let answers = catch_panic(|| self.inner.evaluate(requests, &self.cancel))
            .map_err(|message| EvaluatorError::Failed(format!("it panicked: {message}")))?;
        if answers.len() != requests.len() {
            let shape = format!("{} answers to {} requests", answers.len(), requests.len());
            return Err(EvaluatorError::Failed(shape).into());
        }
        let mut tokens = 0;
        // Collected in the memory of the answers.
        let checked = answers.into_iter().zip(requests).map(|(answer, request)| match answer {
            Ok(evaluation) => {
                check(request, &evaluation).map_err(EvaluatorError::Failed)?;
                tokens += evaluation.proposals.iter().map(|p| p.tokens as u64).sum::<u64>();
                Ok(Some(evaluation))
            }
            Err(EvaluatorError::ContextTooLong { .. }) => Ok(None),
            Err(error @ (EvaluatorError::Failed(_) | EvaluatorError::Cancelled)) => Err(error),
        });
        let checked = checked.collect::<Result<Vec<_>, EvaluatorError>>()?;
        self.count(tokens, requests.len() as u64);
        Ok(checked)
    }
}

fn check(request: &Request, evaluation: &Evaluation) -> Result<(), String> {
    let (asked, given) = (request.samples, evaluation.proposals.len());
    let fewer = request.without_replacement && (1..asked).contains(&given);
    if asked != given && !fewer {
        return Err(format!("{given} steps where {asked} were asked for"));
    }
    if !(-1.0..=1.0).contains(&evaluation.value) {
        return Err(format!("value {} is outside [-1, 1]", evaluation.value));
    }
    for proposal in &evaluation.proposals {
        // A sum of logarithms of probabilities, with room for rounding.
        if proposal.log_prob.is_nan() || proposal.log_prob > 1e-6 * proposal.tokens.max(1) as f64 {
            return Err(format!("log-probability {} of {:?}", proposal.log_prob, proposal.action));
        }
        if let Some(fault) = proposal.sampled.as_ref().and_then(|it| it.fault(proposal.tokens)) {
            return Err(format!("{fault}, in {:?}", proposal.action));
        }
    }
    Ok(())
}

#[cfg(all(test, not(espalier_loom)))]
mod tests {
    use super::*;
    use crate::Proposal;
    use crate::testing::Answering;
    use crate::tokens::SampledTokens;

    fn checked(evaluator: &dyn Evaluator) -> CheckedEvaluator<'_> {
        CheckedEvaluator::new(evaluator, Cancel::new())
    }

    fn cause(evaluation: Evaluation) -> String {
        let evaluator = Answering(move |_: &[Request], _: &Cancel| vec![Ok(evaluation.clone())]);
        checked(&evaluator).ask(&[request()]).unwrap_err().to_string()
    }

    fn request() -> Request {
        Request::steps("q".into(), 1, 1.0, 0)
    }

    fn evaluation(value: f64, log_prob: f64) -> Evaluation {
        let proposal =
            Proposal { action: "a".into(), log_prob, tokens: 2, truncated: false, sampled: None };
        Evaluation { proposals: vec![proposal], value }
    }

    #[test]
    fn answers_out_of_range_are_refused_with_their_number() {
        assert!(cause(evaluation(1.5, -1.0)).contains("value 1.5"));
        assert!(cause(evaluation(f64::NAN, -1.0)).contains("value NaN"));
        assert!(cause(evaluation(0.0, 3.0)).contains("log-probability 3"));
        assert!(cause(evaluation(0.0, f64::NAN)).contains("log-probability NaN"));
        let none = Evaluation { proposals: Vec::new(), value: 0.0 };
        assert!(cause(none).contains("0 steps where 1"));
    }

    #[test]
    fn fewer_steps_are_enough_where_no_more_differ() {
        let evaluator = Answering(|_: &[Request], _: &Cancel| vec![Ok(evaluation(0.0, -1.0))]);
        let two = Request { samples: 2, ..request() };
        assert!(checked(&evaluator).ask(std::slice::from_ref(&two)).is_err());
        let differing = Request { without_replacement: true, ..two };
        assert!(checked(&evaluator).ask(&[differing]).is_ok());
        let none = Answering(|_: &[Request], _: &Cancel| {
            vec![Ok(Evaluation { proposals: vec![], value: 0.0 })]
        });
        let differing = Request { without_replacement: true, ..request() };
        assert!(checked(&none).ask(&[differing]).is_err());
    }

    #[test]
    fn tokens_that_do_not_fit_their_step_are_refused() {
        let with = |ids: &[u32], log_probs: &[f32]| {
            let sampled = SampledTokens { ids: ids.into(), log_probs: log_probs.into() };
            let mut evaluation = evaluation(0.0, -1.0);
            evaluation.proposals[0].sampled = Some(Box::new(sampled));
            cause(evaluation)
        };
        assert!(with(&[1], &[-0.5, -0.5]).contains("1 token ids and 2 log-probabilities of 2"));
        assert!(with(&[1, 2], &[-0.5]).contains("2 token ids and 1 log-probabilities of 2"));
        assert!(with(&[1, 2], &[-0.5, f32::NEG_INFINITY]).contains("log-probability -inf"));
        assert!(with(&[1, 2], &[-0.5, 0.5]).contains("log-probability 0.5"));
    }

    #[test]
    fn a_panic_and_a_short_answer_are_causes() {
        let panicking = Answering(|_: &[Request], _: &Cancel| panic!("out of {}", "memory"));
        let error = checked(&panicking).ask(&[request()]).unwrap_err();
        assert!(error.to_string().contains("it panicked: out of memory"), "{error}");
        let silent = Answering(|_: &[Request], _: &Cancel| Vec::new());
        let error = checked(&silent).ask(&[request()]).unwrap_err();
        assert!(error.to_string().contains("0 answers to 1 requests"), "{error}");
    }

    #[test]
    fn tokens_and_requests_are_counted() {
        let evaluator = Answering(|requests: &[Request], _: &Cancel| {
            let long = Err(EvaluatorError::ContextTooLong { tokens: 9, limit: 8 });
            let mut answers = vec![Ok(evaluation(0.5, -1.0)); requests.len() - 1];
            answers.push(long);
            answers
        });
        let checked = checked(&evaluator);
        let answers = checked.ask(&[request(), request(), request()]).unwrap();
        assert!(answers[1].is_some() && answers[2].is_none());
        assert_eq!((checked.tokens(), checked.evaluations()), (4, 3));
        assert!(checked.ask(&[]).unwrap().is_empty());
    }

    #[test]
    fn what_is_cancelled_is_not_asked_and_one_cancelled_answer_is_enough() {
        let cancel = Cancel::new();
        let calls = AtomicU64::new(0);
        let evaluator = Answering(|_: &[Request], _: &Cancel| {
            calls.fetch_add(1, Ordering::Relaxed);
            vec![Ok(evaluation(0.5, -1.0)), Err(EvaluatorError::Cancelled)]
        });
        let checked = CheckedEvaluator::new(&evaluator, cancel.child(None));
        let cancelled = Err(SearchError::Evaluator(EvaluatorError::Cancelled));
        assert_eq!(checked.ask(&[request(), request()]), cancelled);
        cancel.cancel();
        assert_eq!(checked.ask(&[request(), request()]), cancelled);
        assert_eq!(calls.load(Ordering::Relaxed), 1);
    }
}
