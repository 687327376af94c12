//! Countdown problems of llm-mcts (Apache-2.0): `{"input": [2, 2, 7, 8], "target": 38}`, four numbers from 1 to 13.
//!
//! Their rules are those of the environment `countdown` with `leftover`, `negative` and `fractions`: a solution may leave numbers out, and
//! its intermediate results may be negative or fractions. By the default rules every number is used once and all results are whole and not
//! negative. A problem that they count as solvable may then have no solution, and an accuracy on these rows is not one of theirs.

use serde_json::{Value, json};

use super::{Answer, Fields, Row, RowFormat};
use crate::field::{FieldError, lookup};

pub(super) struct LlmMctsCountdown;

impl RowFormat for LlmMctsCountdown {
    /// The environment's own wording, which it puts in the words of its rules.
    fn question(row: &Row, _: &Fields) -> Result<String, FieldError> {
        let numbers: Vec<String> = numbers(row)?.iter().map(u64::to_string).collect();
        let target = target(row)?;
        Ok(format!("Use each of the numbers {} once to make {target}.", numbers.join(", ")))
    }

    fn answer(row: &Row, _: &Fields) -> Result<Answer, FieldError> {
        Ok((target(row)?.to_string(), None))
    }

    fn metadata(row: &Row, _: &Fields) -> Result<Row, FieldError> {
        let parts = [("numbers", json!(numbers(row)?)), ("target", json!(target(row)?))];
        Ok(parts.map(|(name, value)| (name.to_owned(), value)).into_iter().collect())
    }
}

fn numbers(row: &Row) -> Result<Vec<u64>, FieldError> {
    let wrong = || FieldError::new("input", "is no list of at least two positive whole numbers");
    let items = lookup(row, "input").and_then(Value::as_array).ok_or_else(wrong)?;
    let number = |item: &Value| item.as_u64().filter(|number| *number > 0);
    let numbers: Option<Vec<u64>> = items.iter().map(number).collect();
    numbers.filter(|numbers| numbers.len() >= 2).ok_or_else(wrong)
}

fn target(row: &Row) -> Result<u64, FieldError> {
    let target = lookup(row, "target").and_then(Value::as_u64);
    target.ok_or_else(|| FieldError::new("target", "is no whole number that is not negative"))
}

#[cfg(test)]
mod tests {
    use super::super::Format;
    use super::*;

    fn read(row: Value) -> Result<espalier_search::Problem, String> {
        let Value::Object(row) = row else { panic!("{row}") };
        let id = || "rows-1".to_owned();
        let problem = Format::LlmMctsCountdown.problem(&row, &Fields::default(), id);
        problem.map_err(|error| error.to_string())
    }

    #[test]
    fn rows_become_problems_of_the_environment_s_form() {
        let problem = read(json!({"input": [2, 2, 7, 8], "target": 38})).unwrap();
        assert_eq!(problem.question, "Use each of the numbers 2, 2, 7, 8 once to make 38.");
        assert_eq!((problem.answer.as_str(), problem.id.as_str()), ("38", "rows-1"));
        assert_eq!(Value::Object(problem.metadata), json!({"numbers": [2, 2, 7, 8], "target": 38}));
        for (row, part) in [
            (json!({"target": 38}), "`input`"),
            (json!({"input": [2], "target": 38}), "`input`"),
            (json!({"input": [2, 0], "target": 38}), "`input`"),
            (json!({"input": [2, 2.5], "target": 38}), "`input`"),
            (json!({"input": [2, 3], "target": "38"}), "`target`"),
            (json!({"input": [2, 3], "target": -1}), "`target`"),
        ] {
            let error = read(row.clone()).unwrap_err();
            assert!(error.contains(part), "{row}: {error}");
        }
    }
}
