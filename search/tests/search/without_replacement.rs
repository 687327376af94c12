//! Steps that are drawn without replacement.

use std::collections::HashSet;
use std::sync::Mutex;

use espalier_search::beam::BeamConfig;
use espalier_search::testing::{AnswerEach, HashedEvaluator, LetterGame};
use espalier_search::{
    Cancel, DecodeConfig, Decoding, Evaluator, MctsConfig, Request, SearchKind, TreeRecord, decode,
    search_tree,
};

use crate::script::problem;

const STEPS: [&str; 8] = ["a", "b", "c", "d", "e", "!", "?", "#"];

fn config(widening: usize) -> MctsConfig {
    MctsConfig {
        samples: 3,
        simulations: 60,
        max_depth: 2,
        widening,
        without_replacement: true,
        ..MctsConfig::default()
    }
}

/// Words of two letters, of which none is right.
fn grow(config: &MctsConfig, seed: u64) -> TreeRecord {
    let net = HashedEvaluator::new(seed, STEPS);
    let game = LetterGame { length: Some(2) };
    search_tree(&game, &net, &problem("none"), config, seed, true, &Cancel::new()).unwrap()
}

/// The steps below each node, in their order.
fn families(tree: &TreeRecord) -> Vec<Vec<String>> {
    let actions =
        |tag: &str| tree.children(tag).map(|(_, node)| node.action().to_owned()).collect();
    tree.react.keys().map(|tag| actions(tag)).collect()
}

#[test]
fn siblings_differ_and_a_widened_node_gets_those_that_come_next() {
    for seed in 0..50 {
        let (narrow, wide) = (grow(&config(0), seed), grow(&config(2), seed));
        for family in families(&wide) {
            let different: HashSet<&String> = family.iter().collect();
            assert_eq!(different.len(), family.len(), "{family:?}");
        }
        let (few, all) = (&families(&narrow)[0], &families(&wide)[0]);
        // Nothing is right: the root is widened twice, and has all eight steps then.
        assert_eq!((few.len(), all.len()), (3, STEPS.len()));
        assert_eq!(few[..], all[..3]);
    }
}

#[test]
fn every_search_and_decoding_that_expands_nodes_asks_for_it_and_no_other_does() {
    let flags = Mutex::new(Vec::new());
    let net = HashedEvaluator::new(5, STEPS);
    let evaluator = AnswerEach(|request: &Request| {
        if request.samples > 0 {
            flags.lock().unwrap().push(request.without_replacement);
        }
        net.evaluate(std::slice::from_ref(request), &Cancel::new()).remove(0)
    });
    let game = LetterGame { length: Some(2) };
    let settings = DecodeConfig { tree: config(0), ..DecodeConfig::default() };
    let cancel = Cancel::new();
    for (name, expected) in [
        ("greedy", false),
        ("maj@3", false),
        ("bon@3", false),
        ("sbs:2x3", true),
        ("dvts:2x3", true),
        ("mcts:9", true),
    ] {
        let decoding: Decoding = name.parse().unwrap();
        decode(decoding, &game, &evaluator, &problem("none"), &settings, 1, &cancel).unwrap();
        let found = std::mem::take(&mut *flags.lock().unwrap());
        assert!(!found.is_empty() && found.iter().all(|&flag| flag == expected), "{name}");
    }
    let beam = BeamConfig {
        without_replacement: true,
        remove_duplicate: false,
        max_depth: 2,
        ..BeamConfig::default()
    };
    let tree = beam.grow(&game, &evaluator, &problem("none"), 1, true, &cancel).unwrap();
    let root = &families(&tree)[0];
    assert_eq!(root.iter().collect::<HashSet<_>>().len(), STEPS.len());
    assert_eq!(root.len(), STEPS.len());
}
