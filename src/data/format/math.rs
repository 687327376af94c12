//! MATH (arXiv 2103.03874).

use super::{Answer, Fields, Row, RowFormat};
use crate::field::{FieldError, lookup, optional_text};
use crate::solution::steps;
use espalier_grading::extract;

pub(super) struct Math;

impl RowFormat for Math {
    const KEPT: &'static [(&'static str, &'static str)] =
        &[("level", "level"), ("type", "type"), ("subject", "subject")];

    fn question(row: &Row, _: &Fields) -> Result<String, FieldError> {
        first_of(row, ["problem", "content"])
    }

    fn answer(row: &Row, _: &Fields) -> Result<Answer, FieldError> {
        let field = if lookup(row, "solution").is_some() { "solution" } else { "steps" };
        let solution = optional_text(row, field)?;
        let answer = match optional_text(row, "answer")? {
            Some(answer) => answer,
            None => {
                let boxed = solution.as_deref().and_then(extract);
                let none = || {
                    FieldError::new(
                        field,
                        "has no answer in `\\boxed{}` or `\\fbox{}`, nor has `answer` one",
                    )
                };
                boxed.ok_or_else(none)?.into_owned()
            }
        };
        Ok((answer, solution.as_deref().map(steps).filter(|steps| !steps.is_empty())))
    }

    fn own_id(row: &Row, _: &Fields) -> Result<Option<String>, FieldError> {
        optional_text(row, "unique_id")
    }
}

fn first_of(row: &Row, fields: [&str; 2]) -> Result<String, FieldError> {
    match optional_text(row, fields[0])? {
        Some(text) => Ok(text),
        None => optional_text(row, fields[1])?.ok_or_else(|| {
            FieldError::new(fields[0], format!("is missing or empty, and so is `{}`", fields[1]))
        }),
    }
}
