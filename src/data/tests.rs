//! Every format by hand-written rows of its form, the first rows of data sets, and whole ones where `ESPALIER_DATA` names them.

use std::fs;
use std::path::PathBuf;

use super::*;
use espalier_search::testing::data_set;
use serde_json::{Value, json};

fn source(format: Format, path: &Path) -> SourceRecipe {
    SourceRecipe { format, path: Paths::One(path.to_owned()), fields: Fields::default() }
}

fn recipe(format: Format, path: &Path) -> DatasetRecipe {
    DatasetRecipe {
        format,
        path: Paths::One(path.to_owned()),
        fields: Fields::default(),
        skip_bad_rows: false,
        deduplicate: false,
        decontaminate: None,
        test: None,
    }
}

fn file(folder: &Path, name: &str, rows: &[Value]) -> PathBuf {
    let path = folder.join(name);
    let lines: Vec<String> = rows.iter().map(|row| format!("{row}\n")).collect();
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, lines.concat()).unwrap();
    path
}

fn read_rows(format: Format, fields: &Fields, rows: &[Value]) -> Result<Vec<Problem>> {
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path(), "rows.jsonl", rows);
    let recipe = DatasetRecipe { fields: fields.clone(), ..recipe(format, &path) };
    Ok(read(&recipe)?.0.into_iter().map(|located| located.problem).collect())
}

#[track_caller]
fn check(format: Format, row: Value, id: &str, question: &str, answer: &str, metadata: Value) {
    let problems = read_rows(format, &Fields::default(), &[row]).unwrap();
    let Value::Object(metadata) = metadata else { unreachable!() };
    let (id, question, answer) = (id.into(), question.into(), answer.into());
    assert_eq!(problems, [Problem { id, question, answer, metadata }]);
}

#[test]
fn gsm8k_rows() {
    let row = json!({"question": "Tom has 3 bags of 400 nuts. How many?", "answer": "He has 3*400=<<3*400=1200>>1200 nuts.\nSo 1200.\n#### 1,200"});
    let steps = json!({"solution": ["He has 3*400=1200 nuts.", "So 1200."]});
    check(Format::Gsm8k, row, "rows-1", "Tom has 3 bags of 400 nuts. How many?", "1200", steps);
    check(
        Format::Gsm8k,
        json!({"question": "q", "answer": "#### -3"}),
        "rows-1",
        "q",
        "-3",
        json!({}),
    );
}

#[test]
fn math_rows_of_either_form() {
    let solution = "Add.\n\nThen $x=\\boxed{\\frac{1}{2}}$.";
    let steps = json!(["Add.", "Then $x=\\boxed{\\frac{1}{2}}$."]);
    let row = json!({"problem": "Find $x$.", "level": "Level 1", "type": "Algebra", "solution": solution});
    let metadata = json!({"level": "Level 1", "type": "Algebra", "solution": steps});
    check(Format::Math, row, "rows-1", "Find $x$.", "\\frac{1}{2}", metadata.clone());
    let row = json!({"content": "Find $x$.", "level": "Level 1", "type": "Algebra", "steps": solution, "answer": "0.5"});
    check(Format::Math, row, "rows-1", "Find $x$.", "0.5", metadata);
    let row =
        json!({"problem": "q", "answer": "$(1, 2)$", "subject": "s", "unique_id": "test/s/1.json"});
    check(Format::Math, row, "test/s/1.json", "q", "(1, 2)", json!({"subject": "s"}));
}

#[test]
fn word_problems() {
    let row = json!({"Body": "There are 12 pens in 4 cups", "Question": "How many a cup?", "Answer": 3.0, "Equation": "( 12.0 / 4.0 )", "Type": "Common-Division", "ID": "chal-9", "idx": 0});
    let metadata = json!({"type": "Common-Division", "equation": "( 12.0 / 4.0 )"});
    let question = "There are 12 pens in 4 cups. How many a cup?";
    check(Format::Svamp, row, "chal-9", question, "3", metadata);
    let row = json!({"input": "Ann had 5.5 kg and ate 2.25 kg .", "target": 3.25, "type": "singleeq", "idx": 3});
    let question = "Ann had 5.5 kg and ate 2.25 kg .";
    check(Format::Mawps, row, "rows-1", question, "3.25", json!({"type": "singleeq"}));
}

