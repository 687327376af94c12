//! States that several ways lead to.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};

use espalier_search::testing::AnswerEach;
use espalier_search::{
    Cancel, Environment, Evaluation, Evaluator, MctsConfig, NodeRecord, Problem, ProblemError,
    Proposal, Request, SampledTokens, StepError, StopReason, Terminal, Transition, TreeRecord,
    search_tree,
};

use crate::script::problem;

/// Take numbers from a set until nothing is left; the answer is the last one. What was taken in which order does not
/// matter, so that 2^n states stand for n! ways.
struct Sums;

#[derive(Debug, Clone)]
struct State {
    context: String,
    left: Vec<u32>,
}

impl Environment for Sums {
    type State = State;

    fn root(&self, _: &Problem) -> Result<State, ProblemError> {
        Ok(State { context: "1234:".to_owned(), left: vec![1, 2, 3, 4] })
    }

    fn context<'a>(&self, state: &'a State) -> &'a str {
        &state.context
    }

    fn step(&self, state: &State, action: &str) -> Result<Transition<State>, StepError> {
        let taken: u32 = action.parse().unwrap();
        let left: Vec<u32> = state.left.iter().copied().filter(|number| *number != taken).collect();
        let terminal = left.is_empty().then(|| Terminal::Answer(action.to_owned()));
        let context = format!("{}{action}", state.context);
        Ok(Transition { observation: "".into(), state: State { context, left }, terminal })
    }

    fn state_key(&self, state: &State) -> Option<String> {
        Some(format!("{:?}", state.left))
    }

    fn reward(&self, _: &Problem, answer: &str) -> f64 {
        if answer == "3" { 1.0 } else { -1.0 }
    }
}

fn left_of(context: &str) -> Vec<u32> {
    let taken = context.split(':').nth(1).unwrap();
    (1..=4).filter(|number| !taken.contains(&number.to_string())).collect()
}

fn value_of(left: &[u32]) -> f64 {
    f64::from(left.iter().map(|number| number * number).sum::<u32>() % 7) / 8.0 - 0.375
}

fn prior_of(number: u32) -> f64 {
    f64::from(number) / 8.0
}

/// Proposes every number that is left; priors and values depend on the set alone. Counts its calls.
fn table(calls: &AtomicU64) -> impl Evaluator {
    AnswerEach(|request: &Request| {
        calls.fetch_add(1, Ordering::Relaxed);
        let left = left_of(&request.context);
        let proposal = |index: usize| {
            // Where fewer are left than samples are asked for, the last one is proposed again.
            let number = left[index.min(left.len() - 1)];
            let log_prob = prior_of(number).ln();
            let token = SampledTokens { ids: [number].into(), log_probs: [log_prob as f32].into() };
            let sampled = request.keep_tokens.then(|| Box::new(token));
            Proposal {
                action: number.to_string().into(),
                log_prob,
                tokens: 1,
                truncated: false,
                sampled,
            }
        };
        let proposals = (0..request.samples).map(proposal).collect();
        Ok(Evaluation { proposals, value: value_of(&left) })
    })
}

fn config(simulations: u64, transpositions: bool) -> MctsConfig {
    MctsConfig {
        samples: 4,
        simulations,
        transpositions,
        remove_duplicate: true,
        ..MctsConfig::default()
    }
}

fn grow(config: &MctsConfig) -> (TreeRecord, u64) {
    let calls = AtomicU64::new(0);
    let free = Cancel::new();
    let tree = search_tree(&Sums, &table(&calls), &problem("3"), config, 1, true, &free).unwrap();
    (tree, calls.into_inner())
}

/// Brute force: one table of states and one of edges, a simulation at a time, each rule written out.
#[derive(Default)]
struct Reference {
    /// By the numbers taken, in order of size: N and W of the state.
    states: HashMap<Vec<u32>, (u64, f64)>,
    /// By state and step: N and W of the edge.
    edges: BTreeMap<(Vec<u32>, u32), (u64, f64)>,
    closed_states: Vec<Vec<u32>>,
    closed_edges: Vec<(Vec<u32>, u32)>,
    expanded: Vec<Vec<u32>>,
}

