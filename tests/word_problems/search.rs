//! Trees over code steps, grown with a policy that is a table.

use std::path::Path;
use std::sync::Arc;

use espalier::environment::program::{Program, ProgramRecipe};
use espalier::execution::{ExecutorConfig, ExecutorKind, start_with};
use espalier::search::testing::AnswerEach;
use espalier::search::{
    Cancel, DecodeConfig, Environment, Evaluation, Evaluator, MctsConfig, Proposal, Request,
    StopReason, Terminal, TreeRecord, decode, for_each_index, search_tree,
};

use super::problem;
use crate::execution::{PROGRAM, cpython, python};

/// What to write by how many steps there are already.
type Table = &'static [&'static [&'static str]];

/// Writes what a table says, and values every state 0.25.
fn writer(table: Table) -> impl Evaluator {
    AnswerEach(move |request: &Request| {
        let steps =
            request.context.matches("</step>").count() + request.context.matches("\n- ").count();
        let texts = table[steps.min(table.len() - 1)];
        let proposal = |text: &&str| Proposal {
            action: (*text).into(),
            log_prob: -1.0,
            tokens: 2,
            truncated: false,
            sampled: None,
        };
        let proposals = texts.iter().cycle().take(request.samples).map(proposal).collect();
        Ok(Evaluation { proposals, value: 0.25 })
    })
}

/// The environment over each interpreter that there is.
fn environments(text: &str) -> Vec<Program> {
    let recipe: ProgramRecipe = toml::from_str(text).unwrap();
    let mut kinds = vec![ExecutorKind::Embedded];
    if cpython(&ExecutorConfig::default()).is_some() {
        kinds.push(ExecutorKind::Cpython);
    }
    let start = |kind| {
        let executor =
            ExecutorConfig { kind, python: python(), workers: 2, ..recipe.executor.clone() };
        let recipe = ProgramRecipe { executor, ..recipe.clone() };
        Program::start_with(&recipe, |config| start_with(config, Path::new(PROGRAM))).unwrap()
    };
    kinds.into_iter().map(start).collect()
}

const CODE: Table = &[
    &["<step>\n<code>\nx = 5", "<step>\n<code>\ny = 1\nx = 7", "<step>\nneither\n"],
    &["<step>\n<code>\nprint(x)", "<step>\n<code>\ny", "<step>\n<code>\nprint('a' * 1000)"],
    &[
        "<step>\n<p>\nFinal Answer: $\\frac{10}{2}$\n</p>\n",
        "<step>\n<p>\nFinal Answer: 7\n</p>\n",
        "<step>\n<p>\nFinal Answer:\n</p>\n",
    ],
];

fn tree(environment: &Program) -> TreeRecord {
    let config = MctsConfig { samples: 3, simulations: 100, ..MctsConfig::default() };
    search_tree(
        environment,
        &writer(CODE),
        &problem("p", "Q?", "5"),
        &config,
        1,
        true,
        &Cancel::new(),
    )
    .unwrap()
}

fn node<'a>(tree: &'a TreeRecord, tag: &str) -> &'a espalier::search::NodeRecord {
    let found = tree.react.iter().find(|(found, _)| found.as_str() == tag);
    found.unwrap_or_else(|| panic!("no node {tag}")).1
}

#[test]
fn a_step_sees_its_ancestors_variables_and_no_sibling_s() {
    for environment in environments("format = \"xml\"\nerrors_threshold = 0") {
        let tree = tree(&environment);
        assert_eq!(tree.stop, StopReason::Exhausted);
        let observed = |tag: &str| node(&tree, tag).observation().to_owned();
        let output = |text: &str| format!("\n</code>\n<output>\n{text}\n</output>\n</step>\n");
        assert_eq!(observed("0.0"), output(""));
        assert_eq!([observed("0.0.0"), observed("0.1.0")], [output("5"), output("7")]);
        assert_eq!(observed("0.1.1"), output("1"));
        let [head, tail] = [250; 2].map(|count| "a".repeat(count));
        assert_eq!(observed("0.0.2"), output(&format!("{head}...{tail}")));
        // `y` is the sibling's: here it is an error, and the first one ends the path.
        assert!(observed("0.0.1").contains("NameError: name 'y' is not defined"));
        let Some(Terminal::Invalid(reason)) = &node(&tree, "0.0.1").terminal else {
            panic!("an error too many must end the path");
        };
        assert_eq!(reason, "more than 0 code errors in a row");
    }
}

