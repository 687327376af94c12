//! The tokens of sampled steps, from the policy to the labels.

use espalier_search::testing::{HashedEvaluator, LetterGame};
use espalier_search::{
    Cancel, LabelledStep, MctsConfig, NodeRecord, SampledTokens, SearchConfig, TreeRecord,
    continue_tree, finished_paths, search_tree,
};

use crate::script::problem;

fn config(keep_tokens: bool) -> MctsConfig {
    MctsConfig { simulations: 30, keep_tokens, ..MctsConfig::default() }
}

fn net() -> HashedEvaluator {
    HashedEvaluator::new(3, ["a", "b", " b", "=", "!"])
}

fn grow(config: &MctsConfig) -> TreeRecord {
    let (game, problem) = (LetterGame::default(), problem("ab"));
    search_tree(&game, &net(), &problem, config, 7, true, &Cancel::new()).unwrap()
}

/// A line of a file and back.
fn written_and_read(tree: &TreeRecord) -> TreeRecord {
    serde_json::from_str(&serde_json::to_string(tree).unwrap()).unwrap()
}

/// Every step's tokens are those of its text, and their log-probabilities make its prior.
fn assert_tokens(tree: &TreeRecord) {
    let steps = tree.react.iter().filter(|(tag, _)| *tag != TreeRecord::ROOT);
    for (tag, node) in steps {
        let SampledTokens { ids, log_probs } = node.sampled.as_deref().expect(tag);
        let text: String = ids.iter().map(|&id| char::from(id as u8)).collect();
        assert_eq!(text, format!("{}\n", node.action()), "{tag}");
        assert_eq!((ids.len(), log_probs.len()), (node.tokens, node.tokens));
        assert_prior(node.sampled.as_deref(), node.prior);
    }
}

fn assert_prior(sampled: Option<&SampledTokens>, prior: f64) {
    let sampled = sampled.unwrap();
    let mean = sampled.log_prob() / sampled.ids.len() as f64;
    assert!((mean.exp() - prior).abs() < 1e-6, "{mean} and {prior}");
}

fn without_tokens(tree: &TreeRecord) -> TreeRecord {
    let mut tree = tree.clone();
    tree.react.values_mut().for_each(|node| node.sampled = None);
    tree
}

#[test]
fn every_step_keeps_its_tokens_and_nothing_else_changes() {
    let settings = [
        config(true),
        MctsConfig { remove_duplicate: true, ..config(true) },
        MctsConfig { update_leaf_value: true, ..config(true) },
        MctsConfig { roots: 3, ..config(true) },
        MctsConfig { leaf_batch: 4, ..config(true) },
    ];
    for keeping in settings {
        let tree = grow(&keeping);
        assert_tokens(&tree);
        assert_eq!(tree.react[TreeRecord::ROOT].sampled, None);
        let plain = grow(&MctsConfig { keep_tokens: false, ..keeping });
        assert_eq!(without_tokens(&tree), plain);
        let json = serde_json::to_string(&plain).unwrap();
        assert!(!json.contains("sampled"), "nothing is written where nothing is kept");
    }
}

#[test]
fn every_kind_of_search_keeps_tokens() {
    let error = serde_json::from_str::<SearchConfig>(r#"{"kind": "?"}"#).unwrap_err().to_string();
    let kinds: Vec<&str> = error.split('`').skip(3).step_by(2).collect();
    assert!(kinds.contains(&"mcts") && kinds.len() > 1, "{kinds:?}");
    for kind in kinds {
        let grow = |keep_tokens: bool| {
            let config = format!(r#"{{"kind": "{kind}", "keep_tokens": {keep_tokens}}}"#);
            let config: SearchConfig = serde_json::from_str(&config).unwrap();
            let (game, problem, free) = (LetterGame::default(), problem("ab"), Cancel::new());
            config.kind().grow(&game, &net(), &problem, 7, true, &free).unwrap()
        };
        let tree = grow(true);
        assert!(tree.react.len() > 3, "{kind}");
        assert_tokens(&tree);
        assert_eq!(without_tokens(&tree), grow(false), "{kind}");
    }
}

#[test]
fn a_file_keeps_every_number_and_a_search_goes_on_from_it() {
    let whole = grow(&MctsConfig { simulations: 60, ..config(true) });
    let part = written_and_read(&grow(&config(true)));
    assert_eq!(part, grow(&config(true)));
    let (game, problem) = (LetterGame::default(), problem("ab"));
    let go_on = |keep_tokens| {
        let config = MctsConfig { simulations: 60, ..config(keep_tokens) };
        continue_tree(&game, &net(), &problem, &config, &part, &Cancel::new()).unwrap()
    };
    assert_eq!(go_on(true), whole);
    // What an earlier search kept stays kept.
    let mixed = go_on(false);
    assert_eq!(without_tokens(&mixed), without_tokens(&whole));
    let kept = |tree: &TreeRecord| tree.react.values().filter(|n| n.sampled.is_some()).count();
    assert_eq!(kept(&mixed), kept(&part));
    assert!(kept(&part) > 20 && kept(&whole) > kept(&part));
}

#[test]
fn labels_carry_the_tokens_of_their_steps() {
    let tree = written_and_read(&grow(&config(true)));
    let solutions = finished_paths(std::slice::from_ref(&tree)).unwrap();
    let text = serde_json::to_string(&solutions).unwrap();
    let read: Vec<espalier_search::LabelledSolution> = serde_json::from_str(&text).unwrap();
    assert_eq!(read, solutions);
    let nodes: Vec<&NodeRecord> = tree.react.values().collect();
    let steps: Vec<&LabelledStep> = read.iter().flat_map(|solution| &solution.steps).collect();
    assert!(!steps.is_empty());
    for step in steps {
        assert_prior(step.sampled.as_deref(), step.prior);
        assert!(nodes.iter().any(|node| node.sampled == step.sampled));
    }
    let plain = finished_paths(&[grow(&config(false))]).unwrap();
    assert!(!serde_json::to_string(&plain).unwrap().contains("sampled"));
}