#[test]
fn examinations() {
    let row =
        json!({"problem": "q", "answer": "4\\sqrt{15}", "subject": "Geometry", "unique_id": "E-1"});
    check(Format::Olymmath, row, "E-1", "q", "4\\sqrt{15}", json!({"subject": "Geometry"}));
    let row =
        json!({"source": "2023/01", "question": "q", "lang": "en", "answer": "$x=1$ or $x=2$"});
    let metadata = json!({"source": "2023/01", "language": "en"});
    check(Format::Gaokao, row, "rows-1", "q", "$x=1$ or $x=2$", metadata);
    let row = json!({"data_source": "book", "question_number": "exercise.1", "question": "q", "answer": "$10-4 n$", "license": "CC BY 3.0", "data_topic": "algebra"});
    let metadata = json!({"topic": "algebra", "license": "CC BY 3.0"});
    check(Format::CollegeMath, row, "book.exercise.1", "q", "10-4 n", metadata);
}

#[test]
fn generic_rows_by_a_map_of_fields() {
    let row = json!({"id": "a", "question": "q", "answer": 7, "solution": ["one", "two"], "metadata": {"numbers": [1, 2]}, "family": "f", "none": null});
    let metadata = json!({"numbers": [1, 2], "family": "f", "solution": ["one", "two"]});
    check(Format::Generic, row, "a", "q", "7", metadata);
    let row =
        json!({"uid": 5, "chat": [{"text": "q"}], "reward": {"truth": "x"}, "how": "One.\nTwo."});
    let fields = Fields {
        question: "chat.0.text".into(),
        answer: "reward.truth".into(),
        id: Some("uid".into()),
        solution: Some("how".into()),
    };
    let problem = read_rows(Format::Generic, &fields, &[row]).unwrap().remove(0);
    assert_eq!((problem.id.as_str(), problem.question.as_str()), ("5", "q"));
    assert_eq!(
        (problem.answer.as_str(), &problem.metadata["solution"]),
        ("x", &json!(["One.", "Two."]))
    );
}

#[test]
fn a_bad_row_is_named_with_its_field() {
    let good =
        json!({"question": "q", "answer": "#### 1", "problem": "p", "input": "i", "target": 1});
    for (format, bad, part) in [
        (Format::Gsm8k, json!({"question": "q", "answer": "1"}), "`answer` has no `####`"),
        (Format::Gsm8k, json!({"question": "q", "answer": "a\n#### "}), "nothing after `####`"),
        (
            Format::Gsm8k,
            json!({"question": " ", "answer": "#### 1"}),
            "`question` is missing or empty",
        ),
        (Format::Gsm8k, json!([1]), "no object"),
        (Format::Mawps, json!({"input": "i", "target": null}), "`target` is missing or empty"),
        (
            Format::Mawps,
            json!({"input": "i", "target": [1]}),
            "`target` is neither a text nor a number",
        ),
        (
            Format::Generic,
            json!({"question": "q", "answer": "a", "solution": [1]}),
            "`solution` is a list",
        ),
    ] {
        let error =
            read_rows(format, &Fields::default(), &[good.clone(), bad]).unwrap_err().to_string();
        assert!(error.contains("rows.jsonl:2: ") && error.contains(part), "{error}");
    }
    let framed = json!({"problem": "p", "solution": "It is $\\fbox{5}$."});
    assert_eq!(read_rows(Format::Math, &Fields::default(), &[framed]).unwrap()[0].answer, "5");
    let unboxed = json!({"problem": "p", "solution": "It is 5."});
    let error = read_rows(Format::Math, &Fields::default(), &[unboxed]).unwrap_err().to_string();
    assert!(error.contains("`solution` has no answer in `\\boxed{}`"), "{error}");
    let error = read_rows(Format::Math, &Fields::default(), &[json!({})]).unwrap_err().to_string();
    assert!(error.contains("`problem` is missing or empty, and so is `content`"), "{error}");
    let fields = Fields { solution: Some("how".into()), ..Fields::default() };
    let error = read_rows(Format::Generic, &fields, &[good]).unwrap_err().to_string();
    assert!(error.contains("`how` is missing"), "{error}");
}