impl Reference {
    fn simulate(&mut self) -> bool {
        let all = vec![1, 2, 3, 4];
        loop {
            if self.closed_states.contains(&all) {
                return false;
            }
            let (mut state, mut way) = (all.clone(), Vec::new());
            let arrived = loop {
                if !self.expanded.contains(&state) {
                    break true;
                }
                // At the root N is its own; elsewhere that of the state.
                let n = self.states.get(&state).map_or(0.0, |state| state.0 as f64);
                let open = state
                    .iter()
                    .filter(|step| !self.closed_edges.contains(&(state.clone(), **step)));
                let score = |step: u32| {
                    let (visits, sum) =
                        self.edges.get(&(state.clone(), step)).copied().unwrap_or_default();
                    let q = if visits == 0 { 0.0 } else { sum / visits as f64 };
                    q + 1.5 * prior_of(step) * n.sqrt() / (1.0 + visits as f64)
                };
                let best =
                    open.copied().max_by(|a, b| score(*a).total_cmp(&score(*b)).then(b.cmp(a)));
                let Some(step) = best else {
                    // Reached by an edge that was not told: it closes now, and so may those above.
                    self.close_up(&way);
                    break false;
                };
                way.push((state.clone(), step));
                state.retain(|number| *number != step);
                if self.closed_states.contains(&state) {
                    self.close_up(&way);
                    break false;
                }
            };
            if arrived {
                self.expand(&state, &way);
                return true;
            }
        }
    }

    fn expand(&mut self, state: &[u32], way: &[(Vec<u32>, u32)]) {
        self.expanded.push(state.to_vec());
        let mut values = vec![value_of(state)];
        for step in state.iter().copied() {
            let below: Vec<u32> = state.iter().copied().filter(|number| *number != step).collect();
            let edge = (state.to_vec(), step);
            let value = if below.is_empty() {
                Some(if step == 3 { 1.0 } else { -1.0 })
            } else if self.closed_states.contains(&below) {
                let (n, w) = self.states[&below];
                Some(w / n as f64)
            } else {
                None
            };
            if let Some(value) = value {
                self.edges.insert(edge.clone(), (1, value));
                self.closed_edges.push(edge);
                values.push(value);
            }
        }
        let sum: f64 = values.iter().sum();
        let add = |entry: &mut (u64, f64)| {
            *entry = (entry.0 + values.len() as u64, entry.1 + sum);
        };
        add(self.states.entry(state.to_vec()).or_default());
        for (above, step) in way {
            add(self.edges.entry((above.clone(), *step)).or_default());
            add(self.states.entry(above.clone()).or_default());
        }
        self.close_state(state, way);
    }

    fn close_state(&mut self, state: &[u32], way: &[(Vec<u32>, u32)]) {
        let closed = |step: &u32| self.closed_edges.contains(&(state.to_vec(), *step));
        if state.iter().all(closed) {
            self.closed_states.push(state.to_vec());
            self.close_up(way);
        }
    }

    fn close_up(&mut self, way: &[(Vec<u32>, u32)]) {
        if let Some((edge, above)) = way.split_last() {
            self.closed_edges.push(edge.clone());
            let state = edge.0.clone();
            if !self.closed_states.contains(&state) {
                self.close_state(&state, above);
            }
        }
    }
}

/// What is left at a node.
fn left_at(tree: &TreeRecord, tag: &str) -> Vec<u32> {
    let taken: String = tree.path(tag).unwrap().iter().map(|(_, node)| node.action()).collect();
    left_of(&format!(":{taken}"))
}

fn parent<'a>(tree: &'a TreeRecord, tag: &'a str) -> Option<(&'a str, &'a NodeRecord)> {
    tag.rsplit_once('.').map(|(parent, _)| (parent, &tree.react[tag]))
}

