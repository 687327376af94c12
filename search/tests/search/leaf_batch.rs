//! Several leaves in flight a worker change how fast a tree grows, and not what kind of tree it is.

use espalier_search::testing::{HashedEvaluator, LetterGame};
use espalier_search::{Cancel, MctsConfig, TreeRecord, search_tree};

const SEEDS: u64 = 200;

fn grow(leaf_batch: usize, seed: u64) -> TreeRecord {
    let net = HashedEvaluator::new(seed, ["a", "b", "c", "d", "e", "f", "g", "h"]);
    let (game, problem) = (LetterGame { length: Some(12) }, LetterGame::problem("p", "abcdefgh"));
    let config =
        MctsConfig { leaf_batch, simulations: 300, max_depth: 12, ..MctsConfig::default() };
    search_tree(&game, &net, &problem, &config, seed, true, &Cancel::new()).unwrap()
}

/// Mean steps from the root to the leaves that were expanded.
fn path_length(tree: &TreeRecord) -> f64 {
    let expanded = tree.react.keys().filter_map(|tag| tag.strip_suffix(".0"));
    let depths: Vec<usize> = expanded.map(|tag| tag.matches('.').count()).collect();
    depths.iter().sum::<usize>() as f64 / depths.len() as f64
}

/// The root's children's shares of the visits, the greatest first.
fn root_visits(tree: &TreeRecord) -> Vec<f64> {
    let mut visits: Vec<f64> =
        tree.children(TreeRecord::ROOT).map(|(_, child)| child.visit_count as f64).collect();
    visits.sort_by(|one, other| other.total_cmp(one));
    let all: f64 = visits.iter().sum();
    visits.iter().map(|visits| visits / all).collect()
}

/// The statistic of the two-sample test of Kolmogorov and Smirnov: how far the shares of values up to some value lie apart.
fn distance(one: &[f64], other: &[f64]) -> f64 {
    let up_to = |sample: &[f64], limit: f64| {
        sample.iter().filter(|value| **value <= limit).count() as f64 / sample.len() as f64
    };
    let apart = |limit: &f64| (up_to(one, *limit) - up_to(other, *limit)).abs();
    one.iter().chain(other).map(apart).fold(0.0, f64::max)
}

#[test]
fn trees_of_several_leaves_in_flight_are_like_those_of_one() {
    let sample = |leaf_batch| (0..SEEDS).map(move |seed| grow(leaf_batch, seed));
    let single: Vec<TreeRecord> = sample(1).collect();
    let lengths: Vec<f64> = single.iter().map(path_length).collect();
    let visits: Vec<Vec<f64>> = single.iter().map(root_visits).collect();
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    // Samples of one distribution lie further apart once in twenty times.
    let limit = 1.358 * (2.0 / SEEDS as f64).sqrt();
    for leaf_batch in [4, 8] {
        let several: Vec<TreeRecord> = sample(leaf_batch).collect();
        let others: Vec<f64> = several.iter().map(path_length).collect();
        let ratio = mean(&others) / mean(&lengths);
        assert!((ratio - 1.0).abs() < 0.02, "{leaf_batch}: paths are {ratio} times as long");
        assert!(distance(&lengths, &others) < limit, "{leaf_batch}: paths");
        let others: Vec<Vec<f64>> = several.iter().map(root_visits).collect();
        for rank in 0..visits[0].len() {
            let of_rank = |trees: &[Vec<f64>]| trees.iter().map(|it| it[rank]).collect::<Vec<_>>();
            let distance = distance(&of_rank(&visits), &of_rank(&others));
            assert!(distance < limit, "{leaf_batch}: {distance} in child {rank} by visits");
        }
    }
}
