//! How many pairs of answers are graded in a second on one core, by kind.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use espalier::grading::grade;

/// Pairs of a kind; `n` makes them different from each other.
type Kind = (&'static str, fn(u32) -> [String; 2]);

const KINDS: [Kind; 6] = [
    ("integers", |n| [format!("{n}"), format!("{}", n + n % 2)]),
    ("decimals", |n| [format!("{n}.50"), format!("{n}.5")]),
    ("thousands", |n| [format!("1,{:03}", n % 1000), format!("{}", 1000 + n % 1000)]),
    ("fractions", |n| [format!("\\frac{{{n}}}{{7}}"), format!("{}/14", 2 * n)]),
    ("tuples", |n| [format!("({n}, \\frac12)"), format!("({n},0.5)")]),
    ("polynomials", |n| [format!("(x+{n})^2"), format!("x^2+{}x+{}", 2 * n, u64::from(n).pow(2))]),
];

fn kinds(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("grade");
    for (name, pair) in KINDS {
        let pairs: Vec<[String; 2]> = (1..=1000).map(pair).collect();
        group.throughput(Throughput::Elements(pairs.len() as u64));
        group.bench_with_input(BenchmarkId::from_parameter(name), &pairs, |bencher, pairs| {
            bencher.iter(|| {
                pairs
                    .iter()
                    .filter(|[gold, answer]| grade(black_box(gold), answer).is_equal())
                    .count()
            });
        });
    }
    group.finish();
}

criterion_group!(benches, kinds);
criterion_main!(benches);
