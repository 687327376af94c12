//! The evaluator on the CPU.

use espalier_fixtures::nets::{opinionated, tiny, windowed};
use espalier_inference::{InferenceConfig, LocalEvaluator};
use espalier_model::config::Family;
use espalier_model::{Checkpoint, Dtype, NetConfig, Tokenizer, Tokens};
use espalier_search::{Action, Cancel, Evaluation, Evaluator, EvaluatorError, Request};

pub(crate) fn request(context: &str, samples: usize, temperature: f32, seed: u64) -> Request {
    Request::steps(context.into(), samples, temperature, seed)
}

fn evaluator(checkpoint: &Checkpoint) -> LocalEvaluator {
    LocalEvaluator::new(checkpoint, InferenceConfig::default()).unwrap()
}

pub(crate) fn answers(evaluator: &LocalEvaluator, requests: &[Request]) -> Vec<Evaluation> {
    evaluator.evaluate(requests, &Cancel::new()).into_iter().map(Result::unwrap).collect()
}

/// Requests of many lengths, sample counts and temperatures.
pub(crate) fn mixed_requests() -> Vec<Request> {
    let text = "3 7 25 50 -> 100\n25 * 4 = 100 ...";
    (0..24)
        .map(|index| {
            let length = 1 + (index * 7) % text.len();
            let temperature = [1.0, 0.0, 0.6, 1.5][index % 4];
            request(&text[..length], index % 6, temperature, 100 + index as u64)
        })
        .collect()
}

fn bits(evaluation: &Evaluation) -> (u64, Vec<(Action, u64, usize)>) {
    let steps = evaluation.proposals.iter();
    let steps = steps.map(|step| (step.action.clone(), step.log_prob.to_bits(), step.tokens));
    (evaluation.value.to_bits(), steps.collect())
}

/// Requires the same bits of every request alone and without memory, and in any batch with and without memory.
pub(crate) fn check_any_batch(checkpoint: &Checkpoint, requests: &[Request]) {
    check_any_batch_with(&InferenceConfig::default(), checkpoint, requests);
}

/// As [`check_any_batch`], with these settings.
pub(crate) fn check_any_batch_with(
    base: &InferenceConfig,
    checkpoint: &Checkpoint,
    requests: &[Request],
) {
    let with_memory = |kv_cache_megabytes| {
        let config = InferenceConfig { kv_cache_megabytes, ..base.clone() };
        LocalEvaluator::new(checkpoint, config).unwrap()
    };
    let forgetful = with_memory(0);
    let alone: Vec<_> = requests
        .iter()
        .map(|request| bits(&answers(&forgetful, std::slice::from_ref(request))[0]))
        .collect();
    // The contexts are prefixes of one another, so an evaluator that remembers reads most of them in part.
    for evaluator in [forgetful, with_memory(16)] {
        let mut order: Vec<usize> = (0..requests.len()).collect();
        for (round, size) in [1usize, 2, 3, 7, 13, 24].into_iter().enumerate() {
            // A permutation for each round: 5 has no factor in common with 24.
            order = order.iter().map(|&index| (index * 5 + round) % requests.len()).collect();
            for members in order.chunks(size) {
                let batch: Vec<Request> = members.iter().map(|&i| requests[i].clone()).collect();
                for (&index, answer) in members.iter().zip(answers(&evaluator, &batch)) {
                    assert_eq!(bits(&answer), alone[index], "request {index}, batch {members:?}");
                }
            }
        }
    }
}

#[test]
fn a_request_is_answered_the_same_bit_for_bit_alone_and_in_any_batch() {
    let checkpoint = opinionated(&NetConfig { width: 64, ..tiny() }, 1);
    check_any_batch(&checkpoint, &mixed_requests());
}

#[test]
fn nets_of_every_family_change_no_bit_from_batch_to_batch() {
    for name in ["gemma3_text", "granite", "olmo2", "phi3", "qwen2_moe", "qwen3_moe", "smollm3"] {
        let family = Family::of_model_type(name).unwrap();
        let checkpoint = opinionated(&NetConfig { family, ..tiny() }, 41);
        check_any_batch(&checkpoint, &mixed_requests());
    }
}

