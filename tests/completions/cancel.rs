//! Calls that nobody waits for any more.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use espalier::policy::{
    CompletionsEvaluator, CompletionsRecipe, PoolingRecipe, ValueMapping, ValueSource,
};
use espalier::search::{Cancel, Evaluation, Evaluator, EvaluatorError};

use super::stub::{Reply, Stub, good};
use super::{ask, evaluator, recipe, request};

/// Waits for what another thread is about to do.
fn until(what: &str, holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(60), "not yet: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// What three requests come to that are cancelled once `ready`.
fn cancelled_when(
    evaluator: &CompletionsEvaluator,
    ready: impl Fn() -> bool,
) -> Vec<Result<Evaluation, EvaluatorError>> {
    let requests = ["a\n", "b\n", "c\n"].map(|context| request(context, 2));
    let cancel = Cancel::new();
    std::thread::scope(|scope| {
        let call = scope.spawn(|| evaluator.evaluate(&requests, &cancel));
        until("the request is under way", ready);
        cancel.cancel();
        call.join().unwrap()
    })
}

/// One request at a time, and waits that no test can sit out.
fn patient(url: &str) -> CompletionsRecipe {
    let mut recipe = recipe(url);
    recipe.http.max_in_flight = 1;
    (recipe.http.backoff_seconds, recipe.http.max_backoff_seconds) = (3600.0, 3600.0);
    recipe.http.request_seconds = 3600.0;
    recipe
}

#[test]
fn an_answer_is_not_waited_for_and_its_connection_is_cut() {
    let cut = Arc::new(AtomicBool::new(false));
    let server = {
        let cut = Arc::clone(&cut);
        Stub::start(move |request| match request.body["prompt"].as_str() {
            Some("later\n") => good(request),
            _ => Reply::UntilCut(Arc::clone(&cut)),
        })
    };
    let evaluator = evaluator(&patient(server.url()));
    let answers = cancelled_when(&evaluator, || !server.received().is_empty());
    assert_eq!(answers, vec![Err(EvaluatorError::Cancelled); 3]);
    until("the connection is cut", || cut.load(Ordering::SeqCst));
    // The others were not sent, and the place of the one that was is free again.
    assert_eq!(server.received().len(), 1);
    ask(&evaluator, &request("later\n", 2)).unwrap();
    assert_eq!(server.received().len(), 2);
}

#[test]
fn repetitions_are_not_waited_for() {
    let pauses: [&'static [(&str, &str)]; 2] = [&[], &[("retry-after", "500")]];
    for headers in pauses {
        let server = Stub::start(move |_| Reply::Http(503, headers, "busy".into()));
        let evaluator = evaluator(&patient(server.url()));
        let answers = cancelled_when(&evaluator, || !server.received().is_empty());
        assert_eq!(answers, vec![Err(EvaluatorError::Cancelled); 3]);
        assert_eq!(server.received().len(), 1, "{headers:?}");
    }
}

#[test]
fn a_value_is_not_waited_for() {
    let rewards = Stub::start(|_| Reply::Silence);
    let pooling = PoolingRecipe {
        url: rewards.url().to_owned(),
        model: "rm".into(),
        mapping: ValueMapping::Probability,
        ..PoolingRecipe::default()
    };
    let policy = Stub::start(good);
    let value = ValueSource::pooling(&pooling).unwrap();
    let evaluator = CompletionsEvaluator::new(&recipe(policy.url()), &[], value).unwrap();
    let answers = cancelled_when(&evaluator, || rewards.received().len() == 3);
    assert_eq!(answers, vec![Err(EvaluatorError::Cancelled); 3]);
}
