//! Problems in and out of text: numbers and target from a row's metadata, or from what a user types.

use espalier_search::{Problem, ProblemError};
use serde_json::{Map, Value, json};

/// Numbers (as given) and target of a problem.
pub(super) fn numbers_and_target(problem: &Problem) -> Result<(Vec<u64>, u64), ProblemError> {
    let fail = |message: String| ProblemError { id: problem.id.clone(), message };
    let numbers = problem
        .metadata
        .get("numbers")
        .and_then(Value::as_array)
        .ok_or_else(|| fail("metadata needs `numbers`, a list of integers".into()))?;
    let numbers: Vec<u64> = numbers
        .iter()
        .map(|number| {
            number
                .as_u64()
                .ok_or_else(|| fail(format!("metadata.numbers holds {number}, not a whole number")))
        })
        .collect::<Result<_, _>>()?;
    if numbers.len() < 2 {
        return Err(fail(format!("needs at least two numbers, has {}", numbers.len())));
    }
    let target = problem
        .metadata
        .get("target")
        .and_then(Value::as_u64)
        .ok_or_else(|| fail("metadata needs `target`, a whole number".into()))?;
    Ok((numbers, target))
}

/// A problem in our own form.
pub(super) fn problem(id: String, numbers: &[u64], target: u64) -> Problem {
    let list = numbers.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
    let mut metadata = Map::new();
    metadata.insert("numbers".into(), json!(numbers));
    metadata.insert("target".into(), json!(target));
    Problem {
        id,
        question: format!("Use each of the numbers {list} once to make {target}."),
        answer: target.to_string(),
        metadata,
    }
}

/// Reads a question in our own form.
pub(super) fn parse_question(question: &str) -> Option<Problem> {
    let rest = question.strip_prefix("Use each of the numbers ")?;
    let (numbers, target) = rest.strip_suffix('.')?.split_once(" once to make ")?;
    let numbers: Vec<u64> =
        numbers.split(", ").map(|number| number.parse().ok()).collect::<Option<_>>()?;
    Some(problem(question.to_owned(), &numbers, target.parse().ok()?))
}

/// Reads what a user types: `26: 3 5 7`, the target and then the numbers.
///
/// # Errors
/// With the expected form, when it is not of that form.
pub fn parse_problem(text: &str) -> Result<Problem, String> {
    let form = || format!("`{text}` is not a countdown problem; write `TARGET: NUMBER NUMBER ...`");
    let (target, numbers) = text.split_once(':').ok_or_else(form)?;
    let number = |text: &str| text.trim().parse::<u64>().map_err(|_| form());
    let target = number(target)?;
    let numbers = numbers
        .split([' ', ','])
        .filter(|part| !part.is_empty())
        .map(number)
        .collect::<Result<Vec<_>, _>>()?;
    if numbers.len() < 2 {
        return Err(form());
    }
    Ok(problem(text.to_owned(), &numbers, target))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typed_problems_are_read_or_refused() {
        let problem = parse_problem("26: 3, 5 7").unwrap();
        assert_eq!(numbers_and_target(&problem).unwrap(), (vec![3, 5, 7], 26));
        for bad in ["", "26", "26:", "26: 3", "x: 3 5", "26: 3 -5", "26: 3 5.5"] {
            assert!(parse_problem(bad).unwrap_err().contains("TARGET: NUMBER"), "{bad}");
        }
    }

    #[test]
    fn metadata_that_does_not_fit_is_named() {
        let mut problem = problem("p".into(), &[3, 5], 8);
        problem.metadata["numbers"] = json!([3, -5]);
        assert!(numbers_and_target(&problem).unwrap_err().to_string().contains("-5"));
        problem.metadata.remove("target");
        problem.metadata["numbers"] = json!([3, 5]);
        assert!(numbers_and_target(&problem).unwrap_err().to_string().contains("target"));
    }
}
