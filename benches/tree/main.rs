//! The tree alone, in a game whose evaluation costs next to nothing (branching 8, depth 10), beside the crate `mcts` and a floor.
//!
//! *Narrow* (c_puct 1.5) keeps a few thousand nodes in cache under a hot root; *wide* (c_puct 50) adds a node in nearly every
//! simulation and is bound by memory.

mod espalier;
mod floor;
mod game;
mod peer;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};

/// What an engine did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Children made.
    pub children: u64,
    /// Visits of the root's children.
    pub root_visits: Vec<u64>,
}

const SIMULATIONS: u64 = 1_000_000;

fn trees(criterion: &mut Criterion) {
    for (shape, c_puct) in [("narrow", 1.5), ("wide", 50.0)] {
        assert_eq!(
            espalier::run(c_puct, 100_000, 1).root_visits,
            floor::run(c_puct, 100_000).root_visits,
            "the floor makes the same descents"
        );
        let mut group = criterion.benchmark_group(format!("{shape} tree of a million simulations"));
        group.throughput(Throughput::Elements(SIMULATIONS)).sample_size(10);
        group.bench_function("floor, 1 thread", |bencher| {
            bencher.iter(|| floor::run(c_puct, SIMULATIONS));
        });
        for threads in [1, 2] {
            group.bench_function(format!("espalier, {threads} thread(s)"), |bencher| {
                bencher.iter(|| espalier::run(c_puct, SIMULATIONS, threads));
            });
            group.bench_function(format!("mcts 0.3, {threads} thread(s)"), |bencher| {
                bencher.iter(|| peer::run(c_puct, SIMULATIONS, threads));
            });
        }
        group.finish();
    }
}

criterion_group!(benches, trees);
criterion_main!(benches);