#[test]
fn bad_rows_are_skipped_when_asked_for_and_listed() {
    let folder = tempfile::tempdir().unwrap();
    let rows = [
        json!({"input": "a", "target": 1}),
        json!({"input": "b"}),
        json!({"input": "c", "target": 3}),
    ];
    let path = file(folder.path(), "rows.jsonl", &rows);
    let skipping = DatasetRecipe { skip_bad_rows: true, ..recipe(Format::Mawps, &path) };
    let (problems, report) = read(&skipping).unwrap();
    assert_eq!(
        problems.iter().map(|located| located.problem.id.as_str()).collect::<Vec<_>>(),
        ["rows-1", "rows-3"]
    );
    assert_eq!((report.rows, report.problems, report.bad_rows.len()), (3, 2, 1));
    let shown = report.bad_rows[0].place.to_string();
    assert!(shown.ends_with("rows.jsonl:2") && report.bad_rows[0].cause.contains("`target`"));
    // Nothing but bad rows is an error all the same.
    let path = file(folder.path(), "bad.jsonl", &rows[1..2]);
    let error = read(&DatasetRecipe { skip_bad_rows: true, ..recipe(Format::Mawps, &path) });
    assert!(error.unwrap_err().to_string().contains("1 bad rows skipped"));
}

#[test]
fn a_folder_stands_for_its_files_and_ids_stay_apart() {
    let folder = tempfile::tempdir().unwrap();
    let row = |n: usize| json!({"problem": format!("p{n}"), "solution": "\\boxed{1}"});
    for (name, n) in [("b/1.json", 1), ("a/1.json", 2), ("a/2.jsonl", 3)] {
        file(folder.path(), name, &[row(n)]);
    }
    fs::write(folder.path().join("a/notes.txt"), "x").unwrap();
    let (problems, _) = read(&recipe(Format::Math, folder.path())).unwrap();
    let ids: Vec<&str> = problems.iter().map(|located| located.problem.id.as_str()).collect();
    assert_eq!(ids, ["a/1-1", "a/2-1", "b/1-1"]);
    let both = Paths::Many(vec![folder.path().join("a/1.json"), folder.path().join("b/1.json")]);
    let error = read(&DatasetRecipe { path: both, ..recipe(Format::Math, folder.path()) });
    let error = error.unwrap_err().to_string();
    assert!(error.contains("id \"1-1\" occurs at") && error.contains("folder"), "{error}");
    let empty = tempfile::tempdir().unwrap();
    let error = read(&recipe(Format::Math, empty.path())).unwrap_err().to_string();
    assert!(error.contains("holds no file named"), "{error}");
}

#[test]
fn equal_questions_are_kept_once() {
    let folder = tempfile::tempdir().unwrap();
    let row = |question: &str| json!({"input": question, "target": 1});
    let rows = ["What is $3 + 4$?", "what is 3+4", "What is 3 - 4?", "What is 34?"].map(row);
    let path = file(folder.path(), "rows.jsonl", &rows);
    let (problems, report) =
        read(&DatasetRecipe { deduplicate: true, ..recipe(Format::Mawps, &path) }).unwrap();
    assert_eq!((problems.len(), report.problems, report.duplicates.len()), (3, 3, 1));
    let removed = &report.duplicates[0];
    assert_eq!((removed.id.as_str(), removed.by), ("rows-2", MatchKind::Question));
    assert!(removed.matched.to_string().ends_with("rows.jsonl:1"));
}