#[test]
fn edges_and_states_equal_a_brute_force_search() {
    for simulations in 1..=16 {
        let (tree, _) = grow(&config(simulations, true));
        let mut reference = Reference::default();
        let mut done = 0;
        while done < simulations && reference.simulate() {
            done += 1;
        }
        assert_eq!(tree.simulations, done);
        let mut edges = 0;
        for tag in tree.react.keys() {
            let Some((above, node)) = parent(&tree, tag) else { continue };
            let step: u32 = node.action().parse().unwrap();
            let edge = (left_at(&tree, above), step);
            let (visits, sum) = reference.edges.get(&edge).copied().unwrap_or_default();
            assert_eq!(node.visit_count, visits, "{simulations}: {tag} {edge:?}");
            let q = if visits == 0 { 0.0 } else { sum / visits as f64 };
            assert!((node.q_value - q).abs() < 1e-9, "{simulations}: {tag}");
            if let Some(state) = &node.state {
                let below = left_at(&tree, tag);
                let (visits, sum) = reference.states.get(&below).copied().unwrap_or_default();
                assert_eq!(state.visit_count, visits, "{simulations}: state of {tag}");
                let q = if visits == 0 { 0.0 } else { sum / visits as f64 };
                assert!((state.q_value - q).abs() < 1e-9);
            }
            edges += 1;
        }
        let expected: usize = reference.expanded.iter().map(Vec::len).sum();
        assert_eq!(edges, expected);
    }
}

#[test]
fn each_state_is_evaluated_once() {
    let (apart, without) = grow(&config(1000, false));
    let (shared, with) = grow(&config(1000, true));
    assert_eq!((apart.stop, shared.stop), (StopReason::Exhausted, StopReason::Exhausted));
    // Ways of at most three steps, 1 + 4 + 12 + 24, against sets of at least one number.
    assert_eq!((without, with), (41, 15));
    let answers = |tree: &TreeRecord| {
        let mut answers: Vec<String> = tree
            .react
            .values()
            .filter_map(|node| match &node.terminal {
                Some(Terminal::Answer(answer)) => Some(answer.clone()),
                _ => None,
            })
            .collect();
        answers.sort_unstable();
        answers.dedup();
        answers
    };
    assert_eq!(answers(&apart), answers(&shared));
    // Every transposition points to a node that has the steps below.
    let copies = shared
        .react
        .iter()
        .filter(|(tag, node)| node.state.as_ref().is_some_and(|state| state.tag != **tag));
    for (tag, node) in copies.clone() {
        assert!(shared.children(tag).next().is_none());
        assert!(shared.children(&node.state.as_ref().unwrap().tag).next().is_some());
    }
    assert!(copies.count() > 10);
}

#[test]
fn every_step_to_a_shared_state_keeps_its_own_tokens() {
    let keeping = MctsConfig { keep_tokens: true, ..config(1000, true) };
    let (mut tree, _) = grow(&keeping);
    for (tag, node) in tree.react.iter_mut().skip(1) {
        let sampled = node.sampled.take().expect(tag);
        assert_eq!(sampled.ids[0].to_string(), node.action(), "{tag}");
        assert!((sampled.log_prob().exp() - node.prior).abs() < 1e-6, "{tag}");
    }
    assert_eq!(tree, grow(&config(1000, true)).0);
}

#[test]
fn many_workers_share_states_too() {
    for seed in 0..30 {
        let (calls, free) = (AtomicU64::new(0), Cancel::new());
        let config = MctsConfig { workers: 8, ..config(1000, true) };
        let net = table(&calls);
        let tree = search_tree(&Sums, &net, &problem("3"), &config, seed, true, &free).unwrap();
        let calls = calls.load(Ordering::Relaxed);
        assert_eq!((tree.stop, calls), (StopReason::Exhausted, 15));
        assert_eq!(tree.simulations, 15);
    }
}
