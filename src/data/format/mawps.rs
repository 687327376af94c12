//! MAWPS (NAACL 2016).

use super::{Answer, Fields, Row, RowFormat};
use crate::field::{FieldError, text};

pub(super) struct Mawps;

impl RowFormat for Mawps {
    const KEPT: &'static [(&'static str, &'static str)] = &[("type", "type")];

    fn question(row: &Row, _: &Fields) -> Result<String, FieldError> {
        text(row, "input")
    }

    fn answer(row: &Row, _: &Fields) -> Result<Answer, FieldError> {
        Ok((text(row, "target")?, None))
    }
}
