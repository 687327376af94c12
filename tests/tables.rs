//! A number that a command prints for people and writes for programs is the same in both, rounded where people read it.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::program::{TINY, run, text, tiny_run};

fn rows(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap_or_else(|_| panic!("{path:?}"))).unwrap()
}

/// The numbers of a text, each with its decimals.
fn numbers(text: &str) -> Vec<(f64, usize)> {
    let is_part = |c: char| c.is_ascii_digit() || ['.', '-', '+'].contains(&c);
    let number = |word: &str| {
        let word = word.trim_end_matches('.');
        let decimals = word.split_once('.').map_or(0, |(_, decimals)| decimals.len());
        word.parse().ok().map(|number| (number, decimals))
    };
    text.split(|c: char| !is_part(c)).filter_map(number).collect()
}

/// What a key means in an object: a pointer without its first slash, and a `%` behind it where people read per cent.
fn meant(object: &Value, key: &str) -> Option<f64> {
    let (key, scale) = match key.strip_suffix('%') {
        Some(key) => (key, 100.0),
        None => (key, 1.0),
    };
    let found = object.pointer(&format!("/{key}")).unwrap_or_else(|| panic!("{key} of {object}"));
    found.as_f64().map(|number| number * scale)
}

/// Checks that a text has these numbers and no others.
fn check(text: &str, expected: &[f64], whose: &str) {
    let found = numbers(text);
    let agree = |(&(number, decimals), expected): (&(f64, usize), &f64)| {
        (number - expected).abs() <= 0.5 * 0.1_f64.powi(decimals as i32) * (1.0 + 1e-6) + 1e-12
    };
    let same = found.len() == expected.len() && found.iter().zip(expected).all(agree);
    assert!(same, "{whose}: {text:?} and {expected:?}");
}

/// Checks that a text has the numbers of an object under these keys; what is null there is absent.
fn agree(text: &str, object: &Value, keys: &[&str]) {
    let expected: Vec<f64> = keys.iter().filter_map(|key| meant(object, key)).collect();
    check(text, &expected, &object.to_string());
}

/// The cells of a printed table, the header first.
fn cells(text: &str) -> Vec<Vec<&str>> {
    let is_border = |line: &&str| line.contains('─') || line.contains('═');
    let lines = text.lines().filter(|line| !is_border(line) && line.contains("  "));
    let mut cells: Vec<Vec<&str>> = lines
        .map(|line| line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect())
        .collect();
    // A first title may be empty.
    if cells.get(1).is_some_and(|row| row.len() == cells[0].len() + 1) {
        cells[0].insert(0, "");
    }
    cells
}

/// Checks a table with a row an object: below each title the numbers of its keys. The first column names things, and times differ.
fn agree_in_table(text: &str, objects: &[Value], columns: &[(&str, &[&str])]) {
    let cells = cells(text);
    let (header, rows) = cells.split_first().unwrap_or_else(|| panic!("no table: {text}"));
    assert_eq!(rows.len(), objects.len(), "{text}");
    for (row, object) in rows.iter().zip(objects) {
        assert_eq!(row.len(), header.len(), "{text}");
        for (title, cell) in
            header.iter().zip(row).skip(1).filter(|(title, _)| **title != "seconds")
        {
            match columns.iter().find(|(name, _)| name == title) {
                Some((_, keys)) => agree(cell, object, keys),
                None => agree(cell, object, &[&title.replace(' ', "_")]),
            }
        }
    }
}

const ACCURACY: [(&str, &[&str]); 4] = [
    ("% right", &["accuracy%"]),
    ("95 % interval", &["low%", "high%"]),
    ("tokens a problem", &["tokens_per_problem"]),
    ("simulations a problem", &["simulations_per_problem"]),
];

/// A probed run of one round on three numbers, of which some states cannot be solved.
fn run_of(folder: &Path) -> std::path::PathBuf {
    tiny_run(
        folder,
        &[
            "problems.numbers=[3, 3]",
            "rounds.count=1",
            "rounds.problems=20",
            "training.epochs=1",
            "evaluation.problems=10",
            "evaluation.decodings=[\"greedy\", \"maj@3\", \"mcts:4\"]",
            "evaluation.measures=[{kind = 'decodings'}, {kind = 'value_auc'}, {kind = 'pass_at_k', k = [1, 3], samples = 3}]",
            "rounds.probe={problems=20, pass_at_k={k=[1, 4], samples=4}, search={simulations=10, samples=4}}",
        ],
    )
}