/// Contexts of up to 200 tokens, which are prefixes of one another.
pub(crate) fn long_requests() -> Vec<Request> {
    let text: String = (0..200u32)
        .map(|index| char::from_digit(index * index % 17 % 10, 10).unwrap_or('+'))
        .collect();
    let request = |index: usize| {
        let length = 1 + (index * 47) % text.len();
        request(&text[..length], index % 4, [1.0, 0.0, 1.3][index % 3], index as u64)
    };
    (0..24).map(request).collect()
}

#[test]
fn windows_below_the_contexts_change_no_bit_from_batch_to_batch() {
    let requests = long_requests();
    let all = windowed(256, 31);
    let unlimited = answers(&evaluator(&all), &requests);
    // Below, at and above a block's positions.
    for window in [3, 16, 37] {
        let checkpoint = windowed(window, 31);
        check_any_batch(&checkpoint, &requests);
        let found = answers(&evaluator(&checkpoint), &requests);
        for ((request, one), other) in requests.iter().zip(&found).zip(&unlimited) {
            let sees_all = request.context.len() <= window;
            assert_eq!(one.value.to_bits() == other.value.to_bits(), sees_all, "{request:?}");
        }
    }
}

#[test]
fn a_batch_that_exceeds_the_scheduler_s_room_is_answered_in_order() {
    let evaluator = evaluator(&opinionated(&tiny(), 12));
    let requests: Vec<Request> = (0..60)
        .map(|index| request(&format!("{index} 1 2"), index % 9 * 10, 1.0, index as u64))
        .collect();
    let together = answers(&evaluator, &requests);
    for (request, answer) in requests.iter().zip(&together) {
        assert_eq!(answer.proposals.len(), request.samples);
        assert_eq!(bits(&answers(&evaluator, std::slice::from_ref(request))[0]), bits(answer));
    }
}

#[test]
fn threads_do_not_disturb_each_other() {
    let evaluator = evaluator(&opinionated(&tiny(), 2));
    let requests = mixed_requests();
    let expected: Vec<_> = answers(&evaluator, &requests).iter().map(bits).collect();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..5 {
                    let found: Vec<_> = answers(&evaluator, &requests).iter().map(bits).collect();
                    assert_eq!(found, expected);
                }
            });
        }
    });
}

#[test]
fn temperature_zero_is_the_most_likely_step_whatever_the_seed() {
    let evaluator = evaluator(&opinionated(&tiny(), 6));
    let found = answers(&evaluator, &[request("1 2 3", 3, 0.0, 1), request("1 2 3", 3, 0.0, 2)]);
    let first = &found[0].proposals[0];
    assert!(found.iter().flat_map(|answer| &answer.proposals).all(|step| step == first));
    let sampled = answers(&evaluator, &[request("1 2 3", 40, 1.0, 1)]);
    assert!(sampled[0].proposals.iter().any(|step| step != first));
}

#[test]
fn samples_are_a_function_of_the_seed_and_their_number() {
    let evaluator = evaluator(&opinionated(&tiny(), 7));
    let five = answers(&evaluator, &[request("9 9", 5, 1.0, 1)]);
    let three = answers(&evaluator, &[request("9 9", 3, 1.0, 1)]);
    assert_eq!(five[0].proposals[..3], three[0].proposals[..]);
    let other = answers(&evaluator, &[request("9 9", 5, 1.0, 2)]);
    assert_ne!(five[0].proposals, other[0].proposals);
    assert!(five[0].proposals.iter().any(|step| step != &five[0].proposals[0]));
}

#[test]
fn steps_end_with_the_delimiter_or_at_the_limit() {
    let checkpoint = opinionated(&tiny(), 8);
    let config = InferenceConfig {
        max_step_tokens: 3,
        stops: vec![" ".to_owned()],
        ..InferenceConfig::default()
    };
    let evaluator = LocalEvaluator::new(&checkpoint, config).unwrap();
    let found = answers(&evaluator, &[request("1 + 1", 200, 2.0, 1)]);
    let steps = &found[0].proposals;
    assert!(steps.iter().all(|step| (1..=3).contains(&step.tokens) && !step.action.contains(' ')));
    let whole = steps.iter().filter(|step| step.action.len() == 3);
    assert!(whole.clone().count() > 0 && whole.clone().all(|step| step.tokens == 3));
    assert!(steps.iter().any(|step| step.action.len() + 1 == step.tokens));
    // The delimiter may be the last token that there is room for.
    let ended = |step: &&espalier_search::Proposal| step.action.len() < step.tokens;
    assert!(steps.iter().all(|step| step.truncated != ended(&step)));
    assert!(steps.iter().filter(ended).any(|step| step.tokens == 3));
    assert!(steps.iter().all(|step| step.log_prob < 0.0));
}

