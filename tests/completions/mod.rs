//! Served policies: injected faults from a server in the test, and llama.cpp's real server.

mod cancel;
mod chat;
mod command_line;
mod faults;
mod limits;
mod llama;
mod real;
pub mod stub;

use espalier::policy::{CompletionsEvaluator, CompletionsRecipe, HttpConfig, ValueSource};
use espalier::search::{Cancel, Evaluation, Evaluator, EvaluatorError, Request};

/// Settings that repeat quickly.
fn recipe(url: &str) -> CompletionsRecipe {
    let http = HttpConfig {
        retries: 4,
        backoff_seconds: 0.001,
        max_backoff_seconds: 0.01,
        ..HttpConfig::default()
    };
    CompletionsRecipe {
        url: url.to_owned(),
        model: "stub".to_owned(),
        http,
        ..CompletionsRecipe::default()
    }
}

fn evaluator(recipe: &CompletionsRecipe) -> CompletionsEvaluator {
    CompletionsEvaluator::new(recipe, &["\n".to_owned()], ValueSource::Zero).unwrap()
}

fn request(context: &str, samples: usize) -> Request {
    Request::steps(context.into(), samples, 1.0, 1)
}

fn ask(evaluator: &CompletionsEvaluator, request: &Request) -> Result<Evaluation, EvaluatorError> {
    let mut answers = evaluator.evaluate(std::slice::from_ref(request), &Cancel::new());
    assert_eq!(answers.len(), 1);
    answers.remove(0)
}

/// The message of a failure that is not an over-long context.
fn failure(answer: Result<Evaluation, EvaluatorError>) -> String {
    match answer {
        Err(EvaluatorError::Failed(message)) => message,
        other => panic!("{other:?}"),
    }
}
