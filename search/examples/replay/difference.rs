//! Where a search and a trace part.

use std::fmt::Display;

/// The first thing in which a search differs from a trace.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("tag {tag}, {field}: found {found}, expected {expected}")]
pub struct Difference {
    /// The node; the root's for what concerns the whole search.
    pub tag: String,
    /// What differs, by the trace's name for it.
    pub field: &'static str,
    /// What this search has.
    pub found: String,
    /// What the trace has.
    pub expected: String,
}

/// Characters of a text shown from the first that differs.
const EXCERPT: usize = 60;

impl Difference {
    pub(super) fn new(
        tag: &str,
        field: &'static str,
        found: impl Display,
        expected: impl Display,
    ) -> Self {
        let (found, expected) = (found.to_string(), expected.to_string());
        Self { tag: tag.to_owned(), field, found, expected }
    }

    /// Two texts, shown from the first character that differs.
    pub(super) fn of_texts(tag: &str, field: &'static str, found: &str, expected: &str) -> Self {
        let same = found.chars().zip(expected.chars()).take_while(|(a, b)| a == b).count();
        let rest = |text: &str| {
            let excerpt: String = text.chars().skip(same).take(EXCERPT).collect();
            match same {
                0 => format!("{excerpt:?}"),
                _ => format!("{excerpt:?} from character {same}"),
            }
        };
        Self::new(tag, field, rest(found), rest(expected))
    }
}

/// Equal numbers; a NaN equals none.
pub(super) fn close(
    tag: &str,
    field: &'static str,
    found: f64,
    expected: f64,
    tolerance: f64,
) -> Result<(), Difference> {
    if (found - expected).abs() <= tolerance {
        return Ok(());
    }
    Err(Difference::new(tag, field, found, expected))
}

/// Equal counts.
pub(super) fn same(
    tag: &str,
    field: &'static str,
    found: u64,
    expected: u64,
) -> Result<(), Difference> {
    if found == expected {
        return Ok(());
    }
    Err(Difference::new(tag, field, found, expected))
}

/// Equal texts.
pub(super) fn same_text(
    tag: &str,
    field: &'static str,
    found: &str,
    expected: &str,
) -> Result<(), Difference> {
    if found == expected {
        return Ok(());
    }
    Err(Difference::of_texts(tag, field, found, expected))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nan_is_a_difference_and_a_rounding_error_is_none() {
        assert!(close("0", "value", 0.1 + 0.2, 0.3, 1e-9).is_ok());
        assert!(close("0", "value", f64::NAN, f64::NAN, 1e-9).is_err());
        let infinite = close("0", "value", f64::INFINITY, f64::INFINITY, 1e-9);
        assert!(infinite.is_err(), "inf - inf is a NaN");
    }

    #[test]
    fn texts_are_shown_where_they_part() {
        let difference = same_text("0.1", "text", "v = é + 1\n", "v = é + 2").unwrap_err();
        assert_eq!(
            difference.to_string(),
            "tag 0.1, text: found \"1\\n\" from character 8, expected \"2\" from character 8"
        );
    }
}