#[test]
fn bad_requests_fail_alone() {
    let evaluator = evaluator(&opinionated(&tiny(), 9));
    let long = "1".repeat(41);
    let requests = [
        request("1 + 1", 2, 1.0, 1),
        request("π", 2, 1.0, 1),
        request(&long, 2, 1.0, 1),
        request(&long, 0, 1.0, 1),
        request("", 2, 1.0, 1),
        request("1 + 1", 2, f32::NAN, 1),
        request("1 + 1", 2, 1.0, 1),
    ];
    let found = evaluator.evaluate(&requests, &Cancel::new());
    assert_eq!(found.len(), requests.len());
    assert!(found[0].is_ok());
    assert_eq!(found[0], found[6]);
    assert!(matches!(&found[1], Err(EvaluatorError::Failed(why)) if why.contains('π')));
    assert_eq!(found[2], Err(EvaluatorError::ContextTooLong { tokens: 65, limit: 64 }));
    assert!(found[3].is_ok(), "a value alone needs no room for a step");
    assert!(matches!(&found[4], Err(EvaluatorError::Failed(why)) if why.contains("empty")));
    assert!(matches!(&found[5], Err(EvaluatorError::Failed(why)) if why.contains("temperature")));
    assert_eq!(evaluator.evaluate(&[], &Cancel::new()), []);
}

#[test]
fn settings_out_of_range_are_refused() {
    let checkpoint = opinionated(&tiny(), 10);
    for config in [
        InferenceConfig { max_step_tokens: 0, ..InferenceConfig::default() },
        InferenceConfig { max_step_tokens: 64, ..InferenceConfig::default() },
        InferenceConfig { stops: vec!["π".to_owned()], ..InferenceConfig::default() },
    ] {
        assert!(LocalEvaluator::new(&checkpoint, config).is_err());
    }
}

#[test]
fn a_loaded_checkpoint_answers_like_the_one_that_was_saved() {
    let dir = tempfile::tempdir().unwrap();
    let checkpoint = opinionated(&tiny(), 11);
    checkpoint.save(&dir.path().join("net")).unwrap();
    let loaded = LocalEvaluator::load(&dir.path().join("net"), InferenceConfig::default()).unwrap();
    let requests = mixed_requests();
    assert_eq!(answers(&loaded, &requests), answers(&evaluator(&checkpoint), &requests));
}

#[test]
fn a_fresh_net_has_no_opinion() {
    let checkpoint =
        Checkpoint::initialise(&tiny(), Tokenizer::fresh(Tokens::Characters).unwrap(), 1).unwrap();
    let found = answers(&evaluator(&checkpoint), &[request("1 2", 40, 1.0, 1)]);
    assert_eq!(found[0].value, 0.0);
    // The logits' standard deviation is about 1: a choice among 98 tokens costs about ln 98 - 1/2.
    let steps = &found[0].proposals;
    let tokens: usize = steps.iter().map(|step| step.tokens).sum();
    let per_token = steps.iter().map(|step| step.log_prob).sum::<f64>() / tokens as f64;
    assert!((per_token + 98f64.ln() - 0.5).abs() < 0.5, "{per_token}");
}

#[test]
fn a_large_net_s_cores_share_its_passes_and_change_no_bit() {
    // Above the size from which all cores work on one pass.
    let net = NetConfig { width: 512, intermediate: 1536, layers: 3, ..tiny() };
    let checkpoint = opinionated(&net, 13);
    let found = [1, 2, 3].map(|threads| {
        let config = InferenceConfig { threads, ..InferenceConfig::default() };
        let evaluator = LocalEvaluator::new(&checkpoint, config).unwrap();
        answers(&evaluator, &mixed_requests()).iter().map(bits).collect::<Vec<_>>()
    });
    assert_eq!(found[0], found[1]);
    assert_eq!(found[0], found[2]);
}