#[test]
fn what_a_test_set_holds_is_taken_out() {
    let folder = tempfile::tempdir().unwrap();
    let row = |question: &str| json!({"input": question, "target": 1});
    let thirteen = "a b c d e f g h i j k l m";
    let train = file(
        folder.path(),
        "train.jsonl",
        &[
            row(&format!("Before, {thirteen} and after.")),
            row("a b c d e f g h i j k l and m"),
            row("Short one: 1 + 2?"),
            row("Short one: 1 - 2?"),
            row("short one"),
        ],
    );
    let test = file(
        folder.path(),
        "test.jsonl",
        &[
            json!({"problem": format!("{thirteen}, n o p.")}),
            json!({"problem": "Short one 1 + 2."}),
        ],
    );
    let against = vec![source(Format::Olymmath, &test)];
    let clean = |n| {
        let decontaminate = Some(DecontaminateRecipe { against: against.clone(), n });
        read(&DatasetRecipe { decontaminate, ..recipe(Format::Mawps, &train) }).unwrap()
    };
    let (problems, report) = clean(13);
    let ids: Vec<&str> = problems.iter().map(|located| located.problem.id.as_str()).collect();
    assert_eq!(ids, ["train-2", "train-4", "train-5"]);
    let [long, short] = report.contaminated.as_slice() else { panic!("{report:?}") };
    assert_eq!((long.by, long.text.as_str()), (MatchKind::Ngram, thirteen));
    assert!(long.matched.to_string().ends_with("test.jsonl:1"));
    assert_eq!((short.id.as_str(), short.by), ("train-3", MatchKind::Question));
    assert!(short.matched.to_string().ends_with("test.jsonl:2"));
    // With twelve words the second row's first ones are a run that the test question holds.
    assert_eq!(clean(12).1.contaminated.len(), 3);
    // With one more than the run has, nothing but the whole question counts.
    assert_eq!(clean(14).1.contaminated.len(), 1);
    // The test source of a recipe is kept out as well.
    let recipe = DatasetRecipe {
        decontaminate: Some(DecontaminateRecipe::default()),
        test: Some(source(Format::Olymmath, &test)),
        ..recipe(Format::Mawps, &train)
    };
    assert_eq!(read(&recipe).unwrap().1.contaminated.len(), 2);
}

#[test]
fn an_answer_without_meaning_is_reported_and_kept() {
    let rows = [
        json!({"input": "a", "target": "\\foo{1}"}),
        json!({"input": "b", "target": "all real numbers"}),
    ];
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path(), "rows.jsonl", &rows);
    let (problems, report) = read(&recipe(Format::Mawps, &path)).unwrap();
    assert_eq!((problems.len(), report.unreadable_answers.len()), (2, 1));
    assert_eq!(report.unreadable_answers[0].answer, "\\foo{1}");
}

#[test]
fn recipes_are_strict() {
    let parse = |text: &str| -> Result<DatasetRecipe, String> {
        let recipe: DatasetRecipe = toml::from_str(text).map_err(|error| error.to_string())?;
        recipe.validate()?;
        Ok(recipe)
    };
    let text = "format = \"college_math\"\npath = [\"a\", \"b\"]\ndecontaminate = { against = [{ format = \"math\", path = \"t\" }] }";
    let recipe = parse(text).unwrap();
    assert_eq!((recipe.path.to_string().as_str(), recipe.decontaminate.unwrap().n), ("a, b", 13));
    for (text, part) in [
        ("format = \"gsm9k\"\npath = \"a\"", "unknown variant `gsm9k`"),
        ("format = \"gsm8k\"", "missing field `path`"),
        ("format = \"gsm8k\"\npath = 3", "a path or a list of paths"),
        ("format = \"gsm8k\"\npath = \"\"", "path must name"),
        ("format = \"gsm8k\"\npath = []", "path must name"),
        ("format = \"gsm8k\"\npath = \"a\"\nfields.question = \"q\"", "those of `generic`"),
        ("format = \"generic\"\npath = \"a\"\nfields.qestion = \"q\"", "unknown field `qestion`"),
        ("format = \"gsm8k\"\npath = \"a\"\ndecontaminate = {}", "`against`"),
        ("format = \"gsm8k\"\npath = \"a\"\ndecontaminate = { n = 0 }", "decontaminate.n = 0"),
        (
            "format = \"gsm8k\"\npath = \"a\"\ntest = { format = \"math\", path = \"\" }",
            "test.path",
        ),
    ] {
        let error = parse(text).unwrap_err();
        assert!(error.contains(part), "{text}: {error}");
    }
}

