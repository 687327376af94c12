//! The model and the environment of a replay: both answer from the trace.

use std::collections::HashMap;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use espalier_search::{
    Cancel, Environment, Evaluation, Evaluator, EvaluatorError, Problem, ProblemError, Proposal,
    Request, SearchError, StepError, Terminal, Transition,
};

use super::ReplayError;
use super::difference::Difference;
use super::trace::{Call, Kind, Mode, Trace};

/// How the original, spelling included, marks a path beyond `max_depth`. Here the search must find that by itself.
pub(super) const TOO_DEEP: &str = "Fail to sove the problem within limited steps.";
/// How the original marks a path whose code failed too often in a row.
pub(super) const TOO_MANY_ERRORS: &str = "Too many consecutive steps have code errors.";

/// Answers the first request with the first recorded call, the second with the second, and fails where the search asks
/// for anything but what the original asked for.
pub(super) struct Model<'a> {
    trace: &'a Trace,
    /// Requests answered. Relaxed throughout: a replay has one worker.
    answered: AtomicUsize,
    difference: OnceLock<Difference>,
}

impl<'a> Model<'a> {
    pub(super) fn new(trace: &'a Trace) -> Self {
        Self { trace, answered: AtomicUsize::new(0), difference: OnceLock::new() }
    }

    /// Whether every recorded call was asked for.
    pub(super) fn exhausted(&self) -> Result<(), Difference> {
        let answered = self.answered.load(Ordering::Relaxed);
        let Some(call) = self.trace.calls.get(answered) else { return Ok(()) };
        let expected = format!("call {answered}, {} {}", call.kind, call.tag);
        Err(Difference::new(&call.tag, "calls", "the end of the search", expected))
    }

    /// What a failed search means: where it asked for something else, a difference.
    pub(super) fn explain(&self, error: SearchError) -> ReplayError {
        match self.difference.get() {
            Some(difference) => difference.clone().into(),
            None => error.into(),
        }
    }

    fn answer(&self, request: &Request) -> Result<Evaluation, EvaluatorError> {
        let position = self.answered.load(Ordering::Relaxed);
        let call = self.expected(position, request).map_err(|difference| {
            let message = difference.to_string();
            // The first difference is the one that is told.
            _ = self.difference.set(difference);
            EvaluatorError::Failed(message)
        })?;
        self.answered.store(position + 1, Ordering::Relaxed);
        // The recorder did not note how long the prompt was; no search reads the numbers.
        let too_long = EvaluatorError::ContextTooLong { tokens: 0, limit: 0 };
        let value = call.value.ok_or(too_long)?;
        let proposals = call.samples.iter().map(|sample| Proposal {
            action: sample.text.as_str().into(),
            log_prob: sample.sum_logprob,
            tokens: sample.tokens as usize,
            truncated: false,
            sampled: None,
        });
        Ok(Evaluation { proposals: proposals.collect(), value })
    }

    /// The call at `position`, which must be for what is requested.
    fn expected(&self, position: usize, request: &Request) -> Result<&Call, Difference> {
        let kind = if request.samples == 0 { Kind::Value } else { Kind::Expand };
        let found = || format!("{kind} {}", self.tag_of(&request.context));
        let Some(call) = self.trace.calls.get(position) else {
            let tag = self.tag_of(&request.context);
            let expected = format!("the end of the search after {position} calls");
            return Err(Difference::new(tag, "calls", found(), expected));
        };
        if call.kind != kind || call.context != *request.context {
            let expected = format!("{} {} (call {position})", call.kind, call.tag);
            return Err(Difference::new(&call.tag, "calls", found(), expected));
        }
        let readable = call.value.is_some();
        if readable && call.samples.len() != request.samples {
            let (found, expected) = (request.samples, call.samples.len());
            return Err(Difference::new(&call.tag, "samples", found, expected));
        }
        Ok(call)
    }

    /// The first node with these steps. Every context is made of recorded texts, and so there is one.
    fn tag_of(&self, context: &str) -> &str {
        let mut tags = self.trace.nodes().keys();
        let found = tags.find(|tag| self.trace.context(tag).is_some_and(|steps| steps == context));
        found.map_or("a state outside the trace", String::as_str)
    }
}

impl Evaluator for Model<'_> {
    fn evaluate(
        &self,
        requests: &[Request],
        _: &Cancel,
    ) -> Vec<Result<Evaluation, EvaluatorError>> {
        requests.iter().map(|request| self.answer(request)).collect()
    }
}

