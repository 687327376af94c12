//! SVAMP (arXiv 2103.07191).

use super::{Answer, Fields, Row, RowFormat};
use crate::field::{FieldError, optional_text, text};

pub(super) struct Svamp;

impl RowFormat for Svamp {
    const KEPT: &'static [(&'static str, &'static str)] =
        &[("Type", "type"), ("Equation", "equation")];

    fn question(row: &Row, _: &Fields) -> Result<String, FieldError> {
        let (body, question) = (text(row, "Body")?, text(row, "Question")?);
        let end = if body.ends_with(['.', ',', '?', '!']) { "" } else { "." };
        Ok(format!("{body}{end} {question}"))
    }

    fn answer(row: &Row, _: &Fields) -> Result<Answer, FieldError> {
        Ok((text(row, "Answer")?, None))
    }

    fn own_id(row: &Row, _: &Fields) -> Result<Option<String>, FieldError> {
        optional_text(row, "ID")
    }
}
