//! Texts that must neither panic nor take long.

use std::fs;
use std::time::{Duration, Instant};

use espalier_grading::{Verdict, extract, grade, groups};
use proptest::prelude::*;

use crate::{PAIRS, rows, string};

/// Pieces of which answers are made, and of which they are not.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "1",
        "2",
        "0",
        "10",
        "3.5",
        ".",
        ",",
        ", ",
        ";",
        ":",
        "x",
        "y",
        "e",
        "i",
        "f",
        "+",
        "-",
        "*",
        "/",
        "^",
        "_",
        "=",
        "<",
        ">",
        "!",
        "|",
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        "\\{",
        "\\}",
        "\\frac",
        "\\frac12",
        "\\sqrt",
        "\\sqrt[3]",
        "\\pi",
        "\\infty",
        "\\cup",
        "\\in",
        "\\le",
        "\\ne",
        "\\pm",
        "\\mp",
        "\\sin",
        "\\log",
        "\\ln",
        "\\left",
        "\\right",
        "\\text{",
        "\\text{ cm}",
        "\\%",
        "\\$",
        "$",
        "^\\circ",
        "\\begin{pmatrix}",
        "\\end{pmatrix}",
        "&",
        "\\\\",
        "\\boxed{",
        "\\overline{",
        "\\binom",
        "\\lfloor",
        "\\rfloor",
        "\\approx",
        " and ",
        " or ",
        "x<1",
        "(1,2)",
        "\\boxed ",
        "\\fbox{",
        "cm",
        " ",
        "99999999999",
        "1e99",
        "^{",
        "\\",
        "é",
        "²",
        "√",
        "1,000",
        "10^{10}",
        "5!",
        "\\mathbb{R}",
        "\\cdot",
        "_7",
        "\\foo",
    ]);
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

/// No comparison takes longer on any machine that is not at a standstill.
const PATIENCE: Duration = Duration::from_secs(30);

fn survives(gold: &str, prediction: &str) {
    let start = Instant::now();
    let one = grade(gold, prediction);
    assert_eq!(one.verdict, grade(prediction, gold).verdict, "{gold:?} {prediction:?}");
    let _ = extract(gold);
    assert_eq!(groups(&[gold, prediction])[1] == 0, one.is_equal());
    assert!(start.elapsed() < PATIENCE, "{gold:?} {prediction:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    #[test]
    fn no_pieces_break_it(gold in pieces(), prediction in pieces()) {
        survives(&gold, &prediction);
        survives(&gold, &gold);
    }

    #[test]
    fn no_damage_to_an_answer_breaks_it(
        index in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(),
        piece in pieces(),
        cut in 0..4_usize,
    ) {
        let pairs = rows(&fs::read_to_string(PAIRS).unwrap());
        let row = &pairs[index.index(pairs.len())];
        let gold: Vec<char> = string(row, "gold").chars().collect();
        let at = at.index(gold.len() + 1);
        let piece: String = piece.chars().take(8).collect();
        let rest = &gold[(at + cut).min(gold.len())..];
        let damaged: String = gold[..at].iter().copied().chain(piece.chars()).chain(rest.iter().copied()).collect();
        survives(&damaged, string(row, "pred"));
    }

    #[test]
    fn no_text_breaks_it(gold in ".*", prediction in ".*") {
        survives(&gold, &prediction);
    }
}

#[test]
fn hostile_answers_end_soon() {
    let tower = (0..30).fold("9".to_owned(), |tower, _| format!("9^{{{tower}}}"));
    let nested = |open: &str, close: &str| format!("{}1{}", open.repeat(500), close.repeat(500));
    let root = (0..20).fold("x".to_owned(), |root, _| format!("\\sqrt{{{root}+\\pi}}"));
    let mut hostile = vec![
        tower,
        "9".repeat(3900),
        "1e999999999".to_owned(),
        "10^{99999999999999999999}".to_owned(),
        "2^{-99999}".to_owned(),
        "(x+y+z+w+1)^{1000}".to_owned(),
        "((x+1)^{99}(y+1)^{99}(z+1)^{99})^{99}".to_owned(),
        "999999!".to_owned(),
        "1000!!!!!!!".to_owned(),
        "\\binom{1000}{500}^{1000}".to_owned(),
        "\\sin(10^{1000})".to_owned(),
        "e^{e^{e^{e^{e}}}}".to_owned(),
        "\\sqrt{18446744073709551557}".to_owned(),
        "0^0".to_owned(),
        "\\frac{1}{x-x}".to_owned(),
        "\\log_1 5".to_owned(),
        "\\sqrt[0]{5}".to_owned(),
        "0.\\overline{0}".to_owned(),
        "\\tan 90^\\circ".to_owned(),
        "\\cos(10^{-1000})".to_owned(),
        "\\ln(1+10^{-900})".to_owned(),
        "e^{\\sin(10^{-999})}".to_owned(),
        "1\\frac{-1}{0}".to_owned(),
        "(-1)^{-9223372036854775808}".to_owned(),
        "(x+1)^{-9223372036854775808}".to_owned(),
        "(-1)^{x}".to_owned(),
        root,
        nested("(", ")"),
        nested("\\frac{1}{", "}"),
        nested("\\sqrt", ""),
        nested("-", ""),
        nested("x^", ""),
        nested("|", "|"),
        nested("\\text{", "}"),
        nested("\\sin", ""),
        format!("\\{{{}\\}}", (0..64).map(|n| format!("\\sin {n}x")).collect::<Vec<_>>().join(",")),
        format!(
            "\\{{{}\\}}",
            (0..64).map(|n| format!("\\sin(-{n}x)")).collect::<Vec<_>>().join(",")
        ),
        (0..300).map(|n| format!("x_{{{n}}}")).collect::<Vec<_>>().join("+"),
        (0..60).map(|n| format!("x\\ne\\sqrt{{{n}}}")).collect::<Vec<_>>().join(","),
        (0..64).map(|n| format!("({n},9{n})")).collect::<Vec<_>>().join("\\cup"),
        format!("({})^9", (0..60).map(|n| format!("x_{{{n}}}")).collect::<Vec<_>>().join("+")),
    ];
    hostile.push(hostile[10].replace('1', "2"));
    for gold in &hostile {
        for prediction in &hostile {
            let start = Instant::now();
            let graded = grade(gold, prediction);
            assert!(start.elapsed() < PATIENCE, "{gold} {prediction}");
            assert!(gold != prediction || graded.verdict != Verdict::Different, "{gold}");
        }
    }
}