/// Format, file, rows, bad rows, at most so many answers that grading has no meaning for. Two answers of MATH are boxed as nothing, and one is cut out of
/// a sentence that speaks of boxes; two of GaoKao are empty.
const WHOLE: [(Format, &str, usize, usize, usize); 18] = [
    (Format::Gsm8k, "gsm8k/train.jsonl", 7473, 0, 0),
    (Format::Gsm8k, "gsm8k/test_first_half.jsonl", 660, 0, 0),
    (Format::Math, "math/algebra_train.jsonl", 1744, 0, 0),
    (Format::Math, "math/prealgebra_train.jsonl", 1205, 0, 0),
    (Format::Math, "math/number_theory_train.jsonl", 869, 2, 0),
    (Format::Math, "math/counting_and_probability_train.jsonl", 770, 0, 0),
    (Format::Math, "math/algebra_test_filtered.jsonl", 881, 0, 0),
    (Format::Math, "math/prealgebra_test_filtered.jsonl", 654, 0, 1),
    (Format::Math, "math/number_theory_test_filtered.jsonl", 376, 0, 0),
    (Format::Math, "math/counting_and_probability_test_filtered.jsonl", 336, 0, 0),
    (Format::Gaokao, "gaokao2023en/test_first_half.jsonl", 193, 2, 2),
    (Format::CollegeMath, "college_math/test_first_half_ccby.jsonl", 1000, 0, 23),
    (Format::Svamp, "svamp/test_first_half.jsonl", 500, 0, 0),
    (Format::Mawps, "mawps/test.jsonl", 2065, 0, 0),
    (Format::Olymmath, "olymmath/OlymMATH-EN-EASY.jsonl", 100, 0, 0),
    (Format::Olymmath, "olymmath/OlymMATH-ZH-EASY.jsonl", 100, 0, 0),
    (Format::Generic, "reasoning_gym/chain_sum.jsonl", 2000, 0, 0),
    (Format::Generic, "reasoning_gym/gsm_symbolic.jsonl", 2000, 0, 0),
];

/// Reads a source and checks the numbers of its rows, bad rows and answers that cannot be graded.
fn check_set(format: Format, file: &Path, rows: usize, bad: usize, unreadable: usize) {
    let source = source(format, file);
    let (problems, report) = read_source(&source, true).unwrap();
    assert_eq!((report.rows, report.bad_rows.len()), (rows, bad), "{}", report.text());
    assert!(report.unreadable_answers.len() <= unreadable, "{}", report.text());
    assert_eq!(problems.len(), rows - bad);
    if matches!(format, Format::Gsm8k | Format::Math) {
        assert_eq!(report.with_solution, problems.len(), "{}", file.display());
    }
    for Located { place, problem } in &problems {
        let text = serde_json::to_string(&problem.metadata).unwrap();
        assert!(format != Format::Gsm8k || !text.contains("<<"), "{place}");
    }
}

#[test]
fn the_first_rows_of_data_sets_are_read() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/sets");
    let mut read = 0;
    for (format, name, ..) in WHOLE {
        let file = folder.join(name);
        if file.exists() {
            check_set(format, &file, 20, 0, 0);
            read += 1;
        }
    }
    assert_eq!(read, 7, "of the sets whose licences allow it");
}

#[test]
fn whole_data_sets_are_read() {
    for (format, name, rows, bad, unreadable) in WHOLE {
        if let Some(file) = data_set(name) {
            check_set(format, &file, rows, bad, unreadable);
        }
    }
}

#[test]
fn a_bad_row_is_shown() {
    let bad = json!({"question": "q", "answer": ["\u{1b}[2J", "x".repeat(300)]});
    let error = read_rows(Format::Generic, &Fields::default(), &[bad]).unwrap_err().to_string();
    let shown = "`answer` is neither a text nor a number: [\"\\u001b[2J\",\"xxxx";
    assert!(error.contains(shown) && error.contains("…; the row has question, answer"), "{error}");
    assert!(error.len() < 300, "{error}");
    let absent = json!({"prompt": "q", "target": 1});
    let error = read_rows(Format::Generic, &Fields::default(), &[absent]).unwrap_err().to_string();
    assert!(
        error.contains("`question` is missing or empty; the row has prompt, target"),
        "{error}"
    );
}

#[cfg(feature = "parquet")]
mod columns {
    use super::*;

    /// Files that pyarrow and `datasets` wrote.
    fn fixture(name: &str) -> PathBuf {
        Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/data")).join(name)
    }

    fn rows(name: &str) -> Vec<Value> {
        let rows = typed_rows::<Value>(&fixture(name)).unwrap();
        rows.into_iter().map(|(_, row)| row).collect()
    }

