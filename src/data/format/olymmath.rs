//! OlymMATH (arXiv 2503.21380).

use super::{Answer, Fields, Row, RowFormat};
use crate::field::{FieldError, optional_text, text};

pub(super) struct Olymmath;

impl RowFormat for Olymmath {
    const KEPT: &'static [(&'static str, &'static str)] = &[("subject", "subject")];

    fn question(row: &Row, _: &Fields) -> Result<String, FieldError> {
        text(row, "problem")
    }

    fn answer(row: &Row, _: &Fields) -> Result<Answer, FieldError> {
        Ok((text(row, "answer")?, None))
    }

    fn own_id(row: &Row, _: &Fields) -> Result<Option<String>, FieldError> {
        optional_text(row, "unique_id")
    }
}
