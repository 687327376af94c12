//! The order of simulations that a tree keeps where it is asked to.

use std::collections::HashMap;

use espalier_search::testing::{HashedEvaluator, LetterGame};
use espalier_search::{Cancel, MctsConfig, Tag, TreeRecord, continue_tree, search_tree};

use crate::script::problem;

fn keeping() -> MctsConfig {
    MctsConfig { simulations: 60, keep_order: true, ..MctsConfig::default() }
}

fn net() -> HashedEvaluator {
    HashedEvaluator::new(3, ["a", "b", " b", "=", "!"])
}

fn grow(config: &MctsConfig) -> TreeRecord {
    let (game, problem) = (LetterGame::default(), problem("ab"));
    search_tree(&game, &net(), &problem, config, 7, true, &Cancel::new()).unwrap()
}

/// N and the sum of values of every node, made again simulation by simulation. What a child has from the beginning is what the record
/// has of it beyond what went through it.
fn replayed(tree: &TreeRecord, update_leaf_value: bool) -> HashMap<Tag, (u64, f64)> {
    let order = tree.order.as_ref().unwrap();
    assert_eq!(order.len() as u64, tree.simulations);
    let above = |tag: &Tag| {
        let mut tags = vec![Tag::const_new(TreeRecord::ROOT)];
        tags.extend(tree.path(tag).unwrap().iter().map(|(tag, _)| Tag::new(tag)));
        tags
    };
    let mut through: HashMap<Tag, (u64, f64)> = HashMap::new();
    for simulation in order {
        for tag in above(&simulation.node) {
            let entry = through.entry(tag).or_default();
            *entry = (entry.0 + simulation.values, entry.1 + simulation.value_sum);
        }
    }
    let mut known: HashMap<Tag, (u64, f64)> =
        HashMap::from([(Tag::const_new(TreeRecord::ROOT), (0, 0.0))]);
    let mut children: HashMap<&Tag, usize> = HashMap::new();
    for simulation in order {
        for tag in above(&simulation.node) {
            // No simulation comes before the one that made its node.
            let entry = known.get_mut(&tag).unwrap();
            *entry = (entry.0 + simulation.values, entry.1 + simulation.value_sum);
        }
        let before = children.insert(&simulation.node, simulation.children).unwrap_or(0);
        for index in before..simulation.children {
            let tag = TreeRecord::child_tag(&simulation.node, index);
            let node = &tree.react[&tag];
            let later = through.get(&tag).copied().unwrap_or_default();
            let sum = node.q_value * node.visit_count as f64 - later.1;
            let visits = node.visit_count - later.0;
            // From the beginning an end has its own value, and with `update_leaf_value` every child has.
            let valued = node.terminal.is_some() || update_leaf_value;
            let expected = node.value.filter(|_| valued).unwrap_or(0.0);
            assert!(visits == u64::from(valued) && (sum - expected).abs() < 1e-6, "{tag}");
            assert!(known.insert(tag, (visits, sum)).is_none());
        }
    }
    known
}

#[test]
fn the_order_makes_every_node_again_and_nothing_else_changes() {
    let settings = [
        keeping(),
        MctsConfig { update_leaf_value: true, ..keeping() },
        MctsConfig { widening: 3, without_replacement: true, ..keeping() },
        MctsConfig { remove_duplicate: true, leaf_batch: 4, ..keeping() },
        MctsConfig { workers: 4, ..keeping() },
    ];
    for config in settings {
        let tree = grow(&config);
        let known = replayed(&tree, config.update_leaf_value);
        assert_eq!(known.len(), tree.react.len());
        for (tag, node) in &tree.react {
            let (visits, sum) = known[tag];
            assert_eq!(visits, node.visit_count, "{tag}");
            let expected = node.q_value * node.visit_count as f64;
            assert!((sum - expected).abs() < 1e-6, "{tag}: {sum}, {expected}");
        }
        let read: TreeRecord =
            serde_json::from_str(&serde_json::to_string(&tree).unwrap()).unwrap();
        assert_eq!(read, tree);
        if config.workers == 1 {
            let plain = grow(&MctsConfig { keep_order: false, ..config });
            assert_eq!(TreeRecord { order: None, ..tree }, plain);
        }
    }
}

#[test]
fn a_tree_that_goes_on_keeps_the_order_of_one_longer_search() {
    let whole = grow(&keeping());
    let short = grow(&MctsConfig { simulations: 20, ..keeping() });
    let (game, problem) = (LetterGame::default(), problem("ab"));
    let go_on = |record: &TreeRecord, config: &MctsConfig| {
        continue_tree(&game, &net(), &problem, config, record, &Cancel::new()).unwrap()
    };
    assert_eq!(go_on(&short, &keeping()), whole);
    let unordered = TreeRecord { order: None, ..short.clone() };
    assert_eq!(go_on(&unordered, &keeping()), whole);
    let dropped = go_on(&short, &MctsConfig { keep_order: false, ..keeping() });
    assert_eq!(dropped, TreeRecord { order: None, ..whole });
}
