//! What a server does wrong, and what becomes of it.

use std::time::{Duration, Instant};

use espalier::policy::{
    CompletionsEvaluator, HttpConfig, PoolingRecipe, ValueMapping, ValueSource,
};
use espalier::search::{Cancel, EvaluatorError, Proposal};
use serde_json::json;

use super::stub::{Reply, Stub, good};
use super::{ask, evaluator, failure, recipe, request};

/// The first `bad` requests are answered with this, later ones well.
fn failing(bad: usize, reply: impl Fn() -> Reply + Send + Sync + 'static) -> Stub {
    Stub::start(move |request| if request.number < bad { reply() } else { good(request) })
}

fn step() -> Proposal {
    Proposal { action: "7*3".into(), log_prob: -0.75, tokens: 2, sampled: None }
}

#[test]
fn a_request_says_all_that_the_recipe_and_the_search_say() {
    let server = Stub::start(good);
    let mut recipe = recipe(server.url());
    recipe.preamble = "Examples.\n".into();
    (recipe.top_p, recipe.top_k, recipe.min_p, recipe.max_tokens) = (0.9, 40, 0.1, 17);
    let answer = ask(&evaluator(&recipe), &request("26:3 5 7\n", 3)).unwrap();
    assert_eq!((answer.proposals, answer.value), (vec![step(); 3], 0.0));
    let received = &server.received()[0];
    assert!(received.head.starts_with("post /v1/completions http/1.1\r\n"), "{}", received.head);
    assert!(!received.head.contains("authorization"));
    let seed = received.body["seed"].as_u64().unwrap();
    assert!(seed <= i32::MAX as u64);
    let expected = json!({
        "model": "stub", "prompt": "Examples.\n26:3 5 7\n", "n": 3, "max_tokens": 17, "stop": ["\n"],
        "logprobs": 1, "seed": seed, "temperature": 1.0, "top_p": 0.9, "top_k": 40, "min_p": 0.1,
    });
    assert_eq!(received.body, expected);
}

#[test]
fn requests_differ_in_their_seeds_alone_and_many_samples_are_cut_up() {
    let server = Stub::start(good);
    let mut recipe = recipe(server.url());
    recipe.samples_per_request = 4;
    let evaluator = evaluator(&recipe);
    let answer = ask(&evaluator, &request("a\n", 10)).unwrap();
    assert_eq!(answer.proposals, vec![step(); 10]);
    let mut other = request("a\n", 4);
    other.seed = 2;
    ask(&evaluator, &other).unwrap();
    let received = server.received();
    let mut sizes: Vec<u64> =
        received[..3].iter().map(|request| request.body["n"].as_u64().unwrap()).collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [2, 4, 4]);
    let seeds: std::collections::HashSet<u64> =
        received.iter().map(|request| request.body["seed"].as_u64().unwrap()).collect();
    assert_eq!(seeds.len(), 4);
}

#[test]
fn greedy_samples_are_asked_for_once_and_values_alone_not_at_all() {
    let server = Stub::start(good);
    let evaluator = evaluator(&recipe(server.url()));
    let mut greedy = request("a\n", 5);
    greedy.temperature = 0.0;
    assert_eq!(ask(&evaluator, &greedy).unwrap().proposals, vec![step(); 5]);
    assert_eq!(server.received()[0].body["n"], 1);
    let answer = ask(&evaluator, &request("a\n", 0)).unwrap();
    assert_eq!((answer.proposals, answer.value), (vec![], 0.0));
    assert_eq!(server.received().len(), 1);
    greedy.temperature = f32::NAN;
    assert!(failure(ask(&evaluator, &greedy)).contains("temperature NaN"));
}

#[test]
fn what_may_pass_is_asked_again() {
    let status = |status| move || Reply::Http(status, &[], "busy".into());
    let half = || Reply::Half("{\"choices\": [{\"text\": \"7*3\"}]}".into());
    let malformed = || Reply::Http(200, &[], "{\"choices\": [{\"te".into());
    for server in [
        failing(3, status(500)),
        failing(2, status(503)),
        failing(2, status(429)),
        failing(2, half),
        failing(2, malformed),
    ] {
        let answer = ask(&evaluator(&recipe(server.url())), &request("a\n", 2)).unwrap();
        assert_eq!(answer.proposals, vec![step(); 2]);
        // The same question each time.
        let received = server.received();
        assert!(received.len() > 2);
        assert!(received.iter().all(|request| request.body == received[0].body));
    }
}

#[test]
fn what_stays_broken_fails_with_address_status_and_excerpt() {
    let server = failing(usize::MAX, || Reply::Http(500, &[], "out of\nmemory".into()));
    let message = failure(ask(&evaluator(&recipe(server.url())), &request("a\n", 2)));
    for part in [server.url(), "status 500", "after 5 tries", "out of memory"] {
        assert!(message.contains(part), "{part} in {message}");
    }
    assert_eq!(server.received().len(), 5);
    let long = "x".repeat(10_000);
    let server = failing(usize::MAX, move || Reply::Http(200, &[], long.clone()));
    let message = failure(ask(&evaluator(&recipe(server.url())), &request("a\n", 2)));
    assert!(message.contains("not a completion") && message.len() < 700, "{message}");
}

