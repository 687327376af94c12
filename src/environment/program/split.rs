//! Which split a word problem is in.

use espalier_search::{Problem, ProblemError};
use serde_json::Value;

use crate::environment::Split;
use crate::seed;

/// The split that the file itself names in `metadata.split`; else by a hash of the question's text without numbers, case and
/// punctuation, so that problems that differ in these alone stay on one side.
pub(super) fn split_of(problem: &Problem) -> Result<Split, ProblemError> {
    let named = match problem.metadata.get("split") {
        None | Some(Value::Null) => None,
        Some(Value::String(name)) => Some(name.as_str()),
        Some(other) => return Err(unknown(problem, &other.to_string())),
    };
    match named {
        Some("train") => Ok(Split::Train),
        Some("validation" | "valid" | "dev") => Ok(Split::Validation),
        Some("test") => Ok(Split::Test),
        Some(other) => Err(unknown(problem, other)),
        None => Ok(Split::of_hash(seed::derive(0, &["word problem", &shape(&problem.question)]))),
    }
}

fn unknown(problem: &Problem, name: &str) -> ProblemError {
    let message = format!("metadata.split = {name}: write train, validation or test");
    ProblemError { id: problem.id.clone(), message }
}

/// A question's words in lower case, with `0` for every number.
fn shape(question: &str) -> String {
    let mut shape = String::with_capacity(question.len());
    let mut gap = false;
    let mut number = false;
    let mut characters = question.chars().peekable();
    while let Some(character) = characters.next() {
        if character.is_numeric() {
            if !number {
                shape.push_str(if gap && !shape.is_empty() { " 0" } else { "0" });
            }
            (number, gap) = (true, false);
        } else if character.is_alphabetic() {
            if gap && !shape.is_empty() {
                shape.push(' ');
            }
            shape.extend(character.to_lowercase());
            (number, gap) = (false, false);
        } else {
            // "1,234.5" is one number.
            let inside = number
                && matches!(character, ',' | '.')
                && characters.peek().is_some_and(|next| next.is_numeric());
            if !inside {
                (number, gap) = (false, true);
            }
        }
    }
    shape
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(question: &str, split: Option<&str>) -> Problem {
        let metadata = split.map(|name| ("split".to_owned(), name.into())).into_iter().collect();
        Problem { id: "p".into(), question: question.into(), answer: "1".into(), metadata }
    }

    #[test]
    fn numbers_case_and_punctuation_are_not_part_of_the_shape() {
        assert_eq!(
            shape("Tom has 1,234.50 apples -- and 7 PEARS."),
            "tom has 0 apples and 0 pears"
        );
        assert_eq!(shape("tom has 3 apples, and 12 pears?"), "tom has 0 apples and 0 pears");
        assert_eq!(shape("$5 a piece"), "0 a piece");
        assert_ne!(shape("Ann has 3 apples"), shape("tom has 3 apples"));
    }

    #[test]
    fn every_split_is_met_and_the_file_s_own_goes_first() {
        let question = |index: usize| {
            let word = ["ant", "bee", "cat", "dog", "elk", "fox", "gnu", "hen"];
            format!("How many {} and {}?", word[index / 8], word[index % 8])
        };
        let mut counts = [0; 3];
        for index in 0..64 {
            let text = question(index);
            let split = split_of(&problem(&text, None)).unwrap();
            assert_eq!(split_of(&problem(&text.to_uppercase(), None)).unwrap(), split);
            counts[split as usize] += 1;
            for (name, own) in
                [("train", Split::Train), ("dev", Split::Validation), ("test", Split::Test)]
            {
                assert_eq!(split_of(&problem(&text, Some(name))).unwrap(), own);
            }
        }
        assert!(counts.iter().all(|&count| count > 3) && counts[0] > 28, "{counts:?}");
        let error = split_of(&problem("x", Some("held out"))).unwrap_err();
        assert!(error.to_string().contains("held out"), "{error}");
    }
}
