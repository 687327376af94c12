//! Policies behind `/v1/chat/completions`: servers that continue a message, and those that do not.

use espalier::policy::{
    ChatApiRecipe, CompletionsEvaluator, CompletionsRecipe, PolicyError, ValueSource,
};
use serde_json::{Value, json};

use super::llama::{Llama, SLOTS};
use super::stub::{Received, Reply, Stub};
use super::{ask, recipe, request};
use crate::program::{TINY, fail, run};

/// The question is a context's first line.
fn chatting(recipe: &CompletionsRecipe) -> Result<CompletionsEvaluator, PolicyError> {
    let split = |context: &str| {
        let (question, steps) = context.split_once('\n').unwrap();
        Ok((question.to_owned(), steps.to_owned()))
    };
    let stops = ["\n".to_owned()];
    CompletionsEvaluator::new(recipe, &stops, ValueSource::Zero)?.chatting(Box::new(split))
}

fn chat_url(url: &str) -> String {
    url.replace("/v1/completions", "/v1/chat/completions")
}

fn chat(url: &str) -> CompletionsRecipe {
    let chat = ChatApiRecipe { system: "Be brief.".into(), user: "Solve: {question}".into() };
    CompletionsRecipe { url: chat_url(url), chat: Some(chat), ..recipe("unused") }
}

/// What a server does with a message that the assistant has begun.
#[derive(Clone, Copy, PartialEq)]
enum Begun {
    /// Goes on, as vLLM and SGLang do where they are told to.
    Continued,
    /// Goes on and repeats it, as llama.cpp does.
    Repeated,
    /// Closes it and begins another.
    Closed,
    Refused,
    /// Goes on and counts nothing.
    Uncounted,
}

fn serve(begun: Begun) -> Stub {
    Stub::start(move |received: &Received| {
        let body = &received.body;
        let messages = body["messages"].as_array().unwrap();
        let last = messages.last().unwrap();
        let prefix = match last["role"] == "assistant" {
            true => last["content"].as_str().unwrap(),
            false => "",
        };
        assert_eq!(body["add_generation_prompt"], prefix.is_empty());
        assert_eq!(body.get("continue_final_message").is_some(), !prefix.is_empty());
        if begun == Begun::Refused && !prefix.is_empty() {
            let message = json!({ "error": { "message": "the last message must be the user's" } });
            return Reply::Http(400, &[], message.to_string());
        }
        let closed = if begun == Begun::Closed && !prefix.is_empty() { 5 } else { 0 };
        let words: usize =
            messages.iter().map(|m| 2 + m["content"].as_str().unwrap().split(' ').count()).sum();
        // An open message has a header alone.
        let open = if prefix.is_empty() { 2 } else { 0 };
        let usage = match begun {
            Begun::Uncounted => Value::Null,
            _ => json!({ "prompt_tokens": words + open + closed, "completion_tokens": 2 }),
        };
        let text = match begun {
            Begun::Repeated => format!("{prefix}3*7=21"),
            _ => "3*7=21".to_owned(),
        };
        let choice = |index: u64| {
            json!({
                "index": index, "finish_reason": "stop", "message": { "role": "assistant", "content": text },
                "logprobs": { "content": [{ "token": "3*7", "logprob": -0.5 }, { "token": "=21", "logprob": -0.25 }] },
            })
        };
        let n = body["n"].as_u64().unwrap_or(1);
        let choices: Vec<Value> = (0..n).map(choice).collect();
        Reply::Http(200, &[], json!({ "choices": choices, "usage": usage }).to_string())
    })
}

