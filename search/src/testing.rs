//! A policy-value net and a game that need no training, for tests, benches and dry runs of a whole
//! pipeline; and how tests report that they are skipped.

use std::collections::HashSet;
use std::io::Write;
use std::path::PathBuf;

use crate::seed::mix;
use crate::tokens::SampledTokens;
use crate::{
    Action, Cancel, Environment, Evaluation, Evaluator, EvaluatorError, Problem, ProblemError,
    Proposal, Request, StepError, Terminal, Transition,
};

/// An evaluator that answers each batch with what the closure makes of it.
pub struct Answering<F>(pub F);

impl<F> Evaluator for Answering<F>
where
    F: Fn(&[Request], &Cancel) -> Vec<Result<Evaluation, EvaluatorError>> + Send + Sync,
{
    fn evaluate(
        &self,
        requests: &[Request],
        cancel: &Cancel,
    ) -> Vec<Result<Evaluation, EvaluatorError>> {
        (self.0)(requests, cancel)
    }
}

/// How often [`HashedEvaluator`] draws in search of steps that differ.
const MOST_DRAWS: u64 = 1000;

/// Steps, priors and values drawn from hashes of the context: the same request has the same answer
/// in any batch, on any thread and machine. The value depends on the context alone; the steps also
/// on the request's seed, unless the temperature is 0. Tokens are bytes. Without replacement a step comes once.
#[derive(Debug, Clone)]
pub struct HashedEvaluator {
    seed: u64,
    actions: Vec<Action>,
}

impl HashedEvaluator {
    /// Steps are drawn from `actions`, all equally likely.
    ///
    /// # Panics
    /// Without any action.
    #[must_use]
    pub fn new(seed: u64, actions: impl IntoIterator<Item = impl Into<Action>>) -> Self {
        let actions: Vec<Action> = actions.into_iter().map(Into::into).collect();
        assert!(!actions.is_empty(), "a policy needs an action");
        Self { seed, actions }
    }

    fn answer(&self, request: &Request) -> Evaluation {
        let context = hash(self.seed, request.context.as_bytes());
        let stream = if request.temperature > 0.0 { request.seed } else { 0 };
        let proposal = |index: u64| {
            let action =
                &self.actions[draw(context ^ mix(stream), index) as usize % self.actions.len()];
            // The likelihood of a step belongs to the step, not to the draw.
            let likelihood = unit(mix(hash(context, action.as_bytes())));
            let tokens = action.len() + 1;
            let log_prob = (0.05 + 0.9 * likelihood).ln() * tokens as f64;
            let sampled = request.keep_tokens.then(|| Box::new(bytes(action, log_prob)));
            Proposal { action: action.clone(), log_prob, tokens, truncated: false, sampled }
        };
        let mut seen = HashSet::new();
        let draws = if request.without_replacement { MOST_DRAWS } else { request.samples as u64 };
        let proposals = (0..draws)
            .map(proposal)
            .filter(|step| !request.without_replacement || seen.insert(step.action.clone()))
            .take(request.samples);
        Evaluation { proposals: proposals.collect(), value: 2.0 * unit(mix(context)) - 1.0 }
    }
}

impl Evaluator for HashedEvaluator {
    fn evaluate(
        &self,
        requests: &[Request],
        _: &Cancel,
    ) -> Vec<Result<Evaluation, EvaluatorError>> {
        requests.iter().map(|request| Ok(self.answer(request))).collect()
    }
}

/// A token for each byte of a step and one for the newline that ends it, all equally likely.
fn bytes(action: &str, log_prob: f64) -> SampledTokens {
    let ids: Box<[u32]> = action.bytes().chain([b'\n']).map(u32::from).collect();
    let log_probs = vec![(log_prob / ids.len() as f64) as f32; ids.len()].into();
    SampledTokens { ids, log_probs }
}

/// Answers each request by itself, with what the closure makes of it.
pub struct AnswerEach<F>(pub F);

