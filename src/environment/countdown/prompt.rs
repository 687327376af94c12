//! Problems in and out of text: numbers and target from a row's metadata, or from what a user types.

use espalier_search::{Problem, ProblemError};
use serde_json::{Map, Value, json};

use super::Rules;

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
pub(super) fn problem(id: String, numbers: &[u64], target: u64, rules: Rules) -> Problem {
    let mut metadata = Map::new();
    metadata.insert("numbers".into(), json!(numbers));
    metadata.insert("target".into(), json!(target));
    Problem { id, question: question(numbers, target, rules), answer: target.to_string(), metadata }
}

const BEGINNING: &str = "Use each of the numbers ";
const ONCE: &str = " once to make ";
const AT_MOST_ONCE: &str = " at most once to make ";

/// The question in our own words.
pub(super) fn question(numbers: &[u64], target: u64, rules: Rules) -> String {
    let numbers = numbers.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
    let once = if rules.leftover { AT_MOST_ONCE } else { ONCE };
    let results = match (rules.negative, rules.fractions) {
        (false, false) => "",
        (true, false) => " Results may be negative.",
        (false, true) => " Results may be fractions.",
        (true, true) => " Results may be negative or fractions.",
    };
    format!("{BEGINNING}{numbers}{once}{target}.{results}")
}

/// Reads a question in our own words, whatever the rules that it tells: numbers and target.
pub(super) fn parse_question(text: &str) -> Option<(Vec<u64>, u64)> {
    let (task, _) = text.strip_prefix(BEGINNING)?.split_once('.')?;
    let (numbers, target) = task.split_once(AT_MOST_ONCE).or_else(|| task.split_once(ONCE))?;
    let numbers: Option<Vec<u64>> = numbers.split(", ").map(|number| number.parse().ok()).collect();
    let (numbers, target) = (numbers?, target.parse().ok()?);
    Rules::all().any(|rules| question(&numbers, target, rules) == text).then_some((numbers, target))
}

/// Reads what a user types: `26: 3 5 7`, the target and then the numbers. The question tells the default rules.
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
    Ok(problem(text.to_owned(), &numbers, target, Rules::default()))
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
        let mut problem = problem("p".into(), &[3, 5], 8, Rules::default());
        problem.metadata["numbers"] = json!([3, -5]);
        assert!(numbers_and_target(&problem).unwrap_err().to_string().contains("-5"));
        problem.metadata.remove("target");
        problem.metadata["numbers"] = json!([3, 5]);
        assert!(numbers_and_target(&problem).unwrap_err().to_string().contains("target"));
    }
    #[test]
    fn a_question_tells_the_rules_and_is_read_under_all() {
        let mut questions = std::collections::HashSet::new();
        for rules in Rules::all() {
            let text = question(&[3, 3, 8], 24, rules);
            assert_eq!(parse_question(&text), Some((vec![3, 3, 8], 24)), "{text}");
            questions.insert(text);
        }
        assert_eq!(questions.len(), 8);
        for other in [
            "Use each of the numbers 3, 8 once to make 24",
            "Use each of the numbers 3, 8 once to make 24. Results may be prime.",
            "Use each of the numbers 03, 8 once to make 24.",
            "Use each of the numbers once to make 24.",
        ] {
            assert_eq!(parse_question(other), None, "{other}");
        }
    }
}
