//! What was read, and what was left out.

use std::fmt::Write;

use serde::Serialize;

use super::{Format, Located, MatchKind, Place, Removed};

/// How many rows of a data set were kept, and why others were left out.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Names this form and its version.
    pub schema: &'static str,
    /// The format of the rows.
    pub format: Format,
    /// Rows in all files.
    pub rows: usize,
    /// Problems that are left.
    pub problems: usize,
    /// Those of them with a worked solution.
    pub with_solution: usize,
    /// Rows that could not be read, and were skipped.
    pub bad_rows: Vec<BadRow>,
    /// Problems whose question stands in an earlier row.
    pub duplicates: Vec<Removed>,
    /// Problems whose question a test set holds.
    pub contaminated: Vec<Removed>,
    /// Answers that are no number, formula or word: they are graded by their text alone.
    pub unreadable_answers: Vec<UnreadableAnswer>,
}

/// A row that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BadRow {
    /// Where it is.
    pub place: Place,
    /// The field and what is wrong with it.
    pub cause: String,
}

/// An answer without a meaning to grading.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UnreadableAnswer {
    /// Where it is.
    pub place: Place,
    /// The problem.
    pub id: String,
    /// The answer.
    pub answer: String,
}

impl Report {
    pub(super) fn new(format: Format) -> Self {
        Self {
            schema: "espalier.data/1",
            format,
            rows: 0,
            problems: 0,
            with_solution: 0,
            bad_rows: Vec::new(),
            duplicates: Vec::new(),
            contaminated: Vec::new(),
            unreadable_answers: Vec::new(),
        }
    }

    /// Counts what is left.
    pub(super) fn count(&mut self, problems: &[Located]) {
        let solved = |located: &&Located| located.problem.metadata.contains_key("solution");
        self.problems = problems.len();
        self.with_solution = problems.iter().filter(solved).count();
        self.unreadable_answers.retain(|answer| {
            !self
                .duplicates
                .iter()
                .chain(&self.contaminated)
                .any(|removed| removed.place == answer.place)
        });
    }

    /// The numbers alone.
    #[must_use]
    pub fn one_line(&self) -> String {
        let mut line =
            format!("{} rows of {}, {} problems", self.rows, self.format.name(), self.problems);
        for (count, what) in [
            (self.with_solution, "with a worked solution"),
            (self.bad_rows.len(), "bad rows skipped"),
            (self.duplicates.len(), "duplicates removed"),
            (self.contaminated.len(), "removed because a test set holds them"),
            (self.unreadable_answers.len(), "answers that are graded by their text alone"),
        ] {
            if count > 0 {
                let _ = write!(line, ", {count} {what}");
            }
        }
        line
    }

    /// The numbers, and every row that was left out or is doubtful.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = self.one_line();
        for BadRow { place, cause } in &self.bad_rows {
            let _ = write!(text, "\nbad row: {place}: {cause}");
        }
        for Removed { place, id, matched, .. } in &self.duplicates {
            let _ = write!(text, "\nduplicate: {place} ({id}): the question of {matched}");
        }
        for Removed { place, id, matched, by, text: words } in &self.contaminated {
            let what = match by {
                MatchKind::Question => "the question of".to_owned(),
                MatchKind::Ngram => format!("\"{words}\" as in"),
            };
            let _ = write!(text, "\nin a test set: {place} ({id}): {what} {matched}");
        }
        for UnreadableAnswer { place, id, answer } in &self.unreadable_answers {
            let _ = write!(text, "\ngraded by its text: {place} ({id}): {answer}");
        }
        text
    }
}