    #[test]
    fn columns_of_any_type_are_what_was_meant() {
        for name in [
            "parquet/typed.parquet",
            "arrow/none.arrow",
            "arrow/stream.arrow",
            "arrow/lz4.feather",
            "arrow/zstd.feather",
        ] {
            let rows = rows(name);
            assert_eq!(rows.len(), 2, "{name}");
            let row = &rows[0];
            for (field, expected) in [
                ("question", json!("How much is a tenth?")),
                ("answer", json!(0.1)),
                ("half", json!(0.1)),
                ("floats", json!([0.1, null, 3.0])),
                ("deep", json!({"half": 0.7, "floats": [1e-7]})),
                ("named", json!({"tenth": 0.1})),
                ("old", json!("a ½")),
                ("image", json!({"bytes": 4})),
            ] {
                assert_eq!(row[field], expected, "{name}: {field}");
            }
            assert_eq!((&rows[1]["answer"], &rows[1]["half"]), (&json!(0.0), &Value::Null));
            if !name.ends_with("parquet") {
                assert_eq!(row["kind"], "short");
                assert!(row["at"]["unread"].is_string(), "{row}");
            }
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_refused_where_they_are_asked_for() {
        let fields = Fields { answer: "image".to_owned(), ..Fields::default() };
        for name in ["parquet/typed.parquet", "arrow/stream.arrow"] {
            let recipe =
                DatasetRecipe { fields: fields.clone(), ..recipe(Format::Generic, &fixture(name)) };
            let error = read(&recipe).unwrap_err().to_string();
            assert!(
                error.contains("row 1: `image` is neither a text nor a number: {\"bytes\":4}"),
                "{error}"
            );
        }
    }

    #[test]
    fn damaged_arrow_is_an_error_and_no_panic() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("damaged.arrow");
        for name in ["none.arrow", "stream.arrow", "lz4.feather", "zstd.feather"] {
            let bytes = fs::read(fixture("arrow").join(name)).unwrap();
            let read = |bytes: &[u8]| {
                fs::write(&path, bytes).unwrap();
                typed_rows::<Value>(&path).map(|rows| rows.len())
            };
            assert_eq!(read(&bytes).unwrap(), 2);
            let mut refused = 0;
            for at in 8..bytes.len() {
                let mut damaged = bytes.clone();
                damaged[at] ^= 0xff;
                refused += usize::from(read(&damaged).is_err());
            }
            assert!(refused > 100, "{name}: {refused}");
            for cut in [8, 20, bytes.len() / 2] {
                let error = format!("{:#}", read(&bytes[..cut]).unwrap_err());
                assert!(error.contains("damaged.arrow: "), "{error}");
            }
        }
    }

    #[test]
    fn a_buffer_of_arrow_claims_no_more_than_its_file_can_hold() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("large.arrow");
        let bytes = fs::read(fixture("arrow/lz4.feather")).unwrap();
        // The magic of LZ4's frames, behind the length of what is in them.
        let frames =
            bytes.windows(4).enumerate().filter(|(_, part)| *part == [4, 0x22, 0x4d, 0x18]);
        let frame = frames.map(|(at, _)| at).next().unwrap();
        let mut large = bytes.clone();
        large[frame - 8..frame].copy_from_slice(&(1_u64 << 30).to_le_bytes());
        fs::write(&path, large).unwrap();
        let error = typed_rows::<Value>(&path).unwrap_err().to_string();
        assert!(
            error.contains("large.arrow: the Arrow file is damaged: it claims more"),
            "{error}"
        );
    }

    #[test]
    fn the_files_of_a_saved_folder_are_those_that_it_names() {
        let paths = |path: &Path| Paths::One(path.to_owned());
        let names = |path: &Path| -> Vec<String> {
            files::files(&paths(path)).unwrap().into_iter().map(|file| file.name).collect()
        };
        assert_eq!(
            names(&fixture("arrow/saved/train")),
            ["data-00000-of-00002", "data-00001-of-00002"]
        );
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("other");
        fs::create_dir_all(&path).unwrap();
        fs::write(path.join("state.json"), "{\"question\": \"q\"}").unwrap();
        fs::write(path.join("rows.csv"), "question,answer\nq,1\n").unwrap();
        assert_eq!(names(folder.path()), ["other/rows", "other/state"]);
        let error =
            files::files(&paths(fixture("arrow/saved").as_path())).err().unwrap().to_string();
        assert!(error.contains("(train, test)") && error.contains("saved/train"), "{error}");
    }
}
