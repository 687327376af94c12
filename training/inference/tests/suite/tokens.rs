//! The tokens of sampled steps.

use espalier_fixtures::fixtures::{folder, reference};
use espalier_fixtures::nets::{opinionated, tiny};
use espalier_inference::{InferenceConfig, LocalEvaluator};
use espalier_model::{Checkpoint, NetConfig};
use espalier_search::{Evaluation, Request};

use crate::local::{answers, request};

fn requests(context: &str, keep_tokens: bool) -> Vec<Request> {
    let request = |seed: u64| Request {
        keep_tokens,
        ..request(context, 6, [1.0, 0.0, 0.7, 1.3][seed as usize % 4], seed)
    };
    (0..12).map(request).collect()
}

/// Whether two answers are the same: to the bit, or up to `tolerance` of what an engine that sums in another order from batch to
/// batch computes.
fn same(a: &Evaluation, b: &Evaluation, tolerance: f64) -> bool {
    let near = |a: f64, b: f64| (a - b).abs() <= tolerance;
    a.proposals.len() == b.proposals.len()
        && near(a.value, b.value)
        && a.proposals.iter().zip(&b.proposals).all(|(a, b)| {
            (&a.action, a.tokens) == (&b.action, b.tokens) && near(a.log_prob, b.log_prob)
        })
}

/// Checks every step of a net's answers; gives how many ended by themselves.
fn check(
    evaluator: &LocalEvaluator,
    checkpoint: &Checkpoint,
    context: &str,
    stop: &str,
    tolerance: f64,
) -> usize {
    let kept = answers(evaluator, &requests(context, true));
    let mut ended = 0;
    for proposal in kept.iter().flat_map(|answer| &answer.proposals) {
        let sampled = proposal.sampled.as_ref().unwrap();
        assert_eq!(
            (sampled.ids.len(), sampled.log_probs.len()),
            (proposal.tokens, proposal.tokens)
        );
        assert!((sampled.log_prob() - proposal.log_prob).abs() < 1e-5 * proposal.tokens as f64);
        let text = checkpoint.tokenizer.decode(&sampled.ids);
        // Steps end by the delimiter, a token that ends texts, or their length.
        match text.split_once(stop) {
            Some((action, _)) => assert_eq!(action, proposal.action),
            None => assert_eq!(text, proposal.action),
        }
        ended += usize::from(text.contains(stop));
    }
    let plain = answers(evaluator, &requests(context, false));
    assert!(plain.iter().flat_map(|answer| &answer.proposals).all(|step| step.sampled.is_none()));
    for (kept, plain) in kept.iter().zip(&plain) {
        assert!(same(kept, plain, tolerance), "more depends on it: {kept:?}, {plain:?}");
    }
    assert_eq!(kept.len(), plain.len());
    ended
}

#[test]
fn the_ids_of_a_step_are_those_of_its_text_and_their_log_probabilities_make_its_own() {
    let checkpoint = opinionated(&NetConfig { width: 64, ..tiny() }, 1);
    let stops = vec!["7".to_owned()];
    let config = InferenceConfig { max_step_tokens: 40, stops, ..InferenceConfig::default() };
    let evaluator = LocalEvaluator::new(&checkpoint, config.clone()).unwrap();
    let found = check(&evaluator, &checkpoint, "1 2 -> 3\n", "7", 0.0);
    assert!(found > 0, "some step ends by the delimiter");
    #[cfg(feature = "torch")]
    {
        let evaluator = LocalEvaluator::over_libtorch(&checkpoint, config).unwrap();
        check(&evaluator, &checkpoint, "1 2 -> 3\n", "7", 1e-4);
    }
}

#[test]
fn tokens_of_several_characters_are_kept_as_they_were_drawn() {
    let dir = folder("models/qwen3");
    let checkpoint = Checkpoint::load(&dir).unwrap();
    let context = reference(&dir).text;
    let stops = vec!["1".to_owned()];
    let config = InferenceConfig { max_step_tokens: 16, stops, ..InferenceConfig::default() };
    let evaluator = LocalEvaluator::new(&checkpoint, config).unwrap();
    assert!(check(&evaluator, &checkpoint, &context, "1", 0.0) > 0);
    // Some steps' texts would be cut into other tokens.
    let kept = answers(&evaluator, &requests(&context, true));
    let other = kept.iter().flat_map(|answer| &answer.proposals).any(|proposal| {
        let ids = &proposal.sampled.as_ref().unwrap().ids;
        let text = checkpoint.tokenizer.decode(ids);
        checkpoint.tokenizer.encode(&text).unwrap() != **ids
    });
    assert!(other);
}
