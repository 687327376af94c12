//! The tree alone, beside the crate `mcts` and a floor (see `espalier::bench::tree`).

use ::espalier::bench::tree::{SHAPES, espalier, floor, peer};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

const SIMULATIONS: u64 = 1_000_000;

fn trees(criterion: &mut Criterion) {
    for (shape, c_puct) in SHAPES {
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