#[test]
fn the_table_of_rounds_has_the_numbers_of_the_stages() {
    let folder = tempfile::tempdir().unwrap();
    let run_dir = run_of(folder.path());
    let table = run(&["report", text(&run_dir)]);
    let of_stage = |round: usize, stage: &str| {
        let path = run_dir.join(format!("rounds/{round}/{stage}.json"));
        if path.exists() { read(&path) } else { Value::Null }
    };
    let shares = |object: &Value, keys: [&str; 3]| -> Vec<f64> {
        // An area of one class alone is null.
        if object.is_null() {
            return Vec::new();
        }
        keys.iter().filter_map(|key| meant(object, key)).collect()
    };
    let area = ["auc", "low", "high"];
    let expected = |label: &str, round: usize| -> Vec<f64> {
        let stage = |name: &str| of_stage(round, name);
        let (evaluated, probe) = (stage("evaluate"), stage("probe"));
        let number = |object: &Value| object.as_f64().unwrap();
        if let Some((decoding, cut)) = label.split_once(": ").filter(|_| label.ends_with(", %")) {
            if decoding == "searches that ended" {
                let stops = probe["stops"].as_object().unwrap();
                let all: f64 = stops.values().map(number).sum();
                let stop = stops.get(cut.trim_end_matches(", %")).map_or(0.0, number);
                return vec![100.0 * stop / all];
            }
            let cut = cut.trim_end_matches(", %").replace(' ', "_");
            let results = evaluated["results"].as_array().unwrap();
            // Without any the figure is absent.
            let any = results.iter().any(|result| number(&result[&cut]) > 0.0);
            let result = results.iter().find(|result| result["decoding"] == decoding).unwrap();
            let share = 100.0 * number(&result[&cut]) / number(&result["n"]);
            return if any { vec![share] } else { Vec::new() };
        }
        let pass = |object: &Value, k: &str| {
            let passes = object["pass_at_k"].as_array().unwrap();
            let pass = passes.iter().find(|pass| pass["k"].as_u64() == k.parse().ok()).unwrap();
            shares(pass, ["pass%", "low%", "high%"])
        };
        if let Some(k) = label.strip_prefix("pass@") {
            return match k.strip_suffix(" of the policy alone, %") {
                Some(k) => pass(&probe, k),
                None => pass(&evaluated, k),
            };
        }
        let values = |kind: &str| {
            let place = label.strip_prefix(kind)?;
            let values = &probe["values"];
            Some(match place.strip_prefix(" at depth ") {
                Some(depth) => values["by_depth"][depth].clone(),
                None => values["overall"].clone(),
            })
        };
        if let Some(values) = values("AUC of V") {
            return shares(&values["auc"], area);
        }
        if let Some(values) = values("calibration error of V") {
            return vec![number(&values["calibration_error"])];
        }
        if let Some(values) = values("Brier score of V") {
            return vec![number(&values["brier"])];
        }
        let steps = &probe["steps"];
        match label {
            "training problems solved, %" => match stage("search") {
                Value::Null => Vec::new(),
                search => vec![100.0 * number(&search["solved"]) / number(&search["problems"])],
            },
            "AUC of Q (labels)" => match stage("harvest") {
                Value::Null => Vec::new(),
                harvest => shares(&harvest["q_auc"], area),
            },
            "AUC of the value net" => shares(&evaluated["value_auc"], area),
            "solved by search, %" => shares(&probe["solved"], ["mean%", "low%", "high%"]),
            "distinct steps a node" => vec![number(&steps["distinct"])],
            "share of sampled steps that differ" => {
                vec![number(&steps["distinct"]) / number(&steps["sampled"])]
            }
            "−ln p of a sampled step" => vec![number(&steps["surprisal"])],
            "simulations a problem" => vec![number(&probe["simulations_per_problem"])],
            decoding => {
                let results = evaluated["results"].as_array().unwrap();
                let result = results.iter().find(|result| result["decoding"] == decoding);
                shares(result.unwrap_or_else(|| panic!("{label}")), ["accuracy%", "low%", "high%"])
            }
        }
    };
    let cells = cells(&table);
    let mut checked = 0;
    for row in cells[1..].iter().filter(|row| row.len() > 1) {
        for (round, cell) in row[1..3].iter().enumerate() {
            check(cell, &expected(row[0], round), row[0]);
            checked += 1;
        }
        let Some(tokens) = row.get(3) else { continue };
        let evaluated = of_stage(1, "evaluate");
        let all = ["results", "pass_at_k"].map(|key| evaluated[key].as_array().unwrap().clone());
        let name = |object: &Value| match object["k"].as_u64() {
            Some(k) => format!("pass@{k}"),
            None => object["decoding"].as_str().unwrap().to_owned(),
        };
        let object = all.iter().flatten().find(|object| name(object) == row[0]).unwrap();
        agree(tokens, object, &["tokens_per_problem"]);
    }
    assert!(checked >= 2 * 18, "{table}");
    // The other forms have the same cells.
    let csv = run(&["report", text(&run_dir), "--format", "csv"]);
    let plain = |text: &str| numbers(text).len();
    let rows_of_csv: Vec<&str> = csv.lines().collect();
    assert_eq!(rows_of_csv.len(), cells.len(), "{csv}");
    for (line, row) in rows_of_csv.iter().zip(&cells) {
        assert!(row.iter().all(|cell| line.contains(cell)), "{line} and {row:?}");
        assert_eq!(plain(line), plain(&row.join(" ")), "{line}");
    }
}

