//! Public data sets, read from local files into [`Problem`]s.
//!
//! A *format* says what a row means (GSM8K, MATH, ..., or a map of fields); how rows are written (JSON Lines, a JSON array, one
//! JSON object, CSV, Parquet, Arrow) is told from the file itself. A bad row is an error that names file, row and field, unless bad rows are to
//! be skipped: then they are counted and listed in the [`Report`]. Questions that occur twice, and questions that a test set holds, can be
//! taken out.
#![forbid(unsafe_code)]

#[cfg(feature = "parquet")]
mod columnar;
mod container;
mod csv;
mod field;
mod files;
mod format;
mod overlap;
mod recipe;
mod report;
mod row;
mod shown;
mod solution;
mod words;

pub use format::{Fields, Format};
pub use overlap::{MatchKind, Removed};
pub use recipe::{DatasetRecipe, DecontaminateRecipe, Paths, SourceRecipe};
pub use report::{BadRow, Report, UnreadableAnswer};
pub use row::Place;

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Result, anyhow, bail};
use espalier_search::Problem;
use serde::de::DeserializeOwned;
use serde_json::Value;

use espalier_grading::Written;
use files::files;
use overlap::TestQuestions;
use row::Row;

/// A problem and the row that it comes from.
#[derive(Debug, Clone, PartialEq)]
pub struct Located {
    /// Its row.
    pub place: Place,
    /// The problem.
    pub problem: Problem,
}

/// Reads the first source of a recipe, and takes out what is to be taken out.
///
/// # Errors
/// When a file cannot be read, a row is bad (unless bad rows are skipped), an id occurs twice, or nothing is left.
pub fn read(recipe: &DatasetRecipe) -> Result<(Vec<Located>, Report)> {
    let source = recipe.source();
    let (mut problems, mut report) = read_source(&source, recipe.skip_bad_rows)?;
    if recipe.deduplicate {
        (problems, report.duplicates) = overlap::deduplicate(problems);
    }
    if let Some(decontaminate) = &recipe.decontaminate {
        let mut questions = TestQuestions::new(decontaminate.n);
        for test in decontaminate.against.iter().chain(&recipe.test) {
            for (place, question) in read_questions(test, recipe.skip_bad_rows)? {
                questions.add(place, &question);
            }
        }
        (problems, report.contaminated) = overlap::decontaminate(problems, &questions);
    }
    if problems.is_empty() {
        bail!("{}: no problem is left: {}", source.path, report.one_line());
    }
    report.count(&problems);
    Ok((problems, report))
}

/// Reads every problem of a source.
///
/// # Errors
/// As [`read`].
pub fn read_source(source: &SourceRecipe, skip_bad_rows: bool) -> Result<(Vec<Located>, Report)> {
    let mut report = Report::new(source.format);
    let mut problems: Vec<Located> = Vec::new();
    let mut places: HashMap<String, Place> = HashMap::new();
    for file in files(&source.path)? {
        for Row { place, fields } in container::rows(&file.path)? {
            report.rows += 1;
            let id = || format!("{}-{}", file.name, place.number());
            let problem = fields.and_then(|row| {
                source.format.problem(&row, &source.fields, id).map_err(|error| error.of(&row))
            });
            match problem {
                Ok(problem) => {
                    if let Some(first) = places.insert(problem.id.clone(), place.clone()) {
                        bail!(
                            "{place}: id {:?} occurs at {first}, too; rows of `generic` can be named by another field, \
                             and files of one name are told apart when the folder that holds them is read",
                            problem.id
                        );
                    }
                    if !Written::new(&problem.answer).is_readable() {
                        report.unreadable_answers.push(UnreadableAnswer {
                            place: place.clone(),
                            id: problem.id.clone(),
                            answer: problem.answer.clone(),
                        });
                    }
                    problems.push(Located { place, problem });
                }
                Err(cause) if skip_bad_rows => report.bad_rows.push(BadRow { place, cause }),
                Err(cause) => bail!("{place}: {cause} (skip_bad_rows leaves such rows out)"),
            }
        }
    }
    if problems.is_empty() {
        bail!("{}: no problem is left: {}", source.path, report.one_line());
    }
    report.count(&problems);
    Ok((problems, report))
}

/// Reads rows of a form of their own from a file, however it is written; each comes with its place.
///
/// # Errors
/// Naming the first row that is not of the form.
pub fn typed_rows<T: DeserializeOwned>(path: &Path) -> Result<Vec<(Place, T)>> {
    let rows = container::rows(path)?.into_iter().map(|Row { place, fields }| {
        let row = fields.and_then(|row| {
            let keys = shown::keys(&row);
            serde_json::from_value(Value::Object(row)).map_err(|error| format!("{error}; {keys}"))
        });
        match row {
            Ok(row) => Ok((place, row)),
            Err(cause) => Err(anyhow!("{place}: {cause}")),
        }
    });
    rows.collect()
}

/// The questions alone, which is all that a test set must have to be kept out of training.
fn read_questions(source: &SourceRecipe, skip_bad_rows: bool) -> Result<Vec<(Place, String)>> {
    let mut questions = Vec::new();
    for file in files(&source.path)? {
        for Row { place, fields } in container::rows(&file.path)? {
            let question = fields.and_then(|row| {
                source.format.question(&row, &source.fields).map_err(|error| error.of(&row))
            });
            match question {
                Ok(question) => questions.push((place, question)),
                // A question that is not read cannot be kept out.
                Err(cause) if skip_bad_rows => tracing::warn!("{place}: {cause}; skipped"),
                Err(cause) => bail!("{place}: {cause} (skip_bad_rows leaves such rows out)"),
            }
        }
    }
    Ok(questions)
}

#[cfg(test)]
mod tests;
