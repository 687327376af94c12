//! What must hold of any finished tree, for any settings, any number of workers and any schedule.

use espalier_search::testing::{HashedEvaluator, LetterGame};
use espalier_search::{Cancel, MctsConfig, NodeRecord, StopReason, Tag, TreeRecord, search_tree};
use proptest::prelude::*;

use crate::script::problem;

/// Steps of every kind: letters, an answer and a broken rule.
const ACTIONS: [&str; 6] = ["a", "b", "c", "d", "=", "!"];

fn configs() -> impl Strategy<Value = MctsConfig> {
    let shape = (1..=6_usize, 1..=120_u64, 1..=6_usize, 1..=8_usize, 0..=3_usize);
    let rules = (any::<bool>(), any::<bool>(), any::<bool>(), 0.0..4.0_f64, 0.0..3.0_f64);
    (shape, rules).prop_map(|(shape, rules)| MctsConfig {
        samples: shape.0,
        simulations: shape.1,
        max_depth: shape.2,
        workers: shape.3,
        widening: shape.4,
        remove_duplicate: rules.0,
        update_leaf_value: rules.1,
        normalise_prior: rules.2,
        c_puct: rules.3,
        virtual_loss: rules.4,
        ..MctsConfig::default()
    })
}

fn grow(config: &MctsConfig, seed: u64, ground_truth: bool) -> TreeRecord {
    let net = HashedEvaluator::new(seed, ACTIONS);
    let game = LetterGame::default();
    search_tree(&game, &net, &problem("ab"), config, seed, ground_truth, &Cancel::new()).unwrap()
}

fn children<'a>(tree: &'a TreeRecord, tag: &'a str) -> Vec<&'a NodeRecord> {
    tree.children(tag).map(|(_, node)| node).collect()
}

/// Values that a node backed up by itself: its own, unless `update_leaf_value` gives that to the
/// children's parent.
fn own_visits(tree: &TreeRecord, tag: &str, node: &NodeRecord, config: &MctsConfig) -> u64 {
    let expanded = !children(tree, tag).is_empty();
    if config.update_leaf_value {
        // Backed up when the node was created, at the root never; a root that ends counts.
        u64::from(tag != TreeRecord::ROOT || node.terminal.is_some())
    } else {
        u64::from(expanded || node.terminal.is_some())
    }
}

fn check(tree: &TreeRecord, config: &MctsConfig) -> Result<(), TestCaseError> {
    let mut expanded = 0;
    for (tag, node) in &tree.react {
        let below = children(tree, tag);
        expanded += u64::from(!below.is_empty());
        prop_assert!(below.len() <= config.samples * (1 + config.widening));
        prop_assert!(node.q_value.abs() <= 1.0, "{} has Q {}", tag, node.q_value);
        prop_assert!((0.0..=1.0).contains(&node.prior));
        let own = own_visits(tree, tag, node, config);
        let visits: u64 = below.iter().map(|child| child.visit_count).sum();
        prop_assert_eq!(node.visit_count, own + visits, "visits of {}", tag);
        let sum: f64 = below.iter().map(|child| child.q_value * child.visit_count as f64).sum();
        let own_sum = if own == 1 { node.value.unwrap() } else { 0.0 };
        let w = node.q_value * node.visit_count as f64;
        prop_assert!((w - own_sum - sum).abs() < 1e-6, "W of {}: {} and {}", tag, w, own_sum + sum);
        prop_assert!(node.terminal.is_none() || below.is_empty(), "{} goes on", tag);
        prop_assert!(tree.path(tag).is_some());
        if config.normalise_prior && !below.is_empty() && config.widening == 0 {
            let priors: f64 = below.iter().map(|child| child.prior).sum();
            prop_assert!((priors - 1.0).abs() < 1e-9);
        }
    }
    if config.widening == 0 {
        prop_assert_eq!(expanded, tree.simulations);
    } else {
        prop_assert!(
            (expanded..=expanded * (1 + config.widening as u64)).contains(&tree.simulations)
        );
    }
    match tree.stop {
        StopReason::Simulations => prop_assert_eq!(tree.simulations, config.simulations),
        StopReason::Exhausted => {
            let open = |(tag, node): (&Tag, &NodeRecord)| {
                node.terminal.is_none() && children(tree, tag).is_empty()
            };
            prop_assert!(!tree.react.iter().any(open), "an open leaf was left");
        }
        other => prop_assert!(false, "stopped by {:?}", other),
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn sums_add_up(config in configs(), seed: u64, ground_truth: bool) {
        check(&grow(&config, seed, ground_truth), &config)?;
    }

    #[test]
    fn one_worker_and_a_seed_give_the_same_tree(config in configs(), seed: u64) {
        let config = MctsConfig { workers: 1, ..config };
        let tree = grow(&config, seed, true);
        prop_assert_eq!(tree.collisions, 0);
        prop_assert_eq!(&tree, &grow(&config, seed, true));
        // Virtual loss is for simulations in flight, and one worker never meets any.
        let heavier = MctsConfig { virtual_loss: config.virtual_loss + 5.0, ..config };
        prop_assert_eq!(&tree, &grow(&heavier, seed, true));
    }

    #[test]
    fn json_keeps_a_tree_exactly(config in configs(), seed: u64, ground_truth: bool) {
        let tree = grow(&config, seed, ground_truth);
        let json = serde_json::to_string(&tree).unwrap();
        let read: TreeRecord = serde_json::from_str(&json).unwrap();
        prop_assert!(read.react.keys().eq(tree.react.keys()), "the order changed");
        prop_assert_eq!(read, tree);
    }
}

#[test]
fn another_seed_gives_another_tree() {
    let config = MctsConfig::default();
    assert_ne!(grow(&config, 1, true).react, grow(&config, 2, true).react);
}

#[test]
fn workers_meet_and_none_is_lost() {
    // One child a node: at any time a single leaf is open, so eight workers must collide and wait.
    let config = MctsConfig {
        samples: 1,
        simulations: 200,
        max_depth: 1000,
        workers: 8,
        ..MctsConfig::default()
    };
    let net = SlowLetters;
    let tree =
        search_tree(&LetterGame::default(), &net, &problem("ab"), &config, 3, true, &Cancel::new())
            .unwrap();
    assert_eq!(tree.react.len(), 201);
    assert!(tree.collisions > 0);
    check(&tree, &config).unwrap();
}

/// Always the letter a, after a pause in which other workers can reach the same leaf.
struct SlowLetters;

impl espalier_search::Evaluator for SlowLetters {
    fn evaluate(
        &self,
        requests: &[espalier_search::Request],
        _: &Cancel,
    ) -> Vec<Result<espalier_search::Evaluation, espalier_search::EvaluatorError>> {
        std::thread::sleep(std::time::Duration::from_micros(50));
        HashedEvaluator::new(0, ["a"]).evaluate(requests, &Cancel::new())
    }
}

#[test]
fn a_record_of_another_schema_is_refused() {
    let tree = grow(&MctsConfig { simulations: 1, ..MctsConfig::default() }, 0, true);
    let json = serde_json::to_string(&tree).unwrap().replace("espalier.tree/2", "espalier.tree/3");
    let error = serde_json::from_str::<TreeRecord>(&json).unwrap_err();
    assert!(error.to_string().contains("newer form than \"espalier.tree/2\""), "{error}");
}
