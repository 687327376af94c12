//! A policy behind `POST /v1/chat/completions`: the user asks, and the assistant's answer is the steps so far, which the server continues.
//!
//! vLLM and SGLang continue a last message of the assistant's where `continue_final_message` is true and `add_generation_prompt` false;
//! llama.cpp always does, and repeats what it continues at the beginning of its answer. A server that closes the message and begins another one
//! answers all the same, about something else: [`Chat::probe`] finds it out before a search trusts it.

use espalier_search::Cancel;
use serde::{Deserialize, Serialize};

use super::http::{Client, Unreadable};
use super::wire::{Choice, Usage};
use crate::policy::config::ChatApiRecipe;
use crate::policy::error::PolicyError;

/// Divides a context into the question and the steps so far as they were written.
pub type SplitContext = Box<dyn Fn(&str) -> Result<(String, String), String> + Send + Sync>;

/// How contexts become conversations.
pub(super) struct Chat {
    recipe: ChatApiRecipe,
    split: SplitContext,
    /// Whether the server repeats what it continues.
    repeats: bool,
}

/// One turn.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Turn {
    role: &'static str,
    content: String,
}

/// Turns with what tells a server to continue the last one.
#[derive(Debug, Serialize)]
pub(super) struct Conversation {
    pub messages: Vec<Turn>,
    add_generation_prompt: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    continue_final_message: bool,
}

/// The body of a probe.
#[derive(Serialize)]
struct ProbeRequest<'a> {
    model: &'a str,
    #[serde(flatten)]
    conversation: Conversation,
    max_tokens: usize,
    temperature: f32,
}

#[derive(Deserialize)]
struct ProbeResponse {
    choices: Vec<Choice>,
    usage: Option<Usage>,
}

/// What a probe showed.
struct Probed {
    prompt_tokens: usize,
    content: String,
}

/// Of a digit: one token, or two where a tokenizer puts a blank of its own before it.
const TOKENS_OF_A_DIGIT: usize = 2;
const DIGIT: &str = "7";
/// Nothing that a model would begin with by itself.
const BEGUN: &str = "Seven and eleven are eighteen, and";

impl Chat {
    /// Asks a server whether it continues a message.
    ///
    /// # Errors
    /// When it does not, does not say, or fails.
    pub fn probe(
        recipe: &ChatApiRecipe,
        split: SplitContext,
        client: &Client,
        model: &str,
    ) -> Result<Self, PolicyError> {
        let mut chat = Self { recipe: recipe.clone(), split, repeats: false };
        let ask = |begun: &str| -> Result<Probed, PolicyError> {
            let body = ProbeRequest {
                model,
                conversation: chat.conversation("What is 7 + 11?", begun),
                max_tokens: 1,
                temperature: 0.0,
            };
            let answer = client.post(&body, 0, &Cancel::new(), read_probe);
            answer.map_err(|error| refused(&format!("{error}")))
        };
        let (asked, digit, begun) = (ask("")?, ask(DIGIT)?, ask(BEGUN)?);
        let more = digit.prompt_tokens.saturating_sub(asked.prompt_tokens);
        if !(1..=TOKENS_OF_A_DIGIT).contains(&more) {
            return Err(refused(&format!(
                "a begun answer of one digit makes the prompt {more} tokens longer: the server closes the assistant's message, or drops it, and \
                 begins another"
            )));
        }
        chat.repeats = begun.content.starts_with(BEGUN);
        Ok(chat)
    }

    /// The conversation of a context, with what the answer goes on from.
    ///
    /// # Errors
    /// When the context is none of the environment's.
    pub fn ask(&self, context: &str) -> Result<(Conversation, String), String> {
        let (question, begun) = (self.split)(context)?;
        Ok((self.conversation(&question, &begun), begun))
    }

    fn conversation(&self, question: &str, begun: &str) -> Conversation {
        let turn = |role, content: &str| Turn { role, content: content.to_owned() };
        let mut messages = Vec::new();
        if !self.recipe.system.is_empty() {
            messages.push(turn("system", &self.recipe.system));
        }
        messages.push(turn("user", &self.recipe.user.replace("{question}", question.trim())));
        if !begun.is_empty() {
            messages.push(turn("assistant", begun));
        }
        let continue_final_message = !begun.is_empty();
        Conversation {
            messages,
            add_generation_prompt: !continue_final_message,
            continue_final_message,
        }
    }

    /// What is new in an answer.
    pub fn continuation<'a>(&self, content: &'a str, begun: &str) -> &'a str {
        match self.repeats {
            true => content.strip_prefix(begun).unwrap_or(content),
            false => content,
        }
    }
}

fn refused(cause: &str) -> PolicyError {
    PolicyError::Server(format!(
        "[policy.chat]: the server cannot be searched, since it does not continue a message: {cause}"
    ))
}

fn read_probe(body: &[u8]) -> Result<Probed, Unreadable> {
    let ProbeResponse { choices, usage } = serde_json::from_slice(body)
        .map_err(|error| Unreadable::Damaged(format!("not a chat completion: {error}")))?;
    let unusable = |what: &str| Unreadable::Unusable(what.to_owned());
    let prompt_tokens = usage.and_then(|usage| usage.prompt_tokens);
    let prompt_tokens = prompt_tokens
        .filter(|tokens| *tokens > 0)
        .ok_or_else(|| unusable("usage.prompt_tokens is not reported, which would show it"))?;
    let choice = choices.into_iter().next().ok_or_else(|| unusable("no choices"))?;
    // A model that ends at once has no content.
    Ok(Probed { prompt_tokens, content: choice.into_text().unwrap_or_default() })
}