#[test]
fn keys_and_values_in_sixteen_bits_change_answers_a_little() {
    let checkpoint = opinionated(&tiny(), 15);
    let found = [None, Some(Dtype::Float16), Some(Dtype::BFloat16)].map(|kv_cache_dtype| {
        let config = InferenceConfig { kv_cache_dtype, ..InferenceConfig::default() };
        let evaluator = LocalEvaluator::new(&checkpoint, config).unwrap();
        answers(&evaluator, &[request("1 2 3\n4 5 6\n", 0, 1.0, 0)])[0].value
    });
    for (value, limit) in [(found[1], 2e-3), (found[2], 2e-2)] {
        let off = (value - found[0]).abs();
        assert!(off > 0.0 && off < limit, "{value} is {off} off {}", found[0]);
    }
}

#[test]
fn nothing_is_computed_twice_while_it_fits_and_is_computed_again_when_it_was_dropped() {
    let checkpoint = opinionated(&tiny(), 14);
    let run = |kv_cache_megabytes| {
        let config =
            InferenceConfig { kv_cache_megabytes, threads: 1, ..InferenceConfig::default() };
        let evaluator = LocalEvaluator::new(&checkpoint, config).unwrap();
        // Contexts that continue one another and their samples, asked one after the other and twice.
        let mut context = "1 2 3\n".to_owned();
        let mut answered = Vec::new();
        for seed in 0..4 {
            for samples in [5, 5] {
                let answer = answers(&evaluator, &[request(&context, samples, 1.0, seed)]);
                answered.push(bits(&answer[0]));
            }
            let step = answers(&evaluator, &[request(&context, 1, 1.0, seed)]);
            let step: String = step[0].proposals[0].action.chars().take(3).collect();
            context = format!("{context}{step}\n");
        }
        (answered, evaluator.stats())
    };
    let (kept, stats) = run(64);
    let (dropped, without) = run(0);
    assert_eq!(kept, dropped);
    assert_eq!(stats.prefix_tokens_recomputed, 0);
    assert!(stats.prefix_tokens_reused > 0 && stats.step_tokens_reused > 0, "{stats:?}");
    assert!(without.prefix_tokens_recomputed > 0, "{without:?}");
    assert_eq!(stats.tokens_sampled, without.tokens_sampled);
    assert!(stats.step_rows < without.step_rows);
    assert_eq!(stats.requests, 12);
}

#[test]
fn a_step_ends_with_a_stop_of_several_tokens() {
    let checkpoint = opinionated(&tiny(), 15);
    let whole = LocalEvaluator::new(
        &checkpoint,
        InferenceConfig { stops: Vec::new(), ..InferenceConfig::default() },
    );
    let free = answers(&whole.unwrap(), &[request("1 + 1", 1, 1.0, 3)]);
    let text = &free[0].proposals[0].action;
    let stop: String = text.chars().skip(3).take(2).collect();
    let config = InferenceConfig { stops: vec![stop.clone()], ..InferenceConfig::default() };
    let evaluator = LocalEvaluator::new(&checkpoint, config).unwrap();
    let found = answers(&evaluator, &[request("1 + 1", 1, 1.0, 3)]);
    let step = &found[0].proposals[0];
    let end = text.find(&stop).unwrap();
    assert_eq!(step.action, text[..end]);
    assert_eq!(step.tokens, text[..end].chars().count() + 2);
}

#[test]
fn passes_are_full_while_requests_wait() {
    let checkpoint = opinionated(&tiny(), 16);
    let config = InferenceConfig { threads: 1, slots: 16, ..InferenceConfig::default() };
    let evaluator = LocalEvaluator::new(&checkpoint, config).unwrap();
    let requests: Vec<Request> =
        (0..400).map(|index| request(&format!("{index} 1 2"), 5, 1.0, index)).collect();
    answers(&evaluator, &requests);
    let stats = evaluator.stats();
    assert!(stats.occupancy > Some(0.95), "{stats:?}");
    assert!(stats.queue_p50_ms > 0.0 && stats.queue_p99_ms >= stats.queue_p50_ms);
}

