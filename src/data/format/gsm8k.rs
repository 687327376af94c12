//! GSM8K (arXiv 2110.14168).

use super::{Answer, Fields, Row, RowFormat};
use crate::field::{FieldError, text};
use crate::solution::gsm8k_steps;

pub(super) struct Gsm8k;

impl RowFormat for Gsm8k {
    fn question(row: &Row, _: &Fields) -> Result<String, FieldError> {
        text(row, "question")
    }

    fn answer(row: &Row, _: &Fields) -> Result<Answer, FieldError> {
        let whole = text(row, "answer")?;
        let Some((solution, answer)) = whole.rsplit_once("####") else {
            return Err(FieldError::new("answer", "has no `####` before the final answer"));
        };
        // Commas part thousands alone: every answer is one number.
        let answer = answer.trim().replace(',', "");
        if answer.is_empty() {
            return Err(FieldError::new("answer", "has nothing after `####`"));
        }
        Ok((answer, Some(gsm8k_steps(solution)).filter(|steps| !steps.is_empty())))
    }
}
