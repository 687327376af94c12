//! Values from a reward model behind vLLM's `POST /pooling`.
//!
//! vLLM (`--runner pooling`) serves reward models there and nowhere else: sequence reward models under the task `classify` (one row of
//! labels a text), token and process reward models under `token_classify` (one row a token or step tag). `data[0].data` is the row or
//! the list of rows. The value is read from the last row's last number: at the context's last token, and of several labels the last,
//! which is "right" in process reward models. `use_activation` asks for the raw number or for the probability, as the mapping needs.

use espalier_search::{Cancel, EvaluatorError};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::http::{Client, Unreadable};
use crate::policy::config::{PoolingRecipe, PoolingTask, ValueMapping};
use crate::policy::error::PolicyError;

/// A served reward model.
pub struct RewardModel {
    client: Client,
    recipe: PoolingRecipe,
}

#[derive(Serialize)]
struct PoolingRequest<'a> {
    model: &'a str,
    input: &'a str,
    task: PoolingTask,
    use_activation: bool,
}

#[derive(Deserialize)]
struct PoolingResponse {
    data: Vec<Pooled>,
}

#[derive(Deserialize)]
struct Pooled {
    data: Value,
}

impl RewardModel {
    pub(in crate::policy) fn new(recipe: &PoolingRecipe) -> Result<Self, PolicyError> {
        Ok(Self { client: Client::new(&recipe.url, &recipe.http)?, recipe: recipe.clone() })
    }

    /// See [`espalier_search::Evaluator::tokens_read`].
    pub(in crate::policy) fn tokens_read(&self) -> Option<u64> {
        self.client.tokens_read()
    }

    /// The value of a context, in [-1, 1].
    pub(in crate::policy) fn value(
        &self,
        context: &str,
        cancel: &Cancel,
    ) -> Result<f64, EvaluatorError> {
        let PoolingRecipe { model, task, mapping, suffix, .. } = &self.recipe;
        let body = PoolingRequest {
            model,
            input: &[context, suffix].concat(),
            task: *task,
            use_activation: *mapping == ValueMapping::Probability,
        };
        // Every context waits the same: its seed is not known here, and values are the same whenever they are asked for.
        let number = self.client.post(&body, 0, cancel, last_number)?;
        Ok(mapping.apply(number))
    }
}

pub(super) fn last_number(body: &[u8]) -> Result<f64, Unreadable> {
    let unusable = || Unreadable::Unusable("no number in data[0].data".to_owned());
    last_row(body)?.last().and_then(Value::as_f64).ok_or_else(unusable)
}

/// The last row of `data[0].data`, which is a row or a list of rows.
pub(in crate::policy) fn last_row(body: &[u8]) -> Result<Vec<Value>, Unreadable> {
    let response: PoolingResponse = serde_json::from_slice(body)
        .map_err(|error| Unreadable::Damaged(format!("not a pooling answer: {error}")))?;
    let mut at = response.data.into_iter().next().map(|pooled| pooled.data);
    while let Some(Value::Array(mut rows)) = at {
        match rows.pop() {
            Some(last @ Value::Array(_)) => at = Some(last),
            Some(last) => {
                rows.push(last);
                return Ok(rows);
            }
            None => break,
        }
    }
    Err(Unreadable::Unusable("no number in data[0].data".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_number_of_the_last_row_is_read() {
        for (data, expected) in [
            ("[0.25]", 0.25),
            ("[0.1, 0.9]", 0.9),
            ("[[0.5], [-2]]", -2.0),
            ("[[0.9, 0.1], [0.2, 0.8]]", 0.8),
        ] {
            let body = format!(
                r#"{{"object": "list", "data": [{{"index": 0, "object": "pooling", "data": {data}}}], "usage": {{}}}}"#
            );
            assert_eq!(last_number(body.as_bytes()).unwrap(), expected);
        }
        let unusable =
            [r#"{"data": []}"#, r#"{"data": [{"data": []}]}"#, r#"{"data": [{"data": "AAA="}]}"#];
        for body in unusable {
            assert!(matches!(last_number(body.as_bytes()), Err(Unreadable::Unusable(_))), "{body}");
        }
        assert!(matches!(last_number(b"{"), Err(Unreadable::Damaged(_))));
    }
}
