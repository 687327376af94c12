//! University textbooks (arXiv 2403.02884).

use super::{Answer, Fields, Row, RowFormat};
use crate::field::{FieldError, optional_text, text};

pub(super) struct CollegeMath;

impl RowFormat for CollegeMath {
    const KEPT: &'static [(&'static str, &'static str)] =
        &[("data_topic", "topic"), ("license", "license")];

    fn question(row: &Row, _: &Fields) -> Result<String, FieldError> {
        text(row, "question")
    }

    fn answer(row: &Row, _: &Fields) -> Result<Answer, FieldError> {
        Ok((text(row, "answer")?, None))
    }

    fn own_id(row: &Row, _: &Fields) -> Result<Option<String>, FieldError> {
        let source = optional_text(row, "data_source")?;
        let number = optional_text(row, "question_number")?;
        Ok(source.zip(number).map(|(source, number)| format!("{source}.{number}")))
    }
}
