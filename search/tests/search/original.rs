//! Trees and beams grown by the original AlphaMath code, node for node.
//!
//! Each trace in `tests/data/alphamath` holds what a deterministic fake model answered to the
//! original and the tree or beam that it built from that. The replay gives the same answers to this
//! crate under the compatibility settings.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Mutex;

use espalier_search::{
    DeadEnd, DecodeConfig, Decoding, Environment, Evaluation, Evaluator, EvaluatorError,
    MctsConfig, Problem, ProblemError, Proposal, Request, StopReason, Terminal, Transition, decode,
    search_tree,
};
use indexmap::IndexMap;
use serde::Deserialize;

#[derive(Deserialize)]
struct Trace {
    name: String,
    ground_truth: Option<String>,
    config: OriginalConfig,
    iterations_used: u64,
    calls: Vec<Call>,
    solutions: Vec<Solution>,
    react: IndexMap<String, OriginalNode>,
}

#[derive(Deserialize)]
struct OriginalConfig {
    c_puct: f64,
    iterations: u64,
    max_depth: usize,
    mode: String,
    n_generate_sample: usize,
    remove_duplicate: bool,
    update_leaf_value: bool,
    positive_reward: f64,
    negative_reward: f64,
    #[serde(default)]
    step_beam_width: usize,
}

#[derive(Deserialize)]
struct Call {
    kind: String,
    tag: String,
    /// Null when the prompt was over the length limit.
    value: Option<f64>,
    #[serde(default)]
    samples: Vec<Sample>,
}

#[derive(Deserialize)]
struct Sample {
    text: String,
    tokens: usize,
    sum_logprob: f64,
}

#[derive(Deserialize)]
struct Solution {
    tag: String,
    value: f64,
    final_answer: String,
}

#[derive(Deserialize)]
struct OriginalNode {
    text: String,
    value: f64,
    #[serde(default)]
    q_value: f64,
    #[serde(default)]
    prior: f64,
    #[serde(default)]
    visit_count: u64,
    final_answer: String,
}

/// How the original, spelling included, marks a path beyond `max_depth`. Here the search must find
/// that by itself.
const TOO_DEEP: &str = "Fail to sove the problem within limited steps.";
const TOO_MANY_ERRORS: &str = "Too many consecutive steps have code errors.";
const PROMPT: &str = "question\n";

impl Trace {
    fn context(&self, tag: &str) -> String {
        let ends = tag.match_indices('.').skip(1).map(|(end, _)| end);
        let steps = ends.chain(tag.contains('.').then_some(tag.len()));
        let steps = steps.map(|end| self.react[&tag[..end]].text.as_str());
        PROMPT.to_owned() + &steps.collect::<String>()
    }

    fn children(&self, tag: &str) -> impl Iterator<Item = &OriginalNode> {
        (0..).map_while(move |index| self.react.get(&format!("{tag}.{index}")))
    }
}

/// Answers a request as the fake model answered the original at the same text.
struct Replay {
    expansions: HashMap<String, Result<Evaluation, EvaluatorError>>,
    values: HashMap<String, Option<f64>>,
    /// Contexts expanded, in order.
    expanded: Mutex<Vec<String>>,
}

const TOO_LONG: EvaluatorError = EvaluatorError::ContextTooLong { tokens: 5000, limit: 4096 };

impl Replay {
    fn new(trace: &Trace) -> Self {
        let mut replay =
            Self { expansions: HashMap::new(), values: HashMap::new(), expanded: Mutex::default() };
        for call in &trace.calls {
            let context = trace.context(&call.tag);
            if call.kind == "value" {
                replay.values.insert(context, call.value);
                continue;
            }
            let proposal = |sample: &Sample| Proposal {
                action: sample.text.clone(),
                log_prob: sample.sum_logprob,
                tokens: sample.tokens,
            };
            let proposals = call.samples.iter().map(proposal).collect();
            let answer = call.value.ok_or(TOO_LONG);
            replay.expansions.insert(context, answer.map(|value| Evaluation { proposals, value }));
        }
        replay
    }

    fn answer(&self, request: &Request) -> Result<Evaluation, EvaluatorError> {
        let context: &str = &request.context;
        let unseen = || EvaluatorError::Failed(format!("the original never asked:\n{context}"));
        if request.samples == 0 {
            let value = *self.values.get(context).ok_or_else(unseen)?;
            let proposals = Vec::new();
            return value.ok_or(TOO_LONG).map(|value| Evaluation { proposals, value });
        }
        self.expanded.lock().unwrap().push(context.to_owned());
        self.expansions.get(context).cloned().ok_or_else(unseen)?
    }
}

impl Evaluator for Replay {
    fn evaluate(&self, requests: &[Request]) -> Vec<Result<Evaluation, EvaluatorError>> {
        requests.iter().map(|request| self.answer(request)).collect()
    }
}

/// Gives each step the observation and the answer that it had in the original, and counts failed
/// code.
struct Steps {
    table: HashMap<(String, String), (String, Option<String>)>,
    /// Failed code steps in a row that a path survives. The original's beam search knows no limit.
    errors_threshold: usize,
}

#[derive(Clone)]
struct State {
    context: String,
    errors: usize,
}

impl Steps {
    fn new(trace: &Trace) -> Self {
        let mut steps = HashMap::new();
        for call in &trace.calls {
            let context = trace.context(&call.tag);
            for sample in &call.samples {
                let text = sample.text.as_str();
                let child = trace.children(&call.tag).find(|child| child.text.starts_with(text));
                let child = child.expect("every sample of the traces has a child");
                let answer = match child.final_answer.as_str() {
                    "" | TOO_DEEP | TOO_MANY_ERRORS => None,
                    answer => Some(answer.to_owned()),
                };
                let observation = child.text[text.len()..].to_owned();
                steps.insert((context.clone(), text.to_owned()), (observation, answer));
            }
        }
        let errors_threshold = if trace.config.mode == "mcts" { 3 } else { usize::MAX };
        Self { table: steps, errors_threshold }
    }
}