/// Gives each step the observation and the answer that it had in the original, and counts failed code.
pub(super) struct Steps {
    /// By context, then by action.
    outcomes: HashMap<String, HashMap<String, Outcome>>,
    /// Failed code steps in a row that a path survives. The original's beam search knows no limit.
    errors_threshold: usize,
}

#[derive(Clone)]
struct Outcome {
    observation: String,
    answer: Option<String>,
}

/// A partial solution.
#[derive(Clone)]
pub(super) struct State {
    /// The steps so far.
    context: String,
    /// Failed code steps in a row.
    errors: usize,
}

impl Steps {
    /// Pairs every sample with the child that the original made of it.
    pub(super) fn new(trace: &Trace) -> Result<Self, Difference> {
        let mut outcomes: HashMap<String, HashMap<String, Outcome>> = HashMap::new();
        let readable = |call: &&Call| call.kind == Kind::Expand && call.value.is_some();
        for call in trace.calls.iter().filter(readable) {
            let steps = outcomes.entry(call.context.clone()).or_default();
            for (index, text) in kept(call, trace.config.remove_duplicate).into_iter().enumerate() {
                let tag = format!("{}.{index}", call.tag);
                let Some(child) = trace.nodes().get(&tag) else {
                    return Err(Difference::new(&tag, "react", "a sampled step", "no such node"));
                };
                let Some(observation) = child.text.strip_prefix(text) else {
                    return Err(Difference::of_texts(&tag, "text", text, &child.text));
                };
                let answer = match child.final_answer.as_str() {
                    "" | TOO_DEEP | TOO_MANY_ERRORS => None,
                    answer => Some(answer.to_owned()),
                };
                // Where equal steps fared differently the first stands, and the comparison of nodes names the other.
                let outcome = Outcome { observation: observation.to_owned(), answer };
                steps.entry(text.to_owned()).or_insert(outcome);
            }
        }
        let errors_threshold = match trace.config.mode {
            Mode::Mcts => trace.config.errors_threshold,
            Mode::Sbs => usize::MAX,
        };
        Ok(Self { outcomes, errors_threshold })
    }

    fn outcome(&self, context: &str, action: &str) -> Option<&Outcome> {
        self.outcomes.get(context)?.get(action)
    }
}

/// The samples of a call that became children.
fn kept(call: &Call, remove_duplicate: bool) -> Vec<&str> {
    let mut kept: Vec<&str> = Vec::new();
    for sample in &call.samples {
        let twin = |other: &&str| other.trim() == sample.text.trim();
        if !(remove_duplicate && kept.iter().any(twin)) {
            kept.push(&sample.text);
        }
    }
    kept
}

impl Environment for Steps {
    type State = State;

    fn root(&self, _: &Problem) -> Result<State, ProblemError> {
        Ok(State { context: String::new(), errors: 0 })
    }

    fn context<'a>(&self, state: &'a State) -> &'a str {
        &state.context
    }

    fn step(&self, state: &State, action: &str) -> Result<Transition<State>, StepError> {
        // `new` has paired every sample that the model can propose.
        let Some(Outcome { observation, answer }) = self.outcome(&state.context, action).cloned()
        else {
            let terminal = Some(Terminal::Invalid("a step that the trace does not hold".into()));
            return Ok(Transition { state: state.clone(), observation: "".into(), terminal });
        };
        let errors = if observation.contains("Error") { state.errors + 1 } else { 0 };
        let too_many = || Terminal::Invalid(TOO_MANY_ERRORS.to_owned());
        let terminal = answer
            .map(Terminal::Answer)
            .or_else(|| (errors > self.errors_threshold).then(too_many));
        let context = format!("{}{action}{observation}", state.context);
        Ok(Transition {
            state: State { context, errors },
            observation: observation.into(),
            terminal,
        })
    }

    fn reward(&self, problem: &Problem, answer: &str) -> f64 {
        if problem.answer == answer { 1.0 } else { -1.0 }
    }
}

/// The problem as the search gets it. The environment reads no question, and the search no ground truth where the trace has none.
pub(super) fn problem(trace: &Trace) -> Problem {
    Problem {
        id: trace.name.clone(),
        question: String::new(),
        answer: trace.ground_truth.clone().unwrap_or_default(),
        metadata: serde_json::Map::new(),
    }
}
