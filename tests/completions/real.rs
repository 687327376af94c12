//! A real server: llama.cpp with SmolLM2-135M-Instruct.

use std::collections::HashSet;
use std::fs;

use espalier::policy::CompletionsEvaluator;
use espalier::search::{Cancel, Evaluator, EvaluatorError, Request};
use serde_json::Value;

use super::llama::{Llama, SLOTS};
use super::{ask, evaluator, failure, recipe, request};
use crate::program::{run, text};

const CONTEXT: &str = "Q: Tom has 3 apples and buys 4 more. How many has he?\nA: Tom has";

const MAX_TOKENS: usize = 12;

fn steps(server: &Llama, stop: &str) -> CompletionsEvaluator {
    let mut recipe = recipe(server.url());
    recipe.max_tokens = MAX_TOKENS;
    recipe.samples_per_request = SLOTS;
    recipe.stop = vec![stop.to_owned()];
    evaluator(&recipe)
}

fn texts(evaluator: &CompletionsEvaluator, request: &Request) -> Vec<String> {
    let answer = ask(evaluator, request).unwrap();
    answer.proposals.into_iter().map(|proposal| proposal.action.into_string()).collect()
}

#[test]
fn samples_come_with_their_log_probabilities() {
    let Some(server) = Llama::get() else { return };
    let evaluation = ask(&steps(&server, "\n"), &request(CONTEXT, 6)).unwrap();
    assert_eq!((evaluation.proposals.len(), evaluation.value), (6, 0.0));
    for proposal in &evaluation.proposals {
        assert!(
            proposal.log_prob < 0.0 && (1..=MAX_TOKENS).contains(&proposal.tokens),
            "{proposal:?}"
        );
        assert!((0.0..1.0).contains(&proposal.prior()), "{proposal:?}");
        assert!(!proposal.action.contains('\n'), "{proposal:?}");
    }
    let distinct: HashSet<&str> =
        evaluation.proposals.iter().map(|proposal| proposal.action.as_str()).collect();
    assert!(distinct.len() > 1, "{distinct:?}");
}

#[test]
fn a_stop_string_ends_a_step_and_is_no_part_of_it() {
    let Some(server) = Llama::get() else { return };
    let mut greedy = request("1 2 3 4 5 6 7 8 9 1", 1);
    greedy.temperature = 0.0;
    let whole = &texts(&steps(&server, "never written"), &greedy)[0];
    let stop = whole.chars().skip(4).take(2).collect::<String>();
    let step = &texts(&steps(&server, &stop), &greedy)[0];
    assert_eq!(step.as_str(), whole.split(&stop).next().unwrap());
}

#[test]
fn equal_seeds_give_equal_steps() {
    let Some(server) = Llama::get() else { return };
    let evaluator = steps(&server, "\n");
    // A context that is read anew rounds otherwise than one in the server's cache.
    texts(&evaluator, &request(CONTEXT, 3));
    let first = texts(&evaluator, &request(CONTEXT, 3));
    assert_eq!(texts(&evaluator, &request(CONTEXT, 3)), first);
    let mut other = request(CONTEXT, 3);
    other.seed = 99;
    assert_ne!(texts(&evaluator, &other), first);
}

#[test]
fn greedy_steps_are_one_step_and_the_likeliest_tokens() {
    let Some(server) = Llama::get() else { return };
    let evaluator = steps(&server, "\n");
    let mut greedy = request(CONTEXT, 3);
    greedy.temperature = 0.0;
    texts(&evaluator, &greedy);
    let one = texts(&evaluator, &greedy);
    assert!(one.iter().all(|step| *step == one[0]), "{one:?}");
    greedy.seed = 7;
    assert_eq!(texts(&evaluator, &greedy), one);
}

#[test]
fn a_step_that_ends_at_once_is_as_likely_as_it_is_frequent() {
    let Some(server) = Llama::get() else { return };
    let mut greedy = request("1 2 3 4 5", 2);
    greedy.temperature = 0.0;
    let evaluation = ask(&steps(&server, " "), &greedy).unwrap();
    for proposal in evaluation.proposals {
        assert_eq!((proposal.action.as_str(), proposal.log_prob, proposal.tokens), ("", 0.0, 1));
    }
}