#[test]
fn endings_are_recorded_with_their_rewards_and_end_their_own_child_alone() {
    for environment in environments("format = \"xml\"") {
        let tree = tree(&environment);
        for open in ["0.0.0", "0.0.1", "0.1.2"] {
            let ends: Vec<_> = ["0", "1", "2"]
                .iter()
                .map(|child| node(&tree, &format!("{open}.{child}")))
                .map(|node| (node.terminal.clone(), node.correct, node.q_value))
                .collect();
            let answer = |text: &str| Some(Terminal::Answer(text.to_owned()));
            assert_eq!(ends[0], (answer("\\frac{10}{2}"), Some(true), 1.0));
            assert_eq!(ends[1], (answer("7"), Some(false), -1.0));
            assert!(matches!(&ends[2], (Some(Terminal::Invalid(_)), None, -1.0)), "{ends:?}");
        }
        let broken = node(&tree, "0.2");
        assert!(matches!(&broken.terminal, Some(Terminal::Invalid(_))) && broken.q_value == -1.0);
        assert_eq!(broken.text(), "<step>\nneither\n</step>\n");
        // Each of the six nodes at depth two: its own value, one right and two wrong ends.
        let parent = node(&tree, "0.1.0");
        assert_eq!((parent.visit_count, parent.q_value), (4, (0.25 + 1.0 - 2.0) / 4.0));
        let visits = 1 + tree.react.len() as u64 - 1;
        assert_eq!(tree.root().unwrap().visit_count, visits);
        assert_eq!(tree, super::search::tree(&environment), "not deterministic");
    }
}

#[test]
fn many_threads_may_step_at_once() {
    for environment in environments("format = \"xml\"") {
        let root = environment.root(&problem("p", "Q?", "5")).unwrap();
        let parent = environment.step(&root, "<code>\ntotal = 10").unwrap().state;
        let check = |index: usize| -> Result<(), String> {
            let child = environment.step(&parent, &format!("<code>\ntotal += {index}")).unwrap();
            let grandchild = environment.step(&child.state, "<code>\ntotal").unwrap();
            let expected = format!("<output>\n{}\n</output>", 10 + index);
            let found = grandchild.observation.into_owned();
            if found.contains(&expected) { Ok(()) } else { Err(found) }
        };
        for_each_index(24, 8, &Cancel::new(), check).unwrap();
    }
}

#[test]
fn votes_go_to_what_an_answer_means() {
    const ANSWERS: Table = &[&["#### 3", "#### 1/2", "#### 0.5", "#### $\\frac{1}{2}$", "#### 3"]];
    let environment = Arc::new(environments("").swap_remove(0));
    let config = DecodeConfig::default();
    let question = problem("p", "Q?", "0.5");
    let outcome = decode(
        "maj@5".parse().unwrap(),
        &*environment,
        &writer(ANSWERS),
        &question,
        &config,
        1,
        &Cancel::new(),
    )
    .unwrap();
    assert_eq!(outcome.answer.as_deref(), Some("1/2"));
    let scores: Vec<f64> = outcome.candidates.iter().map(|candidate| candidate.score).collect();
    assert_eq!(scores, [0.4, 0.6, 0.6, 0.6, 0.4]);
    assert_eq!(environment.reward(&question, "1/2"), 1.0);
}
