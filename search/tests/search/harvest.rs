//! From trees to their finished paths.

use std::collections::HashSet;

use espalier_search::testing::{HashedEvaluator, LetterGame};
use espalier_search::{
    Cancel, HarvestError, LabelledSolution, MctsConfig, NodeRecord, TreeRecord, finished_paths,
    node_paths, search_tree,
};

use crate::script::{PROMPT, Script, problem};

fn grow(seed: u64, simulations: u64) -> TreeRecord {
    let net = HashedEvaluator::new(3, ["a", "b", "=", "!"]);
    let config = MctsConfig { simulations, ..MctsConfig::default() };
    search_tree(&LetterGame::default(), &net, &problem("ab"), &config, seed, true, &Cancel::new())
        .unwrap()
}

fn path(solution: &LabelledSolution) -> String {
    solution.steps.iter().map(|step| step.action.as_str()).collect()
}

#[test]
fn steps_carry_what_their_node_holds() {
    let script = Script::new(&[
        ("", 0.2, &[("a", 0.5), ("!", 0.25)]),
        ("a", -0.4, &[("=", 0.9), ("b", 0.5)]),
        ("ab", 0.8, &[("=", 0.6), ("c", 0.1)]),
    ]);
    let config =
        MctsConfig { samples: 2, simulations: 3, positive_reward: 0.5, ..MctsConfig::default() };
    let tree = search_tree(
        &LetterGame::default(),
        &script,
        &problem("ab"),
        &config,
        0,
        true,
        &Cancel::new(),
    )
    .unwrap();
    let solutions = finished_paths(&[tree]).unwrap();
    assert_eq!(solutions.iter().map(path).collect::<Vec<_>>(), ["!", "a=", "ab="]);
    let best = &solutions[2];
    assert_eq!((best.correct, best.reward, best.answer.as_deref()), (true, 1.0, Some("ab")));
    assert_eq!((best.problem_id.as_str(), best.prompt.as_str(), best.tree), ("letters", PROMPT, 0));
    // ab: 0.8 and the right answer's 0.5; a: those, its own -0.4 and the wrong answer's -1.
    let q: Vec<f64> = best.steps.iter().map(|step| step.q).collect();
    assert!((q[0] - -0.1 / 4.0).abs() < 1e-9 && (q[1] - 1.3 / 2.0).abs() < 1e-9, "{q:?}");
    assert_eq!(q[2], 0.5);
    let values: Vec<Option<f64>> = best.steps.iter().map(|step| step.value).collect();
    assert_eq!(values, [Some(-0.4), Some(0.8), Some(0.5)]);
    assert_eq!(best.steps.iter().map(|step| step.visits).collect::<Vec<_>>(), [4, 2, 1]);
    let invalid = &solutions[0];
    assert_eq!((invalid.correct, invalid.reward, invalid.answer.as_deref()), (false, -1.0, None));
}

#[test]
fn paths_are_distinct_over_all_trees() {
    let trees: Vec<TreeRecord> = (0..4).map(|seed| grow(seed, 60)).collect();
    let all = finished_paths(&trees).unwrap();
    let distinct: HashSet<String> = all.iter().map(path).collect();
    assert_eq!(distinct.len(), all.len());
    let ends = |tree: &TreeRecord| tree.react.values().filter(|n| n.terminal.is_some()).count();
    assert!(all.len() < trees.iter().map(ends).sum(), "the trees share paths");
    assert!(all.iter().any(|solution| solution.tree == 3));
    for solution in &all {
        let right = path(solution) == "ab=";
        assert_eq!((solution.correct, solution.reward), (right, if right { 1.0 } else { -1.0 }));
    }
}

#[test]
fn the_ways_to_nodes_go_through_every_node_with_visits_enough() {
    let trees: Vec<TreeRecord> = (0..3).map(|seed| grow(seed, 60)).collect();
    let texts = |tree: &TreeRecord, tag: &str| -> String {
        tree.path(tag).unwrap().iter().map(|(_, node)| node.action()).collect()
    };
    for min_visits in [1, 2, 5, 1000] {
        let ways = node_paths(&trees, min_visits).unwrap();
        for (index, tree) in trees.iter().enumerate() {
            let own = || ways.iter().filter(|way| way.tree == index);
            let through: HashSet<String> = own()
                .flat_map(|way| {
                    (1..=way.steps.len()).map(|end| {
                        way.steps[..end].iter().map(|step| step.action.as_str()).collect()
                    })
                })
                .collect();
            let visited: HashSet<String> = (tree.react.iter())
                .filter(|(tag, node)| *tag != TreeRecord::ROOT && node.visit_count >= min_visits)
                .map(|(tag, _)| texts(tree, tag))
                .collect();
            assert_eq!(through, visited);
            // As few as there are ends.
            let is_visited = |node: &NodeRecord| node.visit_count >= min_visits;
            let ends = tree.react.iter().filter(|(tag, node)| {
                *tag != TreeRecord::ROOT
                    && is_visited(node)
                    && !tree.children(tag).any(|(_, child)| is_visited(child))
            });
            assert_eq!(own().count(), ends.count());
        }
        assert!(ways.iter().all(|way| way.values_only && way.answer.is_none()));
        assert!(ways.iter().flat_map(|way| &way.steps).all(|step| step.visits >= min_visits));
        assert_eq!(ways.is_empty(), min_visits == 1000);
    }
}

#[test]
fn trees_that_cannot_be_harvested_are_named() {
    assert_eq!(finished_paths(&[]), Ok(Vec::new()));
    let good = grow(0, 10);
    let error = |trees: &[TreeRecord]| finished_paths(trees).unwrap_err();
    let other = TreeRecord { problem: "other".to_owned(), ..good.clone() };
    assert!(matches!(error(&[good.clone(), other]), HarvestError::MixedProblems { tree: 1, .. }));
    let blind = TreeRecord { ground_truth: false, ..good.clone() };
    assert!(matches!(error(&[blind]), HarvestError::NoGroundTruth { tree: 0, .. }));
    let mut broken = good.clone();
    let (tag, end) = broken.react.iter().find(|(_, node)| node.terminal.is_some()).unwrap();
    let (tag, end) = (format!("{tag}.7.7"), end.clone());
    broken.react.insert(tag.as_str().into(), end);
    let expected = HarvestError::BrokenTree { tree: 0, problem: "letters".to_owned(), tag };
    assert_eq!(error(&[broken]), expected);
}

#[test]
fn a_prompt_that_cannot_be_read_has_no_steps_to_label() {
    let config = MctsConfig::default();
    let game = LetterGame::default();
    let tree =
        search_tree(&game, &Script::new(&[]), &problem("ab"), &config, 0, true, &Cancel::new())
            .unwrap();
    assert_eq!(finished_paths(&[tree]), Ok(Vec::new()));
}
