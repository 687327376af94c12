//! Inference over libtorch, the engine of GPUs, held against the CPU's own: on the first GPU where there is one, and on
//! the CPU elsewhere.

use espalier_fixtures::fixtures::{Reference, folder, names, reference};
use espalier_fixtures::nets::{opinionated, tiny, windowed};
use espalier_inference::{InferenceConfig, LocalEvaluator};
use espalier_model::{Checkpoint, Device, NetConfig};
use espalier_search::{Evaluation, Request};

use crate::local::{answers, long_requests, request};

fn device() -> Device {
    if tch::Cuda::device_count() > 0 { Device::Cuda(0) } else { Device::Cpu }
}

fn over_libtorch(checkpoint: &Checkpoint, config: &InferenceConfig) -> LocalEvaluator {
    let config = InferenceConfig { device: device(), ..config.clone() };
    LocalEvaluator::over_libtorch(checkpoint, config).unwrap()
}

fn by_kernels(checkpoint: &Checkpoint, config: &InferenceConfig) -> LocalEvaluator {
    assert_eq!(config.device, Device::Cpu);
    LocalEvaluator::new(checkpoint, config.clone()).unwrap()
}

/// Requires the same steps, and values and log-probabilities within `tolerance` (a token).
fn assert_close(found: &[Evaluation], expected: &[Evaluation], tolerance: f64, what: &str) {
    assert_eq!(found.len(), expected.len());
    for (index, (one, other)) in found.iter().zip(expected).enumerate() {
        let off = (one.value - other.value).abs();
        assert!(off < tolerance, "{what}, request {index}: value {} is off by {off}", one.value);
        assert_eq!(one.proposals.len(), other.proposals.len());
        for (step, expected) in one.proposals.iter().zip(&other.proposals) {
            let same = (&step.action, step.tokens) == (&expected.action, expected.tokens);
            assert!(same, "{what}, request {index}: {step:?}, not {expected:?}");
            let off = (step.log_prob - expected.log_prob).abs();
            assert!(
                off < tolerance * step.tokens as f64,
                "{what}, request {index}: {step:?} is off by {off}"
            );
        }
    }
}

/// Requests of many lengths, sample counts and temperatures, whose contexts are prefixes of one text.
fn mixed_requests(text: &str) -> Vec<Request> {
    let ends: Vec<usize> = text.char_indices().map(|(at, c)| at + c.len_utf8()).collect();
    (0..24)
        .map(|index| {
            let end = ends[(index * 7) % ends.len()];
            let temperature = [1.0, 0.0, 0.6, 1.5][index % 4];
            request(&text[..end], index % 6, temperature, 100 + index as u64)
        })
        .collect()
}

const TEXT: &str = "3 7 25 50 -> 100\n25 * 4 = 100 ...";

#[test]
fn every_family_is_computed_as_by_the_kernels() {
    for name in names("models") {
        let dir = folder("models").join(&name);
        let mut checkpoint = Checkpoint::load(&dir).unwrap();
        // The kernels compute in fp32 whatever the file's element type is; the next test is about 16 bits.
        checkpoint.config.dtype = Some("float32".to_owned());
        let Reference { text, .. } = reference(&dir);
        let config = InferenceConfig {
            max_step_tokens: 6,
            stops: Vec::new(),
            threads: 1,
            ..InferenceConfig::default()
        };
        let requests = mixed_requests(&text);
        let expected = answers(&by_kernels(&checkpoint, &config), &requests);
        let found = answers(&over_libtorch(&checkpoint, &config), &requests);
        assert_close(&found, &expected, 1e-4, &name);
        assert!(found.iter().any(|answer| answer.proposals.iter().any(|step| step.tokens > 1)));
    }
}

#[test]
fn sixteen_bits_are_computed_in_sixteen_bits() {
    let net = NetConfig { width: 64, heads: 4, key_value_heads: 2, intermediate: 96, ..tiny() };
    for dtype in ["bfloat16", "float16"] {
        let dir = tempfile::tempdir().unwrap();
        let mut checkpoint = opinionated(&net, 21);
        checkpoint.config.dtype = Some(dtype.to_owned());
        checkpoint.save(&dir.path().join("net")).unwrap();
        let rounded = Checkpoint::load(&dir.path().join("net")).unwrap();
        let config = InferenceConfig { threads: 1, ..InferenceConfig::default() };
        // Values alone: a sample may part where two tokens are about as likely.
        let requests: Vec<Request> =
            (1..TEXT.len()).map(|end| request(&TEXT[..end], 0, 1.0, 1)).collect();
        let expected = answers(&by_kernels(&rounded, &config), &requests);
        let found = answers(&over_libtorch(&rounded, &config), &requests);
        assert_close(&found, &expected, if dtype == "float16" { 0.01 } else { 0.08 }, dtype);
        assert_ne!(found, expected, "{dtype}: these are fp32's numbers");
        // The likeliest step's log-probability, where both write the same.
        let requests = [request("1 + 1", 1, 0.0, 1)];
        let expected = answers(&by_kernels(&rounded, &config), &requests);
        let found = answers(&over_libtorch(&rounded, &config), &requests);
        let (one, other) = (&found[0].proposals[0], &expected[0].proposals[0]);
        if one.action == other.action {
            let off = (one.log_prob - other.log_prob).abs();
            assert!(off < 0.1 * one.tokens as f64, "{dtype}: {one:?} {other:?}");
        }
    }
}