#[test]
fn characters_of_several_tokens_have_no_log_probabilities_of_their_own() {
    let Some(server) = Llama::get() else { return };
    let mut recipe = recipe(server.url());
    let mut greedy = request("Emoji: 😀😀😀😀😀😀", 1);
    greedy.temperature = 0.0;
    // Two characters of three tokens each; then cut in the second one, and in the first.
    for (max_tokens, text) in [(6, "😀😀"), (5, "😀"), (2, "")] {
        recipe.max_tokens = max_tokens;
        let step = ask(&evaluator(&recipe), &greedy).unwrap().proposals.remove(0);
        assert_eq!((step.action.as_str(), step.tokens), (text, max_tokens));
        assert_eq!(step.log_prob, 0.0);
    }
}

#[test]
fn what_the_server_refuses_is_told_apart() {
    let Some(server) = Llama::get() else { return };
    let long = request(&"word ".repeat(2000), 1);
    let Err(EvaluatorError::ContextTooLong { tokens, limit }) = ask(&steps(&server, "\n"), &long)
    else {
        panic!("read a context of 2000 words");
    };
    assert!(tokens > 2000 && limit == 512, "{tokens} {limit}");
    let mut recipe = recipe(server.url());
    let message = failure(ask(&evaluator(&recipe), &request(CONTEXT, SLOTS + 1)));
    assert!(
        message.contains("status 400") && message.contains("policy.samples_per_request"),
        "{message}"
    );
    recipe.url = server.url().replace("completions", "nowhere");
    let message = failure(ask(&evaluator(&recipe), &request(CONTEXT, 1)));
    assert!(message.contains("status 404") && message.contains(&recipe.url), "{message}");
}

#[test]
fn many_threads_share_the_server() {
    let Some(server) = Llama::get() else { return };
    let evaluator = steps(&server, "\n");
    let requests: Vec<Request> = (0..3).map(|i| request(&format!("{i} and {i} make"), 2)).collect();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                assert!(evaluator.evaluate(&requests, &Cancel::new()).iter().all(Result::is_ok));
            });
        }
    });
}

#[test]
fn the_program_searches_measures_and_solves() {
    let Some(server) = Llama::get() else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let config = concat!(env!("CARGO_MANIFEST_DIR"), "/configs/countdown-completions.toml");
    let url = format!("policy.url={}", server.url());
    let served = ["--config", config, "--set", &url, "--set", "policy.samples_per_request=4"];
    let with = |arguments: &[&str]| run(&[arguments, &served].concat());
    let problems = path("problems.jsonl");
    with(&["generate", "--count", "3", "--out", text(&problems)]);
    let trees = |name: &str| {
        let trees = path(name);
        let search = ["search", "--problems", text(&problems), "--out", text(&trees), "--json"];
        let few = ["--set", "search.simulations=3", "--set", "rounds.trees_per_problem=1"];
        (with(&[&search[..], &few].concat()), fs::read_to_string(trees).unwrap())
    };
    let (summary, written) = trees("trees.jsonl");
    let summary: Value = serde_json::from_str(&summary).unwrap();
    assert_eq!((&summary["problems"], &summary["failed"]), (&3.into(), &serde_json::json!({})));
    assert!(summary["tokens"].as_u64().unwrap() > 0);
    // Some step of a model that has read a few examples keeps the rules.
    let legal = written.contains("=") && written.contains("|");
    assert!(legal, "{written}");
    let evaluate = ["evaluate", "--problems", text(&problems), "--decoding", "greedy"];
    assert!(with(&evaluate).contains("greedy"));
    let solve = ["solve", "24: 2 3 4", "--decoding", "mcts:3", "--json"];
    let solution: Value = serde_json::from_str(&with(&solve)).unwrap();
    assert_eq!(solution["decoding"], "mcts:3");
}
