//! Nodes below which nothing is left to search get more steps.

use std::collections::HashSet;

use espalier_search::testing::{HashedEvaluator, LetterGame};
use espalier_search::{
    Cancel, MctsConfig, SearchError, StopReason, TreeRecord, continue_tree, search_tree,
};

use crate::script::{Script, problem};

fn config(widening: usize) -> MctsConfig {
    MctsConfig { samples: 2, simulations: 60, max_depth: 2, widening, ..MctsConfig::default() }
}

/// Words of two letters; many of the steps break the rules.
fn grow(config: &MctsConfig, seed: u64, answer: &str, ground_truth: bool) -> TreeRecord {
    let net = HashedEvaluator::new(seed, ["a", "b", "c", "d", "e", "!", "?", "#"]);
    let game = LetterGame { length: Some(2) };
    search_tree(&game, &net, &problem(answer), config, seed, ground_truth, &Cancel::new()).unwrap()
}

fn solved(tree: &TreeRecord) -> bool {
    tree.react.values().any(|node| node.correct == Some(true))
}

#[test]
fn the_budget_goes_on_where_nothing_was_found() {
    let (mut narrow, mut wide) = (0, 0);
    for seed in 0..50 {
        let tree = grow(&config(0), seed, "ab", true);
        assert_eq!(tree.stop, StopReason::Exhausted, "seed {seed}");
        let widened = grow(&config(8), seed, "ab", true);
        assert_eq!(widened, grow(&config(8), seed, "ab", true), "seed {seed}");
        assert!(widened.simulations >= tree.simulations, "seed {seed}");
        narrow += u64::from(solved(&tree));
        wide += u64::from(solved(&widened));
    }
    // All words can be found by then; of two random steps and two below each seldom one is right.
    assert!(narrow < 20 && wide > 40, "{narrow} and {wide} of 50 trees");
}

#[test]
fn what_a_node_has_is_not_added_again() {
    let mut widened = 0;
    for seed in 0..50 {
        // No answer is right.
        let tree = grow(&config(8), seed, "no word", true);
        for tag in tree.react.keys() {
            let actions: Vec<&str> = tree.children(tag).map(|(_, node)| node.action()).collect();
            // The steps of the first expansion are kept apart, as without widening.
            let (first, more) = actions.split_at(actions.len().min(2));
            let known: HashSet<&str> = first.iter().copied().collect();
            let new: HashSet<&str> = more.iter().copied().collect();
            assert!(new.len() == more.len() && new.is_disjoint(&known), "{actions:?}");
            widened += usize::from(!more.is_empty());
        }
    }
    assert!(widened > 50, "{widened} nodes of more steps than one expansion gives");
}

#[test]
fn a_node_with_a_right_answer_below_is_not_widened() {
    for seed in 0..50 {
        for (tag, node) in &grow(&config(8), seed, "ab", true).react {
            if node.correct == Some(true) {
                // The right step is of the last that were sampled there.
                let (parent, place) = tag.rsplit_once('.').unwrap();
                let tree = grow(&config(8), seed, "ab", true);
                let siblings = tree.children(parent).count();
                assert!(siblings <= place.parse::<usize>().unwrap() + 2, "seed {seed}, {tag}");
            }
        }
    }
}

#[test]
fn without_the_truth_the_value_net_says_what_is_right() {
    let lines = |value| {
        Script::new(&[
            ("", 0.0, &[("a", 0.5), ("b", 0.25)]),
            ("a", value, &[("=", 0.5), ("!", 0.25)]),
            ("b", -0.5, &[("!", 0.5), ("?", 0.25)]),
            ("a=", value, &[]),
        ])
    };
    let grow = |value, widening| {
        let config = MctsConfig { simulations: 20, max_depth: 4, ..config(widening) };
        let net = lines(value);
        let game = LetterGame::default();
        search_tree(&game, &net, &problem("z"), &config, 1, false, &Cancel::new()).unwrap()
    };
    assert_eq!(grow(0.5, 0).simulations, 3);
    // The script has no other steps. Node `b` is tried again once, `a` and the root are not.
    assert_eq!(grow(0.5, 1).simulations, 4);
    // All three are, once.
    let tree = grow(-0.5, 1);
    assert_eq!((tree.simulations, tree.stop), (6, StopReason::Exhausted));
    // What was known is not backed up again.
    assert_eq!(tree.react, grow(-0.5, 0).react);
}

#[test]
fn workers_widen_one_tree_together() {
    for seed in 0..30 {
        let config = MctsConfig { workers: 4, leaf_batch: 2, simulations: 200, ..config(8) };
        let tree = grow(&config, seed, "no word", true);
        let mut seen = HashSet::new();
        for (tag, node) in &tree.react {
            assert!(tree.path(tag).is_some());
            let below: u64 = tree.children(tag).map(|(_, child)| child.visit_count).sum();
            let expanded = tree.children(tag).next().is_some();
            let own = u64::from(expanded || node.terminal.is_some());
            assert_eq!(node.visit_count, own + below, "seed {seed}, visits of {tag}");
            assert!(seen.insert(tag));
        }
    }
}

#[test]
fn states_that_share_a_node_are_widened_too() {
    for seed in 0..30 {
        let config = MctsConfig { transpositions: true, workers: 2, ..config(8) };
        let tree = grow(&config, seed, "no word", true);
        assert!(tree.simulations > 3, "seed {seed}: {} simulations", tree.simulations);
    }
}

#[test]
fn a_widened_tree_cannot_go_on() {
    let config = config(1);
    let tree = grow(&config, 1, "ab", true);
    let net = HashedEvaluator::new(1, ["a"]);
    let game = LetterGame { length: Some(2) };
    let error = continue_tree(&game, &net, &problem("ab"), &config, &tree, &Cancel::new());
    assert!(matches!(error, Err(SearchError::Config(error)) if error.field == "widening"));
}
