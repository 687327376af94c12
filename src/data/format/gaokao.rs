//! Chinese university entrance examinations, translated.

use super::{Answer, Fields, Row, RowFormat};
use crate::field::{FieldError, optional_text, text};

pub(super) struct Gaokao;

impl RowFormat for Gaokao {
    const KEPT: &'static [(&'static str, &'static str)] =
        &[("source", "source"), ("lang", "language")];

    fn question(row: &Row, _: &Fields) -> Result<String, FieldError> {
        text(row, "question")
    }

    fn answer(row: &Row, _: &Fields) -> Result<Answer, FieldError> {
        Ok((text(row, "answer")?, None))
    }

    fn own_id(row: &Row, _: &Fields) -> Result<Option<String>, FieldError> {
        optional_text(row, "id")
    }
}
