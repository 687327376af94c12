//! Batched inference over leaves: five samples each, as a search asks for them.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use espalier_inference::config::InferenceConfig;
use espalier_inference::evaluator::LocalEvaluator;
use espalier_model::checkpoint::Checkpoint;
use espalier_model::config::NetConfig;
use espalier_model::tokenizer::{Tokenizer, Tokens};
use espalier_search::{Cancel, Evaluator, Request};

fn leaves(criterion: &mut Criterion) {
    let tokenizer =
        Tokenizer::fresh(Tokens::Characters).expect("the character tokenizer is built in");
    let net = Checkpoint::initialise(&NetConfig::default(), tokenizer, 1)
        .expect("the default net is consistent");
    let config = InferenceConfig { max_step_tokens: 8, ..InferenceConfig::default() };
    let evaluator = LocalEvaluator::new(&net, config).expect("the configuration is in range");
    let mut group = criterion.benchmark_group("leaves of five samples");
    for batch in [1_u64, 8, 64] {
        let requests: Vec<Request> = (0..batch)
            .map(|seed| {
                Request::steps(format!("{}:3 5 7\n7*3=21|5 21\n", 10 + seed).into(), 5, 1.0, seed)
            })
            .collect();
        group.throughput(Throughput::Elements(batch));
        group.bench_with_input(BenchmarkId::new("batch", batch), &requests, |bencher, requests| {
            bencher.iter(|| evaluator.evaluate(requests, &Cancel::new()));
        });
    }
    group.finish();
}

criterion_group!(benches, leaves);
criterion_main!(benches);
