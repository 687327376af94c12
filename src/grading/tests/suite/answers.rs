//! Pairs of answers and the verdicts on them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use espalier_grading::{Verdict, grade};
use espalier_search::testing::data_set;

use crate::{PAIRS, rows, string};

#[test]
fn pairs_get_their_verdicts_either_way_round() {
    let mut wrong = Vec::new();
    let mut categories: BTreeMap<String, [usize; 2]> = BTreeMap::new();
    for row in rows(&fs::read_to_string(PAIRS).unwrap()) {
        let (gold, prediction) = (string(&row, "gold"), string(&row, "pred"));
        let (one, other) = (grade(gold, prediction), grade(prediction, gold));
        if one != other || one.verdict.to_string() != string(&row, "verdict") {
            wrong.push(format!("{row}: {one:?}, the other way round {other:?}"));
        }
        let counts = categories.entry(string(&row, "category").to_owned()).or_default();
        counts[usize::from(one.verdict != Verdict::Equal)] += 1;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // Every category holds what is equal and what is not.
    assert!(categories.len() >= 20, "{categories:?}");
    assert!(categories.values().all(|[equal, not]| *equal > 0 && *not > 0), "{categories:?}");
}

#[test]
fn only_what_is_proved_is_called_exact() {
    for (gold, prediction, exact) in [
        ("0.5", "\\frac12", true),
        ("\\sqrt{12}", "2\\sqrt3", true),
        ("(x+1)^2", "x^2+2x+1", true),
        ("\\sqrt{3+2\\sqrt{2}}", "1+\\sqrt{2}", false),
        ("\\sin 2x", "2\\sin x\\cos x", false),
        ("\\{1, \\sin 30^\\circ\\}", "\\{\\frac12, 1\\}", false),
    ] {
        let graded = grade(gold, prediction);
        assert!(graded.is_equal() && graded.exact == exact, "{gold} {prediction}: {graded:?}");
    }
}

#[test]
fn no_letters_are_taken_for_positive() {
    let letters: Vec<char> = ('a'..='z').filter(|letter| !"ei".contains(*letter)).collect();
    for (index, one) in letters.iter().enumerate() {
        assert!(!grade(&format!("|{one}|"), &one.to_string()).is_equal(), "{one}");
        for other in &letters[index + 1..] {
            let product = format!("{one}{other}");
            assert!(!grade(&format!("|{product}|"), &product).is_equal(), "{product}");
        }
    }
}

/// Answers of the MATH data set, also written otherwise, so that the texts do not decide.
fn check_answers(file: &Path, least: usize) {
    let problems = fs::read_to_string(file).unwrap();
    let answers = rows(&problems).into_iter().map(|row| string(&row, "answer").to_owned());
    let answers: Vec<String> = answers.filter(|answer| !answer.trim().is_empty()).collect();
    assert!(answers.len() >= least);
    for answer in &answers {
        let other = format!("\\;{{}}{}", answer.replace("\\frac", "\\dfrac"));
        assert!(grade(answer, &other).is_equal(), "{answer}");
        assert!(grade(answer, answer).is_equal(), "{answer}");
    }
    for pair in answers.windows(2) {
        let graded = grade(&pair[0], &pair[1]);
        assert!(!graded.is_equal() || !graded.rule.to_string().contains("numeric"), "{pair:?}");
    }
}

#[test]
fn answers_of_math_equal_themselves() {
    let first = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/sets/math");
    for name in ["algebra_train.jsonl", "number_theory_train.jsonl"] {
        check_answers(&first.join(name), 18);
    }
    if let Some(file) = data_set("math/algebra_train.jsonl") {
        check_answers(&file, 600);
    }
}
