//! Grading: pairs of answers by category, `espalier grade`, and texts that must not break it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use espalier::grading::{Verdict, extract, grade, groups};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::program::{espalier, fail, run, skipped, text};

const PAIRS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/grading/pairs.jsonl");

fn rows(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn string<'a>(row: &'a Value, key: &str) -> &'a str {
    row[key].as_str().unwrap_or_else(|| panic!("{key} in {row}"))
}

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

#[test]
fn the_command_prints_a_verdict_a_row() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pairs.jsonl");
    let pairs = [
        json!({"gold": "\\frac{1}{2}", "pred": "0.5", "id": 7}),
        json!({"gold": 3.5, "pred": "7/2"}),
        json!({"gold": "[0,1)", "pred": "[0,1]"}),
        json!({"gold": "5", "pred": null}),
        json!({"gold": "\\int x", "pred": "5"}),
    ];
    let lines: Vec<String> = pairs.iter().map(Value::to_string).collect();
    fs::write(&file, format!("{}\n\n{}\n", lines[0], lines[1..].join("\n"))).unwrap();
    let output = espalier(&["grade", text(&file), "--json"]).output().unwrap();
    assert!(output.status.success());
    let graded = rows(std::str::from_utf8(&output.stdout).unwrap());
    let seen: Vec<(u64, &str, &str)> = graded
        .iter()
        .map(|row| (row["line"].as_u64().unwrap(), string(row, "verdict"), string(row, "rule")))
        .collect();
    assert_eq!(
        seen,
        [
            (1, "equal", "number"),
            (3, "equal", "number"),
            (4, "different", "interval"),
            (5, "different", "missing"),
            (6, "undecided", "unreadable"),
        ]
    );
    assert!(graded.iter().all(|row| row["schema"] == "espalier.grade/1"));
    let summary = String::from_utf8(output.stderr).unwrap();
    assert!(summary.contains("5 pairs: 2 equal, 2 different, 1 undecided"), "{summary}");
    assert!(run(&["grade", text(&file)]).starts_with("1: equal (number)\n3: "));
}

#[test]
fn answers_are_taken_out_of_solutions() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("solutions.jsonl");
    let pairs = [
        json!({"gold": "48/2 = 24, 48 + 24 = 72\n#### 72", "pred": "So it is $\\boxed{72}$."}),
        json!({"gold": "\\frac{3}{4}", "pred": "<p>\nFinal Answer: $0.75$\n</p>"}),
        json!({"gold": "5", "pred": "It may well be 5"}),
    ];
    let lines: Vec<String> = pairs.iter().map(Value::to_string).collect();
    fs::write(&file, lines.join("\n")).unwrap();
    let graded = rows(&run(&["grade", text(&file), "--extract", "--json"]));
    let seen: Vec<(&str, &str)> =
        graded.iter().map(|row| (string(row, "pred"), string(row, "verdict"))).collect();
    assert_eq!(seen, [("72", "equal"), ("0.75", "equal"), ("", "different")]);
    assert_eq!(graded[0]["gold"], "72");
}

#[test]
fn bad_rows_are_named_by_file_and_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let good = "{\"gold\": \"1\", \"pred\": \"1\"}\n";
    for (row, reason) in [
        ("{\"gold\": \"1\"", "EOF"),
        ("{\"gold\": \"1\"}", "missing field `pred`"),
        ("{\"pred\": \"1\"}", "missing field `gold`"),
        ("{\"gold\": null, \"pred\": \"1\"}", "gold is null"),
        ("{\"gold\": [1], \"pred\": \"1\"}", "[1] is neither a text nor a number"),
        ("5", "invalid type"),
    ] {
        fs::write(path("bad.jsonl"), format!("{good}{row}\n")).unwrap();
        let message = fail(&["grade", text(&path("bad.jsonl"))], 3);
        assert!(message.contains("bad.jsonl:2: ") && message.contains(reason), "{message}");
    }
    fs::write(path("bytes.jsonl"), [0xff, 0xfe]).unwrap();
    assert!(fail(&["grade", text(&path("bytes.jsonl"))], 3).contains("bytes.jsonl"));
    fs::write(path("empty.jsonl"), "\n").unwrap();
    assert!(fail(&["grade", text(&path("empty.jsonl"))], 3).contains("holds no pairs"));
    assert!(fail(&["grade", text(&path("absent.jsonl"))], 3).contains("cannot read"));
    let pairs = path("good.jsonl");
    fs::write(&pairs, good).unwrap();
    let absent = ["grade", text(&pairs), "--math-verify", "/no/such/python"];
    assert!(fail(&absent, 2).contains("cannot run /no/such/python"));
    let missing = fail(&["grade", text(&pairs), "--math-verify", "true"], 2);
    assert!(missing.contains("pip install math-verify"), "{missing}");
}

/// A stand-in for Python with math-verify: says that everything is equal, and hangs where the gold answer says so.
fn stand_in(folder: &Path) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let file = folder.join("python");
    let script = "#!/bin/sh\necho '{\"version\": \"0\"}'\nwhile read -r row; do\n\
                  case \"$row\" in *hang*) exec sleep 600;; *die*) exit 1;; esac\n\
                  echo '{\"equal\": true}'\ndone\n";
    fs::write(&file, script).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    file
}

#[test]
fn a_worker_that_hangs_or_dies_leaves_its_pair_undecided() {
    let folder = tempfile::tempdir().unwrap();
    let python = stand_in(folder.path());
    let file = folder.path().join("pairs.jsonl");
    let pairs = [("\\foo{1}", "1"), ("\\hang", "1"), ("\\die", "1"), ("\\foo{2}", "1"), ("1", "2")];
    let lines = pairs.map(|(gold, pred)| json!({"gold": gold, "pred": pred}).to_string());
    fs::write(&file, lines.join("\n")).unwrap();
    let limit = ["--math-verify-limit", "1", "--json"];
    let grade = ["grade", text(&file), "--math-verify", text(&python)];
    let graded = rows(&run(&[&grade[..], &limit].concat()));
    let seen: Vec<(&str, &str)> =
        graded.iter().map(|row| (string(row, "verdict"), string(row, "rule"))).collect();
    assert_eq!(
        seen,
        [
            ("equal", "math_verify"),
            ("undecided", "math_verify"),
            ("undecided", "math_verify"),
            ("equal", "math_verify"),
            ("different", "number"),
        ]
    );
    assert!(graded[..4].iter().all(|row| row["exact"] == false));
}

#[test]
fn answers_of_math_equal_themselves() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/data/math");
    let file = folder.join("algebra_train.jsonl");
    let Ok(problems) = fs::read_to_string(&file) else {
        return skipped(&format!("{} is not there", file.display()));
    };
    let answers = rows(&problems).into_iter().map(|row| string(&row, "answer").to_owned());
    let answers: Vec<String> = answers.filter(|answer| !answer.trim().is_empty()).collect();
    assert!(answers.len() >= 600);
    for answer in &answers {
        // Written otherwise, so that the texts do not decide.
        let other = format!("\\;{{}}{}", answer.replace("\\frac", "\\dfrac"));
        assert!(grade(answer, &other).is_equal(), "{answer}");
        assert!(grade(answer, answer).is_equal(), "{answer}");
    }
    for pair in answers.windows(2) {
        let graded = grade(&pair[0], &pair[1]);
        assert!(!graded.is_equal() || !graded.rule.to_string().contains("numeric"), "{pair:?}");
    }
}

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
        "and",
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
