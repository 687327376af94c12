//! Planning with Gumbel visits what mctx visits: `tests/data/gumbel_mctx.json` holds trees that its `gumbel_muzero_policy`
//! grew over tables of priors and values (`tests/data/gumbel_mctx.py`).

use std::collections::{BTreeMap, HashMap};

use espalier_search::selection::gumbel::{
    GumbelConfig, GumbelInterior, GumbelRoot, ImprovedPolicy,
};
use espalier_search::testing::AnswerEach;
use espalier_search::tree::{NewChild, Node, Path, StatsLayout, Tree, TreeConfig};
use espalier_search::{
    Cancel, Descent, Environment, Evaluation, MctsConfig, Problem, ProblemError, Proposal, Request,
    SelectionConfig, StepError, Transition, descend, search_tree,
};
use serde::Deserialize;

#[derive(Deserialize)]
struct Fixture {
    cases: Vec<Case>,
}

/// A graph of states, from 0, and the tree that mctx grew over it.
#[derive(Deserialize)]
struct Case {
    actions: usize,
    /// Without the root's own.
    simulations: u64,
    considered: usize,
    c_visit: f64,
    value_scale: f64,
    rescale: bool,
    noise: Vec<f64>,
    priors: Vec<Vec<f64>>,
    values: Vec<f64>,
    next: Vec<Vec<usize>>,
    /// Visits and mean value by tag.
    nodes: BTreeMap<String, (u64, f64)>,
}

impl Case {
    fn policy(&self) -> ImprovedPolicy {
        // Without rescaling Q goes from [-1, 1] to [0, 1] here, and as it is there.
        let c_scale = if self.rescale { self.value_scale } else { 2.0 * self.value_scale };
        let Self { considered, c_visit, .. } = *self;
        let config = GumbelConfig { considered, noise: 0.0, c_visit, c_scale };
        ImprovedPolicy { config, normalise_q: self.rescale }
    }

    fn assert_same(&self, nodes: &BTreeMap<String, (u64, f64)>) {
        assert_eq!(nodes.len(), self.nodes.len());
        for ((tag, (visits, q)), (there, (expected, mean))) in nodes.iter().zip(&self.nodes) {
            assert_eq!((tag, visits), (there, expected));
            assert!((q - mean).abs() < 1e-6, "{tag}: {q} and {mean}");
        }
    }
}

fn cases() -> Vec<Case> {
    let fixture: Fixture = serde_json::from_str(include_str!("../data/gumbel_mctx.json")).unwrap();
    assert!(fixture.cases.iter().any(|case| case.noise.iter().any(|noise| *noise != 0.0)));
    fixture.cases
}

/// Visited nodes at and below one.
fn collect(tree: &Tree, node: Node<'_>, tag: String, nodes: &mut BTreeMap<String, (u64, f64)>) {
    for (index, child) in node.children(tree).enumerate() {
        if child.stats(tree).visits > 0 {
            collect(tree, child, format!("{tag}.{index}"), nodes);
        }
    }
    let stats = node.stats(tree);
    nodes.insert(tag, (stats.visits, stats.q()));
}

#[test]
fn the_rules_visit_what_mctx_visits_under_the_same_noise() {
    for case in cases() {
        let (policy, simulations) = (case.policy(), case.simulations + 1);
        let root = GumbelRoot::with_noise(policy, simulations, case.noise.clone());
        let interior = GumbelInterior(policy);
        let layout = StatsLayout::new(simulations, 1).unwrap();
        let tree = Tree::new(&TreeConfig {
            layout,
            in_flight: None,
            shared: false,
            avoid_exhausted: true,
        });
        let mut states = HashMap::from([(0, 0)]);
        let mut path = Path::new();
        for _ in 0..simulations {
            assert_eq!(descend(&tree, &interior, &root, &mut path), Descent::Leaf);
            let state = states[&path.leaf().unwrap().id().index()];
            let children: Vec<NewChild> =
                case.priors[state].iter().map(|prior| NewChild::open(*prior as f32)).collect();
            let run = tree.prepare(&children);
            tree.set_value(&run, case.values[state] as f32);
            states.extend(run.ids().zip(&case.next[state]).map(|(id, next)| (id.index(), *next)));
            tree.publish(&path, &run);
            tree.backup(&path, layout.visits(&[case.values[state]]));
        }
        let mut nodes = BTreeMap::new();
        collect(&tree, tree.root(), "0".to_owned(), &mut nodes);
        case.assert_same(&nodes);
    }
}

/// The graph as an environment: a context is the number of the state, an action the number of the choice.
struct Graph<'a>(&'a Case);

impl Environment for Graph<'_> {
    type State = String;

    fn root(&self, _: &Problem) -> Result<String, ProblemError> {
        Ok("0".to_owned())
    }

    fn context<'a>(&self, state: &'a String) -> &'a str {
        state
    }

    fn step(&self, state: &String, action: &str) -> Result<Transition<String>, StepError> {
        let (from, choice): (usize, usize) = (state.parse().unwrap(), action.parse().unwrap());
        let state = self.0.next[from][choice].to_string();
        Ok(Transition { observation: "\n".into(), state, terminal: None })
    }

    fn reward(&self, _: &Problem, _: &str) -> f64 {
        -1.0
    }
}

#[test]
fn a_search_visits_what_mctx_visits_without_noise() {
    let mut searched = 0;
    for case in cases().iter().filter(|case| case.noise.iter().all(|noise| *noise == 0.0)) {
        let net = AnswerEach(|request: &Request| {
            let state: usize = request.context.parse().unwrap();
            let proposal = |(choice, prior): (usize, &f64)| Proposal {
                action: choice.to_string().into(),
                log_prob: prior.ln(),
                tokens: 1,
                truncated: false,
                sampled: None,
            };
            let proposals = case.priors[state].iter().enumerate().map(proposal).collect();
            Ok(Evaluation { proposals, value: case.values[state] })
        });
        let policy = case.policy();
        let selection = SelectionConfig {
            rule: serde_json::from_str("\"gumbel\"").unwrap(),
            gumbel: policy.config,
            normalise_q: policy.normalise_q,
            ..SelectionConfig::default()
        };
        let config = MctsConfig {
            selection,
            samples: case.actions,
            simulations: case.simulations + 1,
            max_depth: 1000,
            ..MctsConfig::default()
        };
        let problem = Problem {
            id: "graph".to_owned(),
            question: String::new(),
            answer: String::new(),
            metadata: serde_json::Map::new(),
        };
        let tree = search_tree(&Graph(case), &net, &problem, &config, 1, true, &Cancel::new());
        let nodes = tree.unwrap().react;
        let visited = nodes.iter().filter(|(_, node)| node.visit_count > 0);
        let visited =
            visited.map(|(tag, node)| (tag.to_string(), (node.visit_count, node.q_value)));
        case.assert_same(&visited.collect());
        searched += 1;
    }
    assert!(searched >= 3);
}