#[test]
fn what_commands_print_has_the_numbers_of_their_json() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let run_dir = run_of(folder.path());
    let (checkpoint, problems) = (path("run/rounds/1/checkpoint"), path("problems.jsonl"));
    let recipe = ["--config", TINY, "--set", "problems.numbers=[3, 3]"];
    run(&[&["generate", "--count", "8", "--out", text(&problems)][..], &recipe].concat());
    let net = ["--checkpoint", text(&checkpoint)];
    // What is printed without and with --json.
    let both = |arguments: &[&str]| {
        let printed = run(arguments);
        (printed, rows(&run(&[arguments, &["--json"]].concat())))
    };
    let with = |arguments: &[&str]| both(&[arguments, &net, &recipe].concat());

    let evaluate = ["evaluate", "--problems", text(&problems), "--seeds", "2"];
    let (table, objects) = with(&[&evaluate[..], &["--decoding", "greedy,maj@3,mcts:4"]].concat());
    agree_in_table(&table, &objects, &ACCURACY);
    let (table, objects) = with(&[&evaluate[..], &["--measure", "value_auc"]].concat());
    let area = |title| (title, &["low", "high"][..]);
    let columns: [(&str, &[&str]); 4] = [
        ("area", &["auc"]),
        area("95 % interval"),
        ("states", &["n"]),
        ("that can be solved", &["positives"]),
    ];
    agree_in_table(&table, &objects, &columns);
    let pass = "pass_at_k:k=[1, 3], samples=4";
    let (table, objects) = with(&[&evaluate[..], &["--measure", pass]].concat());
    agree_in_table(&table, &objects, &[("%", &["pass%"]), ACCURACY[1], ACCURACY[2]]);

    let evaluation = run_dir.join("rounds/1/evaluation.jsonl");
    let (table, objects) = both(&["compare", text(&evaluation), "--base-decoding", "greedy"]);
    let difference: [(&str, &[&str]); 9] = [
        ("base", &[]),
        ("% right", &["correct%"]),
        ("base, % right", &["base_correct%"]),
        ("difference", &["difference/mean%"]),
        ("95 % interval", &["difference/low%", "difference/high%"]),
        ("tokens a problem", &["tokens"]),
        ("base, tokens", &["base_tokens"]),
        ("n", &["problems"]),
        ("runs", &["runs"]),
    ];
    agree_in_table(&table, &objects, &difference);

    let solutions = path("solutions.jsonl");
    let solution = |label: i64| json!({"id": label, "problem": "12:4 3 1", "steps": ["3*4=12", "12*1=12"], "label": label});
    fs::write(&solutions, [0, 1, -1].map(|label| format!("{}\n", solution(label))).concat())
        .unwrap();
    let (table, objects) =
        with(&["evaluate", "process", text(&solutions), "--threshold", "0.0625"]);
    let (table, threshold) = table.trim_end().rsplit_once('\n').unwrap();
    let columns: [(&str, &[&str]); 5] = [
        ("n", &["n_error", "n_correct"]),
        ("% found, with an error", &["accuracy_error%"]),
        ("% passed, without", &["accuracy_correct%"]),
        ("F1", &["f1%"]),
        ("95 % interval of F1", &["f1_interval/0%", "f1_interval/1%"]),
    ];
    agree_in_table(table, &objects, &columns);
    agree(threshold, &objects[0], &["threshold"]);
    let samples = path("samples.jsonl");
    let sample = |text: &str, answer: &str| json!({"text": text, "answer": answer});
    let problem = json!({"question": "12:3 4 1", "answer": "12", "samples": [sample("3*4=12", "12"), sample("3+4=7", "7"), sample("4-1=3", "3")]});
    fs::write(&samples, format!("{problem}\n")).unwrap();
    let (table, objects) = with(&["evaluate", "votes", text(&samples), "--samples", "1,3"]);
    agree_in_table(&table, &objects, &ACCURACY);

    let trees = path("trees.jsonl");
    let (line, summary) = with(&["search", "--problems", text(&problems), "--out", text(&trees)]);
    let (line, _) = line.rsplit_once(',').unwrap();
    agree(line, &summary[0], &["solved", "problems", "trees", "nodes", "tokens"]);
    let (outlines, nodes) = both(&["inspect", "tree", text(&trees)]);
    let outlines: Vec<&str> =
        outlines.lines().filter_map(|line| Some(line.split_once("  P ")?.1)).collect();
    assert_eq!(outlines.len(), nodes.len());
    for (outline, node) in outlines.iter().zip(&nodes) {
        let words: Vec<&str> = outline.split_whitespace().take(7).collect();
        agree(&words.join(" "), node, &["prior", "visit_count", "q_value", "value"]);
    }
    let labels = path("labels.jsonl");
    let harvest = ["harvest", "--trees", text(&trees), "--out", text(&labels)];
    let (line, summary) = both(&[&harvest[..], &recipe].concat());
    agree(&line, &summary[0], &["problems", "solved", "correct", "incorrect", "steps"]);
    let quality = ["quality", "--labels", text(&labels), "--problems", text(&problems)];
    let (line, area) = both(&[&quality[..], &recipe].concat());
    agree(&line, &area[0], &["q_auc/auc", "q_auc/low", "q_auc/high", "q_auc/n", "q_auc/positives"]);

    let (shown, solved) = with(&["solve", "9: 4 5 7", "--decoding", "mcts:8"]);
    let (table, last) = shown.trim_end().rsplit_once('\n').unwrap();
    let (columns, steps) = ([("Q", &["q"][..])], solved[0]["steps"].as_array().unwrap());
    if !steps.is_empty() {
        agree_in_table(table, steps, &columns);
    }
    agree(last.rsplit_once("), ").unwrap().1, &solved[0], &["tokens"]);

    fs::copy(TINY, path("tiny.toml")).unwrap();
    let (file, out) = (path("ablation.toml"), path("ablation"));
    fs::write(
        &file,
        "name = \"a\"\nrecipe = \"tiny.toml\"\nproblems = 6\nseeds = 2\n[grid]\ndecoding = [\"greedy\", \"mcts:4\"]\n",
    )
    .unwrap();
    let ablate = ["ablate", text(&file), "--out", text(&out)];
    let (table, cells) = both(&[&ablate[..], &net].concat());
    agree_in_table(&table, &cells, &ACCURACY);
    assert_eq!(fs::read_to_string(out.join("table.txt")).unwrap().trim_end(), table.trim_end());

    let paths = path("paths.jsonl");
    let row = json!({"id": "a", "steps": ["x = 1", "x"], "cpython": [{"outcome": "ok", "observation": ""}, {"outcome": "ok", "observation": "9"}]});
    fs::write(&paths, format!("{row}\n")).unwrap();
    let (shown, steps) = both(&["execute", "--executor", "embedded", "--paths", text(&paths)]);
    let differing = steps.iter().find(|step| step["agrees"] == false).unwrap();
    agree(shown.split_once(": ok").unwrap().0, differing, &["step"]);

    let graded = path("graded.jsonl");
    fs::write(
        &graded,
        "\n{\"gold\": \"1\", \"pred\": \"1\"}\n{\"gold\": \"1\", \"pred\": \"2\"}\n",
    )
    .unwrap();
    let (lines, verdicts) = both(&["grade", text(&graded)]);
    for (line, verdict) in lines.lines().zip(&verdicts) {
        agree(line, verdict, &["line"]);
    }
    let data = path("rows.jsonl");
    fs::write(&data, "{\"question\": \"1 + 1?\", \"answer\": \"2\"}\n".repeat(3)).unwrap();
    let (report, object) = both(&["data", "generic", text(&data), "--deduplicate"]);
    let counts = json!({ "rows": object[0]["rows"], "problems": object[0]["problems"],
        "duplicates": object[0]["duplicates"].as_array().unwrap().len() });
    agree(report.lines().next().unwrap(), &counts, &["rows", "problems", "duplicates"]);

    let (lines, object) = both(&["run", "--config", TINY, "--dry-run"]);
    let dry = |name: &str, keys: &[&str]| {
        let line = lines.lines().rfind(|line| line.starts_with(name)).unwrap();
        agree(line, &object[0], keys);
    };
    dry("problems", &["problems/found"]);
    let steps = ["search/samples", "search/max_step_tokens", "search/slots"];
    let search = ["search/contexts", "search/context/0", "search/context/1"];
    dry("search", &[search, steps].concat());
    dry("training", &["training/tokens", "training/longest/0", "training/longest/1"]);
    let sizes = ["disk", "disk_checkpoints", "disk_trees"].map(|key| {
        let mib = object[0]["footprint"][key].as_f64().unwrap() / f64::from(1 << 20);
        if mib < 1024.0 { mib } else { mib / 1024.0 }
    });
    check(lines.lines().find(|line| line.starts_with("disk")).unwrap(), &sizes, "disk");
}
