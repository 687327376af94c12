//! What the tree search costs with an evaluator that costs next to nothing, texts and states included.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use espalier_search::testing::{HashedEvaluator, LetterGame};
use espalier_search::{Cancel, MctsConfig, search_tree};

const ACTIONS: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];

/// AlphaMath's shape: many small trees, where making and dropping a tree counts.
fn small_trees(criterion: &mut Criterion) {
    let game = LetterGame { length: Some(10) };
    let problem = LetterGame::problem("bench", "abcdefgh");
    let evaluator = HashedEvaluator::new(1, ACTIONS);
    let config = MctsConfig { max_depth: 10, ..MctsConfig::default() };
    let mut group = criterion.benchmark_group("tree of 40 simulations");
    group.throughput(Throughput::Elements(config.simulations));
    group.bench_function("1 worker", |bencher| {
        let mut seed = 0;
        bencher.iter(|| {
            seed += 1;
            search_tree(&game, &evaluator, &problem, &config, black_box(seed), true, &Cancel::new())
        });
    });
    group.finish();
}

/// One tree that several workers grow.
fn shared_tree(criterion: &mut Criterion) {
    let game = LetterGame { length: Some(10) };
    let problem = LetterGame::problem("bench", "abcdefgh");
    let evaluator = HashedEvaluator::new(1, ACTIONS);
    let mut group = criterion.benchmark_group("tree of 5000 simulations");
    group.throughput(Throughput::Elements(5000)).sample_size(10);
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    for workers in [1, cores] {
        let config =
            MctsConfig { simulations: 5000, max_depth: 10, workers, ..MctsConfig::default() };
        group.bench_with_input(BenchmarkId::new("workers", workers), &config, |bencher, config| {
            bencher.iter(|| {
                search_tree(&game, &evaluator, &problem, config, black_box(1), true, &Cancel::new())
            });
        });
    }
    group.finish();
}

criterion_group!(benches, small_trees, shared_tree);
criterion_main!(benches);