impl<F> Evaluator for AnswerEach<F>
where
    F: Fn(&Request) -> Result<Evaluation, EvaluatorError> + Send + Sync,
{
    fn evaluate(
        &self,
        requests: &[Request],
        _: &Cancel,
    ) -> Vec<Result<Evaluation, EvaluatorError>> {
        requests.iter().map(&self.0).collect()
    }
}

/// FNV-1a over the bytes, from a mixed seed.
fn hash(seed: u64, bytes: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    bytes.iter().fold(mix(seed), step)
}

fn draw(stream: u64, index: u64) -> u64 {
    mix(stream.wrapping_add(index.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
}

/// The top 53 bits as a number in [0, 1).
fn unit(bits: u64) -> f64 {
    (bits >> 11) as f64 / (1_u64 << 53) as f64
}

/// A game of letters: each step writes one lower-case letter, `=` answers with the word so far, and
/// anything else breaks the rules. With a `length`, a word that reaches it is an answer. An answer
/// is right when it equals the problem's.
#[derive(Debug, Clone, Default)]
pub struct LetterGame {
    /// Letters after which a word ends by itself.
    pub length: Option<usize>,
}

/// A word in the making.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LetterState {
    /// The question's line, then a line a step.
    context: String,
    /// How much of the context the question is.
    question: usize,
}

impl LetterState {
    /// The letters so far.
    fn word(&self) -> impl Iterator<Item = char> {
        self.context[self.question..].chars().filter(char::is_ascii_lowercase)
    }
}

impl LetterGame {
    /// A problem of this game: find `answer`.
    #[must_use]
    pub fn problem(id: &str, answer: &str) -> Problem {
        Problem {
            id: id.to_owned(),
            question: "Which word?".to_owned(),
            answer: answer.to_owned(),
            metadata: serde_json::Map::new(),
        }
    }
}

impl Environment for LetterGame {
    type State = LetterState;

    fn root(&self, problem: &Problem) -> Result<LetterState, ProblemError> {
        if problem.question.is_empty() {
            let message = "the question is empty".to_owned();
            return Err(ProblemError { id: problem.id.clone(), message });
        }
        let context = format!("{}\n", problem.question);
        Ok(LetterState { question: context.len(), context })
    }

    fn context<'a>(&self, state: &'a LetterState) -> &'a str {
        &state.context
    }

    fn step(
        &self,
        state: &LetterState,
        action: &str,
    ) -> Result<Transition<LetterState>, StepError> {
        let context = [state.context.as_str(), action, "\n"].concat();
        let state = LetterState { context, question: state.question };
        let terminal = match action.trim() {
            "=" => Some(Terminal::Answer(state.word().collect())),
            letter if letter.len() == 1 && letter.bytes().all(|b| b.is_ascii_lowercase()) => {
                let full = self.length.is_some_and(|length| state.word().count() >= length);
                full.then(|| Terminal::Answer(state.word().collect()))
            }
            other => Some(Terminal::Invalid(format!("{other:?} is not a letter"))),
        };
        Ok(Transition { observation: "\n".into(), state, terminal })
    }

    fn reward(&self, problem: &Problem, answer: &str) -> f64 {
        if answer == problem.answer { 1.0 } else { -1.0 }
    }
}

/// Reports a skipped test, or a skipped part of one, past the test runner's capture: it shows no
/// output of a test that passes.
pub fn skipped(why: &str) {
    _ = writeln!(std::io::stderr(), "SKIPPED: {why}");
}

/// A file or folder of the data sets in the folder that the environment variable `ESPALIER_DATA`
/// names; `None`, which is reported as a skip, without one.
#[must_use]
pub fn data_set(name: &str) -> Option<PathBuf> {
    let Some(folder) = std::env::var_os("ESPALIER_DATA") else {
        skipped(&format!("{name}: ESPALIER_DATA names no folder of data sets"));
        return None;
    };
    let path = PathBuf::from(folder).join(name);
    if path.exists() {
        return Some(path);
    }
    skipped(&format!("{} is not there", path.display()));
    None
}