#[test]
fn what_will_not_pass_is_asked_once() {
    for status in [301, 400, 401, 403, 404, 422, 501] {
        let server = failing(usize::MAX, move || {
            Reply::Http(status, &[("location", "/elsewhere")], "no such model".into())
        });
        let message = failure(ask(&evaluator(&recipe(server.url())), &request("a\n", 2)));
        for part in [server.url(), &format!("status {status}"), "no such model"] {
            assert!(message.contains(part), "{part} in {message}");
        }
        assert_eq!(server.received().len(), 1, "{status}");
    }
    let server = failing(usize::MAX, || {
        Reply::Http(200, &[], "{\"choices\": [{\"text\": \"a\", \"logprobs\": null}]}".into())
    });
    let message = failure(ask(&evaluator(&recipe(server.url())), &request("a\n", 1)));
    assert!(message.contains("no log-probabilities"), "{message}");
    assert_eq!(server.received().len(), 1);
}

#[test]
fn a_slow_answer_is_given_up_and_asked_again() {
    let server = failing(1, || Reply::Silence);
    let mut recipe = recipe(server.url());
    recipe.http.request_seconds = 1.0;
    ask(&evaluator(&recipe), &request("a\n", 2)).unwrap();
    assert!(server.received().len() >= 2);
    let server = failing(usize::MAX, || Reply::Silence);
    recipe.url = server.url().to_owned();
    (recipe.http.request_seconds, recipe.http.retries) = (0.05, 1);
    let message = failure(ask(&evaluator(&recipe), &request("a\n", 2)));
    assert!(message.contains("timeout") && message.contains("after 2 tries"), "{message}");
}

#[test]
fn nobody_there_is_said() {
    let url = "http://127.0.0.1:9/v1/completions";
    let message = failure(ask(&evaluator(&recipe(url)), &request("a\n", 2)));
    assert!(message.contains(url) && message.contains("after 5 tries"), "{message}");
}

#[test]
fn https_is_spoken() {
    let server = Stub::start(good);
    let url = server.url().replace("http://", "https://");
    // No TLS on the other side: what matters is that the client began to speak it.
    let message = failure(ask(&evaluator(&recipe(&url)), &request("a\n", 2)));
    assert!(message.contains(&url), "{message}");
    assert!(server.received().is_empty());
}

#[test]
fn the_server_says_how_long_to_wait() {
    for status in [429, 503] {
        let server =
            failing(1, move || Reply::Http(status, &[("retry-after", "1")], "wait".into()));
        let start = Instant::now();
        ask(&evaluator(&recipe(server.url())), &request("a\n", 2)).unwrap();
        assert!(start.elapsed() >= Duration::from_secs(1));
    }
    // Not for ever.
    let server =
        failing(usize::MAX, || Reply::Http(429, &[("retry-after", "86400")], "tomorrow".into()));
    let message = failure(ask(&evaluator(&recipe(server.url())), &request("a\n", 2)));
    assert!(message.contains("tomorrow"), "{message}");
    assert_eq!(server.received().len(), 1);
}

#[test]
fn an_overlong_context_is_an_ending_and_no_failure() {
    let body =
        "This model's maximum context length is 2048 tokens. However, you requested 2100 tokens.";
    let server = failing(1, move || Reply::Http(400, &[], json!({ "message": body }).to_string()));
    let answer = ask(&evaluator(&recipe(server.url())), &request("a\n", 2));
    assert_eq!(answer, Err(EvaluatorError::ContextTooLong { tokens: 2100, limit: 2048 }));
}

#[test]
fn one_request_s_failure_is_its_own() {
    use espalier::search::Evaluator;
    let server = Stub::start(|request| {
        if request.body["prompt"] == "bad\n" {
            return Reply::Http(400, &[], "bad".into());
        }
        good(request)
    });
    let evaluator = evaluator(&recipe(server.url()));
    let requests = [request("a\n", 1), request("bad\n", 2), request("b\n", 3)];
    let answers = evaluator.evaluate(&requests, &Cancel::new());
    assert_eq!(answers[0].as_ref().unwrap().proposals.len(), 1);
    assert!(answers[1].is_err());
    assert_eq!(answers[2].as_ref().unwrap().proposals.len(), 3);
    assert!(evaluator.evaluate(&[], &Cancel::new()).is_empty());
}

#[test]
fn a_reward_model_values_states() {
    let policy = Stub::start(good);
    let rewards = Stub::start(|request| {
        let number = if request.body["input"] == "a\n<tag>" { 0.25 } else { -3.0 };
        Reply::Http(200, &[], json!({ "data": [{ "data": [[9.0], [number]] }] }).to_string())
    });
    let pooling = PoolingRecipe {
        url: rewards.url().replace("v1/completions", "pooling"),
        model: "rm".into(),
        suffix: "<tag>".into(),
        ..PoolingRecipe::default()
    };
    let value = ValueSource::pooling(&pooling).unwrap();
    let evaluator = CompletionsEvaluator::new(&recipe(policy.url()), &[], value).unwrap();
    let answer = ask(&evaluator, &request("a\n", 2)).unwrap();
    assert_eq!((answer.value, answer.proposals.len()), (0.25f64.tanh(), 2));
    assert_eq!(ask(&evaluator, &request("b\n", 0)).unwrap().value, (-3f64).tanh());
    assert_eq!(policy.received().len(), 1);
    let expected =
        json!({ "model": "rm", "input": "b\n<tag>", "task": "classify", "use_activation": false });
    assert_eq!(rewards.received()[1].body, expected);
    assert!(rewards.received()[1].head.starts_with("post /pooling "));

    let odd = Stub::start(|_| Reply::Http(200, &[], json!({ "data": [] }).to_string()));
    let pooling = PoolingRecipe {
        url: odd.url().to_owned(),
        mapping: ValueMapping::Probability,
        http: HttpConfig::default(),
        ..pooling
    };
    let value = ValueSource::pooling(&pooling).unwrap();
    let evaluator = CompletionsEvaluator::new(&recipe(policy.url()), &[], value).unwrap();
    assert!(failure(ask(&evaluator, &request("a\n", 1))).contains("no number"));
}