#[test]
fn nets_of_every_shape_answer_alone_as_in_any_batch_and_with_any_memory() {
    for (seed, net) in [
        tiny(),
        NetConfig { tie_embeddings: false, key_value_heads: 4, ..tiny() },
        NetConfig { key_value_heads: 1, ..tiny() },
        NetConfig::default(),
    ]
    .into_iter()
    .enumerate()
    {
        let checkpoint = opinionated(&net, 30 + seed as u64);
        let requests = mixed_requests(TEXT);
        let config = InferenceConfig { threads: 1, ..InferenceConfig::default() };
        let expected = answers(&by_kernels(&checkpoint, &config), &requests);
        for kv_cache_megabytes in [0, 64] {
            let config = InferenceConfig { kv_cache_megabytes, ..config.clone() };
            let evaluator = over_libtorch(&checkpoint, &config);
            let together = answers(&evaluator, &requests);
            assert_close(&together, &expected, 1e-4, "together");
            let one = |request| answers(&evaluator, std::slice::from_ref(request)).remove(0);
            let alone: Vec<Evaluation> = requests.iter().map(one).collect();
            assert_close(&alone, &expected, 1e-4, "alone");
        }
    }
}

#[test]
fn contexts_of_many_sizes_share_a_pass() {
    let net = NetConfig { max_length: 2600, ..tiny() };
    let checkpoint = opinionated(&net, 40);
    // Beyond what is padded to one size, in rows and in positions; then groups that go on from long and short contexts.
    let digits = |length: usize, shift: usize| -> String {
        (0..length).map(|index| char::from(b'0' + ((index * 7 + shift) % 10) as u8)).collect()
    };
    let lengths = [1, 15, 16, 17, 40, 500, 1100, 1101, 2500];
    let mut requests: Vec<Request> = lengths
        .into_iter()
        .enumerate()
        .map(|(index, length)| request(&digits(length, index), index % 4, 1.0, index as u64))
        .collect();
    requests.push(request(&digits(2000, 9), 40, 1.0, 77));
    let config = InferenceConfig { threads: 1, ..InferenceConfig::default() };
    let expected = answers(&by_kernels(&checkpoint, &config), &requests);
    let evaluator = over_libtorch(&checkpoint, &config);
    assert_close(&answers(&evaluator, &requests), &expected, 1e-4, "long");
    assert_close(&answers(&evaluator, &requests), &expected, 1e-4, "long, again");
    assert_eq!(evaluator.stats().prefix_tokens_recomputed, 0);
}

#[test]
fn prefixes_are_computed_once_and_again_when_they_were_dropped_as_by_the_kernels() {
    let checkpoint = opinionated(&tiny(), 14);
    let run = |kv_cache_megabytes: usize, libtorch: bool| {
        let config =
            InferenceConfig { kv_cache_megabytes, threads: 1, ..InferenceConfig::default() };
        let evaluator = if libtorch {
            over_libtorch(&checkpoint, &config)
        } else {
            by_kernels(&checkpoint, &config)
        };
        let mut context = "1 2 3\n".to_owned();
        let mut answered = Vec::new();
        for seed in 0..4 {
            for samples in [5, 5, 1] {
                answered.extend(answers(&evaluator, &[request(&context, samples, 1.0, seed)]));
            }
            let step = &answered[answered.len() - 1].proposals[0].action;
            context.extend(step.chars().take(3).chain(['\n']));
        }
        let stats = evaluator.stats();
        let counters = [
            stats.requests,
            stats.passes,
            stats.prefix_tokens_computed,
            stats.prefix_tokens_reused,
            stats.prefix_tokens_recomputed,
            stats.tokens_sampled,
            stats.step_rows,
            stats.step_tokens_reused,
        ];
        (answered, counters)
    };
    for kv_cache_megabytes in [64, 0] {
        let (found, counters) = run(kv_cache_megabytes, true);
        let (expected, expected_counters) = run(kv_cache_megabytes, false);
        assert_close(&found, &expected, 1e-4, "in a row");
        assert_eq!(counters, expected_counters);
        let [.., reused, recomputed, _, _, restored] = counters;
        assert_eq!(recomputed == 0, kv_cache_megabytes > 0, "{counters:?}");
        assert!(kv_cache_megabytes == 0 || (reused > 0 && restored > 0), "{counters:?}");
    }
}

#[test]
fn many_threads_ask_at_once() {
    let checkpoint = opinionated(&tiny(), 15);
    let config = InferenceConfig { threads: 2, slots: 16, ..InferenceConfig::default() };
    let expected = answers(&by_kernels(&checkpoint, &config), &mixed_requests(TEXT));
    let evaluator = over_libtorch(&checkpoint, &config);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for _ in 0..3 {
                    let found = answers(&evaluator, &mixed_requests(TEXT));
                    assert_close(&found, &expected, 1e-4, "threads");
                }
            });
        }
    });
    assert!(evaluator.stats().prefix_tokens_reused > 0);
}

#[test]
fn windows_hide_the_same_as_in_the_kernels() {
    let config = InferenceConfig { threads: 1, ..InferenceConfig::default() };
    for window in [3, 16, 37] {
        let checkpoint = windowed(window, 32);
        let expected = answers(&by_kernels(&checkpoint, &config), &long_requests());
        let evaluator = over_libtorch(&checkpoint, &config);
        for _ in 0..2 {
            assert_close(&answers(&evaluator, &long_requests()), &expected, 1e-4, "window");
        }
    }
}
