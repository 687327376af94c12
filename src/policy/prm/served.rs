//! A process reward model behind vLLM's `POST /pooling`, asked with the whole text and its tags.

use std::sync::OnceLock;

use espalier_model::checkpoint::Checkpoint;
use espalier_model::head::Reading;
use espalier_search::{Cancel, EvaluatorError};
use serde::Serialize;
use serde_json::Value;

use super::PrmRecipe;
use super::form::{ChatUse, Form, HeadRecipe};
use super::reader::Reader;
use crate::environment::Written;
use crate::policy::error::PolicyError;
use crate::policy::served::http::{Client, Unreadable};
use crate::policy::served::pooling::last_row;

/// A served model.
pub(super) struct Pooled {
    client: Client,
    model: String,
    reading: Reading,
    /// Where a server gives the logits of all tokens: those that count.
    words: Option<[u32; 2]>,
    /// Whether the tokenizer is here, so that tokens are sent and not a text.
    by_tokens: bool,
}

#[derive(Serialize)]
struct PoolingRequest<'a> {
    model: &'a str,
    input: Input,
    task: &'static str,
    use_activation: bool,
    add_special_tokens: bool,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Input {
    Text(String),
    Tokens(Vec<u32>),
}

impl Pooled {
    /// # Errors
    /// When the tokenizer's folder cannot be read or does not fit the form, or the API key's variable is not set.
    pub fn new(recipe: &PrmRecipe, form: Form) -> Result<(Reader, Self), PolicyError> {
        let reading = match &form.head {
            HeadRecipe::Classes { good } => Reading::Classes(good.clone()),
            HeadRecipe::Tokens { .. } => Reading::Classes(vec![0]),
            _ => Reading::Logit,
        };
        let reader = match &recipe.path {
            Some(path) => {
                let shell = Checkpoint::load_shell(path).map_err(super::unreadable(path))?;
                Reader::new(form, &shell)?
            }
            None => Reader::of_text(form),
        };
        let by_tokens = recipe.path.is_some();
        let words = if by_tokens { reader.words()? } else { None };
        let client = Client::new(&recipe.url, &recipe.http)?;
        let model = recipe.model.clone();
        Ok((reader, Self { client, model, reading, words, by_tokens }))
    }

    /// Values in [-1, 1] of solutions, each at its last step.
    pub fn values(
        &self,
        reader: &Reader,
        solutions: &[Written],
        cancel: &Cancel,
    ) -> Vec<Result<f64, EvaluatorError>> {
        let answers: Vec<OnceLock<_>> = solutions.iter().map(|_| OnceLock::new()).collect();
        let ask = |index: usize| {
            _ = answers[index].set(self.value(reader, &solutions[index], cancel));
            Ok::<(), std::convert::Infallible>(())
        };
        let (side_by_side, asking) = (self.client.max_in_flight(), cancel.child(None));
        let Ok(()) = espalier_search::for_each_index(solutions.len(), side_by_side, &asking, ask);
        let unanswered = || Err(EvaluatorError::Cancelled);
        answers.into_iter().map(|answer| answer.into_inner().unwrap_or_else(unanswered)).collect()
    }

    /// See [`espalier_search::Evaluator::tokens_read`].
    pub fn tokens_read(&self) -> Option<u64> {
        self.client.tokens_read()
    }

    fn value(
        &self,
        reader: &Reader,
        solution: &Written,
        cancel: &Cancel,
    ) -> Result<f64, EvaluatorError> {
        let failed = EvaluatorError::Failed;
        let input = if self.by_tokens {
            Input::Tokens(reader.tokens(solution).map_err(failed)?)
        } else {
            Input::Text(reader.text(solution).map_err(failed)?.unwrap_or_default())
        };
        let form = &reader.form;
        let body = PoolingRequest {
            model: &self.model,
            input,
            task: "token_classify",
            // Numbers as the head gives them: activations differ between servers and versions.
            use_activation: false,
            add_special_tokens: form.special_tokens && form.chat == ChatUse::None,
        };
        let row = self.client.post(&body, 0, cancel, |answer| self.row(answer))?;
        let value = f64::from(self.reading.value(&row));
        if value.is_finite() {
            return Ok(value);
        }
        Err(failed(format!(
            "the reward model's last row, {row:?}, has no number where value.form.head reads it"
        )))
    }

    /// The numbers of the last row.
    fn row(&self, answer: &[u8]) -> Result<Vec<f32>, Unreadable> {
        let row = last_row(answer)?;
        let number = |value: &Value| value.as_f64().map(|number| number as f32);
        let unusable = || Unreadable::Unusable("no row of numbers in data[0].data".to_owned());
        match (row.len(), self.words) {
            (3.., Some(words)) => {
                let row = words.map(|id| row.get(id as usize).and_then(number));
                row.into_iter().collect::<Option<_>>().ok_or_else(unusable)
            }
            _ => row.iter().map(number).collect::<Option<_>>().ok_or_else(unusable),
        }
    }
}
