//! Rows whose fields are named by the recipe.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Answer, Row, RowFormat};
use crate::field::{FieldError, lookup, optional_text, text};
use crate::solution::steps;

/// Where the parts of a problem stand in the rows of [`super::Format::Generic`]; dotted paths lead into objects and lists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Fields {
    /// The question.
    pub question: String,
    /// The final answer.
    pub answer: String,
    /// What names the row; absent: `id` where there is one, else the number of the row.
    pub id: Option<String>,
    /// The worked solution, a text or a list of steps; absent: `solution` where there is one.
    pub solution: Option<String>,
}

impl Default for Fields {
    fn default() -> Self {
        Self { question: "question".into(), answer: "answer".into(), id: None, solution: None }
    }
}

pub(super) struct Generic;

impl RowFormat for Generic {
    fn question(row: &Row, fields: &Fields) -> Result<String, FieldError> {
        text(row, &fields.question)
    }

    fn answer(row: &Row, fields: &Fields) -> Result<Answer, FieldError> {
        let path = fields.solution.as_deref();
        let solution = worked_steps(row, path.unwrap_or("solution"))?;
        if let (Some(path), None) = (path, &solution) {
            return Err(FieldError::new(path, "is missing or empty"));
        }
        Ok((text(row, &fields.answer)?, solution))
    }

    fn own_id(row: &Row, fields: &Fields) -> Result<Option<String>, FieldError> {
        match &fields.id {
            Some(field) => text(row, field).map(Some),
            None => optional_text(row, "id"),
        }
    }

    /// Everything that is not a part of the problem itself; what stands under `metadata` is laid open.
    fn metadata(row: &Row, fields: &Fields) -> Result<Row, FieldError> {
        let Fields { question, answer, id, solution } = fields;
        let id = id.as_deref().unwrap_or("id");
        let solution = solution.as_deref().unwrap_or("solution");
        let mut metadata = Row::new();
        for (name, value) in row {
            match value {
                Value::Object(inner) if name == "metadata" => metadata.extend(inner.clone()),
                Value::Null => {}
                _ if [question, answer, id, solution].contains(&name.as_str()) => {}
                value => {
                    metadata.insert(name.clone(), value.clone());
                }
            }
        }
        Ok(metadata)
    }
}

/// Steps from a text or a list of texts.
fn worked_steps(row: &Row, path: &str) -> Result<Option<Vec<String>>, FieldError> {
    let Some(Value::Array(items)) = lookup(row, path) else {
        return Ok(optional_text(row, path)?.map(|solution| steps(&solution)));
    };
    let step = |item: &Value| match item {
        Value::String(step) => Ok(step.clone()),
        _ => Err(FieldError::new(path, "is a list of what are not all texts")),
    };
    let steps = items.iter().map(step).collect::<Result<Vec<_>, _>>()?;
    Ok(Some(steps).filter(|steps| !steps.is_empty()))
}
