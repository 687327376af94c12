//! What servers answer: completions, values of reward models, and refusals.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use espalier::compute::ComputeRecipe;
use espalier::environment::AnyEnvironment;
use espalier::environment::countdown::Countdown;
use espalier::policy::{CompletionsRecipe, PolicyKind};
use espalier_search::{Cancel, Request};

use crate::harness::fuzz;
use crate::mutate::json::Json;

const COMPLETIONS: &str = r##"[
    {"choices": [{"index": 1, "text": "b", "finish_reason": "stop", "token_ids": [4, 5], "logprobs": {"tokens": ["b", "\n"],
        "token_logprobs": [-3, -0.5], "top_logprobs": [{"b": -3}]}}, {"index": 0, "text": "a b", "finish_reason": "length",
        "logprobs": {"tokens": ["a", " b"], "token_logprobs": [-0.5, -0.25]}}], "usage": {"completion_tokens": 4}},
    {"choices": [{"index": 0, "text": "日本", "finish_reason": "stop", "logprobs": {"content": [{"token": "a", "bytes": [97],
        "logprob": -0.5, "top_logprobs": []}, {"token": " b", "bytes": [32, 98], "logprob": -0.25}]}},
        {"index": 1, "text": "", "finish_reason": "stop", "logprobs": null}], "usage": {"completion_tokens": 2}}
]"##;
const POOLED: &str = r##"[
    {"object": "list", "data": [{"index": 0, "object": "pooling", "data": [[0.9, 0.1], [0.2, 0.8]]}], "usage": {}},
    {"data": [{"data": [0.25]}]}
]"##;
const REFUSALS: &str = r##"[
    {"error": {"message": "This model's maximum context length is 2048 tokens. However, you requested 2100 tokens (2050 in the messages, 50 in the completion).",
        "type": "BadRequestError", "param": "prompt", "code": 400}},
    {"error": {"code": 400, "message": "request (3001 tokens) exceeds the available context size (1024 tokens), try increasing it",
        "type": "exceed_context_size_error", "n_prompt_tokens": 3001, "n_ctx": 1024}},
    {"error": "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. Given: 4090 `inputs` tokens and 100 `max_new_tokens`",
        "error_type": "validation"},
    {"object": "error", "message": "max_tokens must be at least 1, got -12. (parameter=max_tokens, value=-12)", "param": "max_tokens"},
    {"detail": "n must be at most 4"}
]"##;

/// What the server answers next: status and body of completions, and of values.
type Answers = Arc<Mutex<[(u16, Vec<u8>); 2]>>;

fn seeds(texts: &str) -> Json {
    Json::of(serde_json::from_str(texts).unwrap())
}

/// A server that answers every request with what `answers` holds.
fn serve(answers: &Answers) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let answers = Arc::clone(answers);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let answers = Arc::clone(&answers);
            thread::spawn(move || {
                _ = stream.and_then(|stream| answer(stream, &answers));
            });
        }
    });
    address
}

fn answer(mut stream: TcpStream, answers: &Answers) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head)? == 0 {
                return Ok(());
            }
        }
        let head = head.to_lowercase();
        let length = head.split("content-length:").nth(1).and_then(|rest| rest.lines().next());
        let mut request = vec![0; length.map_or(0, |length| length.trim().parse().unwrap())];
        reader.read_exact(&mut request)?;
        let (status, body) =
            answers.lock().unwrap()[usize::from(head.contains("/pooling"))].clone();
        let mut sent =
            format!("HTTP/1.1 {status} x\r\ncontent-length: {}\r\n\r\n", body.len()).into_bytes();
        sent.extend(body);
        stream.write_all(&sent)?;
    }
}

#[test]
fn server_bodies() {
    let good = |texts: &str| {
        let all: Vec<serde_json::Value> = serde_json::from_str(texts).unwrap();
        (200, serde_json::to_vec(&all[0]).unwrap())
    };
    let valid = [good(COMPLETIONS), good(POOLED)];
    let answers: Answers = Arc::new(Mutex::new(valid.clone()));
    let address = serve(&answers);
    let recipe = format!(
        "url = \"http://{address}/v1/completions\"\nmodel = \"m\"\nstop = [\"\\n\"]\nhttp = {{ retries = 0 }}\n\
         value = {{ kind = \"pooling\", url = \"http://{address}/pooling\", model = \"rm\", http = {{ retries = 0 }} }}"
    );
    let recipe: CompletionsRecipe = toml::from_str(&recipe).unwrap();
    let environment = AnyEnvironment::from(Countdown::default());
    let policy = recipe.load(&environment, &ComputeRecipe::default(), None).unwrap();
    let request = Request {
        context: "26:3 5 7\n".into(),
        samples: 2,
        temperature: 1.0,
        keep_tokens: true,
        ..Request::value("".into())
    };
    let first = policy.evaluator().evaluate(std::slice::from_ref(&request), &Cancel::new());
    assert_eq!(first[0].as_ref().unwrap().proposals.len(), 2);
    let [completions, pooled, refusals] = [COMPLETIONS, POOLED, REFUSALS].map(seeds);
    fuzz(
        "server bodies",
        // The first byte tells what is answered: a completion, a value, or a refusal.
        |random| {
            let which = random.below(3);
            [vec![which as u8], [&completions, &pooled, &refusals][which].changed(random)].concat()
        },
        |input| {
            let Some((which, body)) = input.split_first() else { return false };
            let mut now = valid.clone();
            match which {
                0 => now[0].1 = body.to_vec(),
                1 => now[1].1 = body.to_vec(),
                _ => now[0] = (400, body.to_vec()),
            }
            *answers.lock().unwrap() = now;
            let read = policy.evaluator().evaluate(std::slice::from_ref(&request), &Cancel::new());
            read.iter().all(|answer| match answer {
                Ok(evaluation) => !evaluation.proposals.is_empty(),
                Err(error) => !error.to_string().contains(" column "),
            })
        },
    );
}
