//! Rows of data sets as text: JSON Lines, JSON and CSV.

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use espalier::data::{DatasetRecipe, DecontaminateRecipe, Fields, Format, Paths, read};
use espalier::verifier::formats::{ProcessFormat, SamplesFormat};

use crate::harness::fuzz;
use crate::mutate::bytes;
use crate::mutate::json::Json;
use crate::random::Random;
use crate::scratch::Scratch;

const ROWS: &str = r#####"[
    {"question": "2 + 2?", "answer": "2+2=<<2+2=4>>4\n#### 4"},
    {"question": "Half?", "answer": "#### 1,000", "source": "x"},
    {"problem": "$x$?", "solution": "So $\\boxed{\\frac{1}{2}}$.", "level": "Level 2", "type": "Algebra"},
    {"content": "y?", "steps": "It is $\\fbox{3}$.", "answer": "3", "level": "Level 1", "type": "Algebra"},
    {"Body": "Ann has 3.", "Question": "How many?", "Answer": 3.0, "Equation": "( 1.0 + 2.0 )", "Type": "Addition", "ID": "chal-1"},
    {"input": "Ann has 3 and 4.", "target": "7", "type": "addition"},
    {"problem": "p", "answer": "948", "subject": "Combinatorics", "unique_id": "O-1"},
    {"question": "q", "answer": "(1, 2)", "data_source": "s", "question_number": "1.1", "data_topic": "t"},
    {"input": "1,2,3 -> 6", "target": 6},
    {"question": "g", "answer": 0.5, "id": 7, "meta": {"deep": [{"a": "b"}, null]}, "solution": ["a", "b"]},
    {"id": "a", "problem": "p", "steps": ["one", "two"], "label": -1},
    {"input": "i", "steps": ["one"], "mistake_index": 0, "answer": "x", "target": "y"},
    {"question": "q", "answer": "4", "samples": [{"text": "so \\boxed{4}", "answer": "4", "score": 0.5}, {"text": "#### 5"}]},
    {"question": "q", "gt": "4", "code": ["a", "b"], "pred": ["4", "5"], "score": [true, false], "pred_score": [0.1, [0.2]]},
    {"schema": "espalier.evaluation/2", "question": "q", "answer": "4", "draw": 0, "samples": [{"text": "x", "answer": "4"}]}
]"#####;

fn formats() -> &'static [Format] {
    Format::value_variants()
}

/// Rows as a file, its name and the format that it is read as.
fn file(seeds: &Json, random: &mut Random) -> Vec<u8> {
    let which = random.below(formats().len() + 5) as u8;
    let form = random.below(3) as u8;
    let mut text = Vec::new();
    let (open, between, close): (&[u8], &[u8], &[u8]) = match form {
        0 => (b"[", b",\n", b"]"),
        _ => (b"", b"\n", b"\n"),
    };
    text.extend_from_slice(open);
    for row in 0..1 + random.below(4) {
        if row > 0 {
            text.extend_from_slice(between);
        }
        seeds.write_changed(&mut text, random);
    }
    text.extend_from_slice(close);
    if random.once_in(16) {
        bytes::damage(&mut text, random);
    }
    [vec![which], text].concat()
}

/// Reads a file as the format of this number; whether the reader came to rows.
fn rows(which: u8, path: &Path, fields: Fields) -> bool {
    let formats = formats();
    let own = usize::from(which) % (formats.len() + 5);
    let read = match formats.get(own) {
        Some(&format) => {
            let decontaminate = Some(DecontaminateRecipe::default());
            let path = Paths::Many(vec![PathBuf::from(path)]);
            let recipe = DatasetRecipe {
                format,
                path,
                fields,
                skip_bad_rows: true,
                deduplicate: true,
                decontaminate,
                test: None,
            };
            read(&recipe).map(drop)
        }
        None => match own - formats.len() {
            0 => ProcessFormat::Processbench.read(path).map(drop),
            1 => ProcessFormat::BigbenchMistake.read(path).map(drop),
            2 => SamplesFormat::Samples.read(path, Some("Question:")).map(drop),
            3 => SamplesFormat::QwenMath.read(path, None).map(drop),
            _ => SamplesFormat::Evaluation.read(path, None).map(drop),
        },
    };
    read.map_or_else(
        |error| {
            let error = format!("{error:#}");
            !["neither UTF-8", "holds no rows", " column ", "is not closed"]
                .iter()
                .any(|form| error.contains(form))
        },
        |()| true,
    )
}

#[test]
fn jsonl() {
    let seeds: Vec<serde_json::Value> = serde_json::from_str(ROWS).unwrap();
    let seeds = Json::of(seeds);
    let scratch = Scratch::new();
    let fields = Fields { id: Some("meta.deep.0.a".to_owned()), ..Fields::default() };
    fuzz(
        "jsonl",
        |random| file(&seeds, random),
        |input| {
            let Some((which, text)) = input.split_first() else { return false };
            rows(*which, &scratch.write("rows.jsonl", text), fields.clone())
        },
    );
}

/// A table of cells that CSV writers get wrong.
fn table(random: &mut Random) -> Vec<u8> {
    const CELLS: &[&str] = &[
        "1",
        "4",
        "a b",
        "",
        " ",
        "\"a, b\"",
        "\"say \"\"x\"\"\"",
        "\"two\nlines\"",
        "é",
        "\u{feff}",
        "\0",
        "'",
        "\\",
        "\"\"",
        "=1+1",
        "{}",
        "\"",
        "a\"b",
        "1e999",
        "#### 4",
    ];
    let mut names = vec!["question", "answer", "id", "solution", "problem"];
    if random.once_in(12) {
        names.push("question");
    }
    let columns = 2 + random.below(names.len() - 1);
    let ending = *random.pick(&["\n", "\r\n", "\r", "\n\n"]);
    let mut text = String::new();
    if random.once_in(8) {
        text.push('\u{feff}');
    }
    text.push_str(&names[..columns].join(","));
    text.push_str(ending);
    for _ in 0..1 + random.below(6) {
        let columns = if random.once_in(8) { random.times().min(200) } else { columns };
        let cells: Vec<String> = (0..columns)
            .map(|_| {
                let cell = *random.pick(CELLS);
                if random.once_in(40) { cell.repeat(random.times()) } else { cell.to_owned() }
            })
            .collect();
        text.push_str(&cells.join(","));
        text.push_str(ending);
    }
    let mut text = text.into_bytes();
    if random.once_in(12) {
        bytes::damage(&mut text, random);
    }
    text
}

#[test]
fn csv() {
    let scratch = Scratch::new();
    let generic = formats().iter().position(|format| *format == Format::Generic).unwrap() as u8;
    fuzz("csv", table, |input| rows(generic, &scratch.write("rows.csv", input), Fields::default()));
}