#[test]
fn steps_continue_the_assistant_s_message() {
    for begun in [Begun::Continued, Begun::Repeated] {
        let server = serve(begun);
        let evaluator = chatting(&chat(server.url())).unwrap();
        for (context, rest) in [("21: 3 7\n", ""), ("21: 1 3 7\n3*1=3\n", "3*1=3\n")] {
            let answer = ask(&evaluator, &request(context, 2)).unwrap();
            assert_eq!(answer.proposals.len(), 2);
            let step = &answer.proposals[0];
            assert_eq!((step.action.as_str(), step.log_prob, step.tokens), ("3*7=21", -0.75, 2));
            let asked = &server.received().pop().unwrap().body;
            let question = context.lines().next().unwrap();
            let mut messages = vec![
                json!({ "role": "system", "content": "Be brief." }),
                json!({ "role": "user", "content": format!("Solve: {question}") }),
            ];
            if !rest.is_empty() {
                messages.push(json!({ "role": "assistant", "content": rest }));
            }
            assert_eq!(asked["messages"], json!(messages));
            assert_eq!((&asked["logprobs"], &asked["top_logprobs"]), (&json!(true), &json!(1)));
            assert!(asked.get("prompt").is_none());
        }
    }
}

#[test]
fn a_server_that_does_not_continue_a_message_is_refused_at_the_start() {
    for (begun, told) in [
        (Begun::Closed, "closes the assistant's message"),
        (Begun::Refused, "the last message must be the user's"),
        (Begun::Uncounted, "usage.prompt_tokens"),
    ] {
        let server = serve(begun);
        let Err(error) = chatting(&chat(server.url())) else { panic!("{told}") };
        let error = error.to_string();
        assert!(error.contains("[policy.chat]") && error.contains(told), "{error}");
        let url = format!("policy.url={}", chat_url(server.url()));
        let message = fail(
            &[
                "solve",
                "21: 3 7",
                "--config",
                TINY,
                "--set",
                "policy.kind=completions",
                "--set",
                "policy.model=m",
                "--set",
                "policy.chat.system=",
                "--set",
                &url,
                "--set",
                "policy.http.retries=0",
            ],
            3,
        );
        assert!(message.contains(told), "{message}");
    }
}

/// `solve` by a served policy, with these arguments.
fn solve<'a>(arguments: &[&'a str]) -> Vec<&'a str> {
    let served = ["--config", TINY, "--set", "policy.kind=completions", "--set", "policy.model=m"];
    [&["solve", "21: 3 7", "--json"], &served[..], arguments].concat()
}

#[test]
fn the_program_solves_behind_a_chat_server_and_names_what_does_not_fit() {
    let server = serve(Begun::Repeated);
    let url = format!("policy.url={}", chat_url(server.url()));
    let solved: Value =
        serde_json::from_str(&run(&solve(&["--set", "policy.chat.system=\"\"", "--set", &url])))
            .unwrap();
    assert_eq!((&solved["answer"], &solved["correct"]), (&json!("21"), &json!(true)));
    let error = fail(&solve(&["--set", &url]), 2);
    assert!(error.contains("url = ") && error.contains("[policy.chat]"), "{error}");
    let error = fail(&solve(&["--set", "policy.chat.system=\"\""]), 2);
    assert!(error.contains("url = ") && error.contains("/chat/completions"), "{error}");
    let error = fail(&solve(&["--set", "policy.chat.user=\"x\"", "--set", &url]), 2);
    assert!(error.contains("chat.user") && error.contains("{question}"), "{error}");
}

#[test]
fn llama_cpp_continues_and_its_repetition_is_no_step() {
    let Some(server) = Llama::get() else { return };
    let mut recipe = chat(server.url());
    (recipe.max_tokens, recipe.samples_per_request) = (12, SLOTS);
    let evaluator = chatting(&recipe).unwrap();
    let begun = "Tom has 3 + 4 = 7 apples.\nSo the";
    let context = format!("Tom has 3 apples and buys 4 more. How many has he?\n{begun}");
    let mut greedy = request(&context, 1);
    greedy.temperature = 0.0;
    let step = ask(&evaluator, &greedy).unwrap().proposals.remove(0);
    assert!(step.action.starts_with(' ') && !step.action.contains("Tom has 3 + 4"), "{step:?}");
    assert!(step.log_prob < 0.0 && (1..=12).contains(&step.tokens), "{step:?}");
}
