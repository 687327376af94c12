//! What a server does wrong, and what becomes of it.

use std::time::{Duration, Instant};

use espalier::policy::{
    CompletionsEvaluator, HttpConfig, PoolingRecipe, ValueMapping, ValueSource,
};
use espalier::search::{Cancel, EvaluatorError, Proposal};
use serde_json::{Value, json};

use super::stub::{Reply, Stub, good};
use super::{ask, evaluator, failure, recipe, request};

/// The first `bad` requests are answered with this, later ones well.
fn failing(bad: usize, reply: impl Fn() -> Reply + Send + Sync + 'static) -> Stub {
    Stub::start(move |request| if request.number < bad { reply() } else { good(request) })
}

/// An answer of one sample of so many tokens.
fn completion(text: &str, reason: &str, log_probs: &Value, tokens: usize) -> String {
    let choice = json!({ "text": text, "finish_reason": reason, "logprobs": log_probs });
    json!({ "choices": [choice], "usage": { "completion_tokens": tokens } }).to_string()
}

fn step() -> Proposal {
    Proposal { action: "7*3".into(), log_prob: -0.75, tokens: 2, truncated: false, sampled: None }
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
    let server =
        failing(usize::MAX, || Reply::Http(200, &[], completion("a", "stop", &json!(null), 1)));
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
fn a_text_that_the_server_gave_up_is_no_step_and_asked_again() {
    let half = || {
        let log_probs = json!({ "tokens": ["7"], "token_logprobs": [-0.5] });
        Reply::Http(200, &[], completion("7*", "abort", &log_probs, 1))
    };
    let server = failing(2, half);
    let answer = ask(&evaluator(&recipe(server.url())), &request("a\n", 1)).unwrap();
    assert_eq!((answer.proposals, server.received().len()), (vec![step()], 3));
    let server = failing(usize::MAX, half);
    let message = failure(ask(&evaluator(&recipe(server.url())), &request("a\n", 1)));
    for part in [server.url(), "finish_reason = \"abort\"", "after 5 tries"] {
        assert!(message.contains(part), "{part} in {message}");
    }
}

#[test]
fn log_probabilities_of_other_tokens_are_not_used() {
    // llama.cpp: a number for each of two characters of three tokens, none for the delimiter. A step of one sample each.
    let server = Stub::start(|request| {
        let log_probs = json!({ "content": [{ "logprob": -0.07 }, { "logprob": -0.1 }] });
        let body = match request.body["seed"].as_u64().unwrap() % 2 {
            0 => completion("😀😀", "stop", &log_probs, 7),
            _ => completion("ab", "stop", &log_probs, 3),
        };
        Reply::Http(200, &[], body)
    });
    let mut recipe = recipe(server.url());
    recipe.samples_per_request = 1;
    let answer = ask(&evaluator(&recipe), &request("a\n", 12)).unwrap();
    let emoji = answer.proposals.iter().filter(|step| step.action == "😀😀").count();
    assert!((1..12).contains(&emoji), "{emoji}");
    for step in answer.proposals {
        let (prior, tokens) = match step.action.as_str() {
            "ab" => ((-0.085f64).exp(), 2),
            _ => (emoji as f64 / 12.0, 7),
        };
        assert!((step.prior() - prior).abs() < 1e-12 && step.tokens == tokens, "{step:?}");
    }
}

#[test]
fn a_text_that_ends_inside_a_character_is_a_step_that_was_cut_off() {
    // llama.cpp's answer where the longest step ends in the first character.
    let server =
        Stub::start(|_| Reply::Http(200, &[], completion("\u{fffd}", "length", &json!(null), 2)));
    let answer = ask(&evaluator(&recipe(server.url())), &request("a\n", 1)).unwrap();
    let expected =
        Proposal { action: "".into(), log_prob: 0.0, tokens: 2, truncated: true, sampled: None };
    assert_eq!(answer.proposals, [expected]);
}

#[test]
fn an_overlong_context_is_an_ending_and_no_failure() {
    let openai =
        "This model's maximum context length is 2048 tokens. However, you requested 2100 tokens.";
    let tgi = "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. Given: 4090 `inputs` tokens and 100 \
        `max_new_tokens`";
    let vllm = "max_tokens must be at least 1, got -12. (parameter=max_tokens, value=-12)";
    let unknown =
        json!({ "message": "prompt too long: 70 tokens > 59", "type": "BadRequestError" });
    for (status, body, tokens, limit) in [
        (400, json!({ "message": openai }), 2100, 2048),
        (400, json!({ "error": { "message": vllm, "param": "max_tokens" } }), 0, 0),
        (413, json!({ "error": unknown }), 70, 59),
        (422, json!({ "error": tgi, "error_type": "validation" }), 4190, 4096),
    ] {
        let server = failing(usize::MAX, move || Reply::Http(status, &[], body.to_string()));
        let answer = ask(&evaluator(&recipe(server.url())), &request("a\n", 2));
        assert_eq!(answer, Err(EvaluatorError::ContextTooLong { tokens, limit }));
        assert_eq!(server.received().len(), 1);
    }
    // Another status says something else, whatever its words.
    let server = failing(usize::MAX, move || Reply::Http(403, &[], openai.to_owned()));
    failure(ask(&evaluator(&recipe(server.url())), &request("a\n", 2)));
}

#[test]
fn more_samples_than_the_server_takes_at_once_are_told_with_the_key_to_set() {
    let body = json!({ "error": { "code": 400, "message": "n must be less or equal to the number of slots" } });
    let server = failing(usize::MAX, move || Reply::Http(400, &[], body.to_string()));
    let evaluator = evaluator(&recipe(server.url()));
    let message = failure(ask(&evaluator, &request("a\n", 9)));
    for part in ["policy.samples_per_request", "9 samples", "--parallel", "number of slots"] {
        assert!(message.contains(part), "{part} in {message}");
    }
    let message = failure(ask(&evaluator, &request("a\n", 1)));
    assert!(!message.contains("samples_per_request"), "{message}");
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
