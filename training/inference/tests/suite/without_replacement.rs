//! Steps that are drawn without replacement.

use std::collections::HashSet;

use espalier_fixtures::nets::{opinionated, tiny};
use espalier_inference::{InferenceConfig, LocalEvaluator};
use espalier_model::{Checkpoint, NetConfig};
use espalier_search::{Cancel, Evaluation, Evaluator, Request};

use crate::local::{answers, check_any_batch, mixed_requests, request};

fn drawn(context: &str, samples: usize, temperature: f32, seed: u64) -> Request {
    Request {
        without_replacement: true,
        keep_tokens: true,
        ..request(context, samples, temperature, seed)
    }
}

fn short_steps(checkpoint: &Checkpoint, max_step_tokens: usize) -> LocalEvaluator {
    let config = InferenceConfig { max_step_tokens, ..InferenceConfig::default() };
    LocalEvaluator::new(checkpoint, config).unwrap()
}

/// Token ids and log-probability of each step.
fn steps(answer: &Evaluation) -> Vec<(Vec<u32>, u64)> {
    let ids = |step: &espalier_search::Proposal| step.sampled.as_ref().unwrap().ids.to_vec();
    answer.proposals.iter().map(|step| (ids(step), step.log_prob.to_bits())).collect()
}

#[test]
fn no_bit_depends_on_the_batch_or_on_steps_that_are_drawn_otherwise_beside_it() {
    let checkpoint = opinionated(&NetConfig { width: 64, ..tiny() }, 1);
    let mut requests = mixed_requests();
    for request in requests.iter_mut().step_by(2) {
        request.temperature = request.temperature.max(0.5);
        request.without_replacement = true;
    }
    check_any_batch(&checkpoint, &requests);
}

#[test]
fn steps_differ_and_more_of_them_begin_with_the_same_ones() {
    let checkpoint = opinionated(&tiny(), 3);
    let evaluator = short_steps(&checkpoint, 6);
    let mut scored = 0;
    for (seed, temperature) in [(1, 1.0), (2, 0.3), (3, 1.6)] {
        let asked = [3, 12, 40].map(|samples| drawn("1 2 3", samples, temperature, seed));
        let found: Vec<_> = answers(&evaluator, &asked).iter().map(steps).collect();
        for (found, asked) in found.iter().zip(&asked) {
            assert_eq!(found.len(), asked.samples);
            let different: HashSet<&Vec<u32>> = found.iter().map(|(ids, _)| ids).collect();
            assert_eq!(different.len(), found.len());
        }
        assert_eq!((&found[2][..3], &found[2][..12]), (&found[0][..], &found[1][..]));
        for (ids, log_prob) in &found[2] {
            let text = checkpoint.tokenizer.decode(ids);
            // A token without a text, as one that ends texts, cannot be scored as text.
            if checkpoint.tokenizer.encode(&text).unwrap() != *ids {
                continue;
            }
            scored += 1;
            let score = evaluator.score(&[("1 2 3", &text)]).remove(0).unwrap();
            let log_prob = f64::from_bits(*log_prob);
            assert!((score.log_probs.iter().sum::<f64>() - log_prob).abs() < 1e-4, "{text:?}");
        }
    }
    assert!(scored > 60, "{scored} of 120 steps are text");
}

#[test]
fn two_steps_come_as_often_as_two_draws_without_replacement() {
    const SEEDS: u64 = 6000;
    let evaluator = short_steps(&opinionated(&tiny(), 3), 2);
    let requests: Vec<Request> = (0..SEEDS).map(|seed| drawn("1 2 3", 2, 1.0, seed)).collect();
    let answers = answers(&evaluator, &requests);
    let probable = answers.iter().flat_map(|answer| &answer.proposals);
    let mut probable: Vec<(String, f64)> =
        probable.map(|step| (step.action.to_string(), step.log_prob.exp())).collect();
    probable.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    probable.dedup_by(|a, b| a.0 == b.0);
    let share = |first: &str, second: Option<&str>| {
        let is = |answer: &&Evaluation| {
            let [a, b] = answer.proposals.as_slice() else { return false };
            a.action == first && second.is_none_or(|second| b.action == second)
        };
        answers.iter().filter(is).count() as f64 / SEEDS as f64
    };
    let near = |found: f64, expected: f64| {
        // Five standard errors.
        let off = 5.0 * (expected * (1.0 - expected) / SEEDS as f64).sqrt();
        assert!((found - expected).abs() < off, "{found}, expected {expected}");
    };
    for (first, p) in &probable[..3] {
        assert!(*p > 0.01, "{probable:?}");
        near(share(first, None), *p);
        for (second, q) in probable[..3].iter().filter(|(second, _)| second != first) {
            near(share(first, Some(second)), p * q / (1.0 - p));
        }
    }
}

#[test]
fn fewer_come_where_no_more_may_be_drawn_and_none_at_temperature_zero() {
    let mut config = InferenceConfig { max_step_tokens: 1, ..InferenceConfig::default() };
    config.sampling.top_k = 3;
    let evaluator = LocalEvaluator::new(&opinionated(&tiny(), 3), config).unwrap();
    let answer = answers(&evaluator, &[drawn("1 2 3", 9, 1.0, 1)]).remove(0);
    assert_eq!(answer.proposals.len(), 3);
    let refused = evaluator.evaluate(&[drawn("1 2 3", 9, 0.0, 1)], &Cancel::new()).remove(0);
    assert!(refused.unwrap_err().to_string().contains("temperature 0"));
}