impl Environment for Steps {
    type State = State;

    fn root(&self, _: &Problem) -> Result<State, ProblemError> {
        Ok(State { context: PROMPT.to_owned(), errors: 0 })
    }

    fn context<'a>(&self, state: &'a State) -> &'a str {
        &state.context
    }

    fn step(&self, state: &State, action: &str) -> Transition<State> {
        let (observation, answer) = self.table[&(state.context.clone(), action.to_owned())].clone();
        let errors = if observation.contains("Error") { state.errors + 1 } else { 0 };
        let too_many = || Terminal::Invalid(TOO_MANY_ERRORS.to_owned());
        let terminal = answer.map(Terminal::Answer);
        let terminal = terminal.or_else(|| (errors > self.errors_threshold).then(too_many));
        let context = format!("{}{action}{observation}", state.context);
        Transition { state: State { context, errors }, observation, terminal }
    }

    fn grade(&self, problem: &Problem, answer: &str) -> bool {
        problem.answer == answer
    }
}

fn traces(mode: &str) -> Vec<Trace> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/alphamath");
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let json = files.filter(|path| path.extension().is_some_and(|extension| extension == "json"));
    let parse = |path| serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let traces: Vec<Trace> = json.map(parse).collect();
    traces.into_iter().filter(|trace| trace.config.mode == mode).collect()
}

fn problem(trace: &Trace) -> Problem {
    Problem {
        id: trace.name.clone(),
        question: "question".to_owned(),
        answer: trace.ground_truth.clone().unwrap_or_else(|| "not to be read".to_owned()),
        metadata: serde_json::Map::new(),
    }
}

#[test]
fn trees_are_the_originals_node_for_node() {
    let traces = traces("mcts");
    assert!(traces.len() >= 10, "the traces are not there");
    for trace in traces {
        let config = MctsConfig {
            c_puct: trace.config.c_puct,
            samples: trace.config.n_generate_sample,
            simulations: trace.config.iterations,
            max_depth: trace.config.max_depth,
            remove_duplicate: trace.config.remove_duplicate,
            update_leaf_value: trace.config.update_leaf_value,
            positive_reward: trace.config.positive_reward,
            negative_reward: trace.config.negative_reward,
            dead_end: DeadEnd::Stop,
            ..MctsConfig::default()
        };
        let (steps, replay) = (Steps::new(&trace), Replay::new(&trace));
        let known = trace.ground_truth.is_some();
        let record = search_tree(&steps, &replay, &problem(&trace), &config, 0, known)
            .unwrap_or_else(|error| panic!("{}: {error}", trace.name));
        assert_eq!(record.simulations, trace.iterations_used, "{}", trace.name);
        let early = record.simulations < trace.config.iterations;
        assert_eq!(early, record.stop != StopReason::Simulations, "{}", trace.name);
        assert_eq!(record.react.len(), trace.react.len(), "{}", trace.name);
        for (tag, original) in &trace.react {
            let node = &record.react[tag];
            let at = format!("{} at {tag}", trace.name);
            if tag != "0" {
                assert_eq!(node.text, original.text, "{at}");
            }
            assert_eq!(node.visit_count, original.visit_count, "{at}");
            assert!((node.q_value - original.q_value).abs() < 1e-9, "{at}: {}", node.q_value);
            assert!((node.prior - original.prior).abs() < 1e-12, "{at}: {}", node.prior);
            let ending = match &node.terminal {
                Some(Terminal::Answer(answer)) => answer,
                Some(Terminal::Invalid(reason)) if reason == TOO_MANY_ERRORS => TOO_MANY_ERRORS,
                Some(Terminal::Invalid(reason)) if reason == "too many steps" => TOO_DEEP,
                _ => "",
            };
            assert_eq!(ending, original.final_answer, "{at}");
            if let Some(value) = node.value {
                assert_eq!(value, original.value, "{at}");
            }
        }
    }
}

#[test]
fn beams_are_the_originals() {
    let traces = traces("sbs");
    assert!(traces.len() >= 4, "the traces are not there");
    for trace in traces {
        let decoding = Decoding::StepBeam {
            beams: trace.config.step_beam_width,
            samples: trace.config.n_generate_sample,
        };
        let config = DecodeConfig {
            max_depth: trace.config.max_depth,
            remove_duplicate: trace.config.remove_duplicate,
            ..DecodeConfig::default()
        };
        let (steps, replay) = (Steps::new(&trace), Replay::new(&trace));
        let outcome = decode(decoding, &steps, &replay, &problem(&trace), &config, 0)
            .unwrap_or_else(|error| panic!("{}: {error}", trace.name));
        let expanded = trace.calls.iter().filter(|call| call.kind == "expand");
        let expanded: Vec<String> = expanded.map(|call| trace.context(&call.tag)).collect();
        assert_eq!(*replay.expanded.lock().unwrap(), expanded, "{}", trace.name);
        let best = trace.solutions.first();
        let answer = best.map(|solution| solution.final_answer.clone());
        assert_eq!(outcome.answer, answer, "{}", trace.name);
        let depth = best.map_or(0, |solution| solution.tag.matches('.').count());
        assert_eq!(outcome.solution.len(), depth, "{}", trace.name);
        let mut found: Vec<f64> = outcome.candidates.iter().map(|c| c.score).collect();
        found.sort_by(|a, b| b.total_cmp(a));
        let values: Vec<f64> = trace.solutions.iter().map(|solution| solution.value).collect();
        assert_eq!(found, values, "{}", trace.name);
    }
}