#[test]
fn given_texts_are_scored_as_they_would_be_sampled() {
    let checkpoint = opinionated(&tiny(), 17);
    let evaluator = evaluator(&checkpoint);
    let context = "3 7 25 50 -> 100\n";
    let request = request(context, 6, 1.0, 5);
    let sampled = answers(&evaluator, std::slice::from_ref(&request)).remove(0);
    // The delimiter is no part of an action: what was sampled is scored where the limit ended it.
    for step in sampled.proposals.iter().filter(|step| step.tokens == step.action.chars().count()) {
        let score = evaluator.score(&[(context, &step.action)]).remove(0).unwrap();
        assert_eq!(score.log_probs.len(), step.tokens);
        let sum: f64 = score.log_probs.iter().sum();
        assert!((sum - step.log_prob).abs() < 1e-5, "{sum} {}", step.log_prob);
    }
    let texts = ["25 * 4 = 100\n", "7", "50 - 25 = 25\n3 + 7 = 10\n"];
    let pairs: Vec<(&str, &str)> = texts.iter().map(|&text| (context, text)).collect();
    // Twice: the second time the prefix cache holds all of it.
    for _ in 0..2 {
        for (text, score) in texts.iter().zip(evaluator.score(&pairs)) {
            let score = score.unwrap();
            let whole = [context, text].concat();
            let value = answers(&evaluator, &[self::request(&whole, 0, 1.0, 0)])[0].value;
            assert_eq!(score.value.to_bits(), value.to_bits());
        }
    }
}

#[test]
fn texts_that_cannot_be_scored_fail_alone() {
    let evaluator = evaluator(&opinionated(&tiny(), 18));
    let long = "1 ".repeat(10_000);
    let pairs = [("1 2", ""), ("1 2", " 3"), ("", "3"), ("1 2", "\u{1F600}"), ("1", &long)];
    let found: Vec<bool> = evaluator.score(&pairs).iter().map(Result::is_ok).collect();
    assert_eq!(found, [false, true, false, false, false]);
}

#[test]
fn a_cancelled_call_comes_back_and_leaves_the_engine_to_others() {
    let checkpoint = opinionated(&tiny(), 20);
    // Where a call waits: for answers, or for room in the queue.
    for queue in [256, 1] {
        let config = InferenceConfig { threads: 1, slots: 8, queue, ..InferenceConfig::default() };
        let evaluator = LocalEvaluator::new(&checkpoint, config).unwrap();
        let many: Vec<Request> =
            (0..20_000).map(|index| request(&format!("{index} 1 2"), 5, 1.0, index)).collect();
        let cancel = Cancel::new();
        let given_up = std::thread::scope(|scope| {
            let large = scope.spawn(|| evaluator.evaluate(&many, &cancel));
            while evaluator.stats().requests < 100 {
                std::thread::yield_now();
            }
            cancel.cancel();
            large.join().unwrap()
        });
        assert_eq!(given_up.len(), many.len());
        let cancelled = |answer: &&Result<_, _>| **answer == Err(EvaluatorError::Cancelled);
        assert!(given_up.iter().filter(cancelled).count() > 1000);
        assert!(given_up.iter().filter(|answer| !cancelled(answer)).all(Result::is_ok));
        // What was answered before is what is answered now.
        let again = answers(&evaluator, &many[..20]);
        for (before, now) in given_up.iter().zip(&again) {
            assert!(before.as_ref().map_or(true, |before| bits(before) == bits(now)));
        }
        let stats = evaluator.stats();
        assert!(stats.requests_cancelled > 0 && stats.requests < 2000, "{stats:?}");
        // Nothing is begun for a call that is cancelled before.
        let late = evaluator.evaluate(&many[..20], &cancel);
        assert!(late.iter().all(|answer| *answer == Err(EvaluatorError::Cancelled)));
        assert_eq!(evaluator.stats().requests, stats.requests);
    }
}

#[test]
fn a_call_that_asks_for_much_does_not_hold_up_another() {
    let checkpoint = opinionated(&tiny(), 19);
    let config = InferenceConfig { threads: 1, slots: 8, ..InferenceConfig::default() };
    let evaluator = LocalEvaluator::new(&checkpoint, config).unwrap();
    let many: Vec<Request> =
        (0..2000).map(|index| request(&format!("{index} 1 2"), 5, 1.0, index)).collect();
    std::thread::scope(|scope| {
        let large = scope.spawn(|| answers(&evaluator, &many).len());
        while evaluator.stats().requests < 100 {
            std::thread::yield_now();
        }
        answers(&evaluator, &[request("3 1 2", 5, 1.0, 1)]);
        let begun = evaluator.stats().requests;
        assert!(begun < 1000, "{begun} requests were begun before the small call's one was done");
        assert_eq!(large.join().unwrap(), many.len());
    });
}
