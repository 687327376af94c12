//! Process reward models by the command line: what they say of written solutions, of states in a search and of labels.

use std::fs;
use std::path::Path;

use espalier::training::Tokenizer;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::completions::stub::{Reply, Stub};
use crate::program::{TINY, fail, run, text, tiny_run};

/// A tiny model in a published layout, with its tokenizer's files, and what its makers' reader says of some solutions.
fn model(name: &str) -> (TempDir, Vec<Value>) {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/reward");
    let read = |path: &Path| serde_json::from_slice::<Value>(&fs::read(path).unwrap()).unwrap();
    let reference = read(&data.join(name).join("reference.json"));
    let tokenizer = data.join("tokenizers").join(reference["tokenizer"].as_str().unwrap());
    let folder = tempfile::tempdir().unwrap();
    for from in [data.join(name), tokenizer] {
        for file in fs::read_dir(from).unwrap().map(Result::unwrap) {
            fs::copy(file.path(), folder.path().join(file.file_name())).unwrap();
        }
    }
    (folder, reference["solutions"].as_array().unwrap().clone())
}

/// The values that are 2 p - 1 of the reference's probabilities.
fn values(solution: &Value) -> Vec<f64> {
    let p = solution["p"].as_array().unwrap();
    p.iter().map(|p| 2.0 * p.as_f64().unwrap() - 1.0).collect()
}

fn near(found: &Value, expected: &[f64]) {
    let found: Vec<f64> = serde_json::from_value(found.clone()).unwrap();
    let close = found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 2e-5);
    assert!(found.len() == expected.len() && close, "{found:?} {expected:?}");
}

fn write(path: &Path, rows: impl IntoIterator<Item = Value>) {
    let lines: Vec<String> = rows.into_iter().map(|row| format!("{row}\n")).collect();
    fs::write(path, lines.concat()).unwrap();
}

fn rows(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What `score` says of solutions with these settings.
fn score(folder: &Path, solutions: &[Value], arguments: &[&str]) -> Vec<Value> {
    let file = folder.join("solutions.jsonl");
    write(
        &file,
        solutions.iter().map(|row| json!({ "question": row["question"], "steps": row["steps"] })),
    );
    rows(&run(&[&["score", text(&file), "--json"], arguments].concat()))
}

#[test]
fn written_solutions_are_judged_without_a_policy() {
    let (folder, solutions) = model("trl");
    let path = |name: &str| folder.path().join(name);
    let by = ["--verifier", text(folder.path()), "--form", "trl"];
    for (row, solution) in score(folder.path(), &solutions, &by).iter().zip(&solutions) {
        assert_eq!(row["schema"], "espalier.step_values/1");
        near(&row["values"], &values(solution));
    }

    let process = solutions.iter().enumerate().map(|(index, solution)| {
        json!({
            "id": format!("s-{index}"), "generator": "hand", "problem": solution["question"], "steps": solution["steps"],
            "final_answer_correct": index == 0, "label": if index == 0 { -1 } else { 0 },
        })
    });
    write(&path("process.jsonl"), process);
    let out = path("out.jsonl");
    let file = path("process.jsonl");
    let judge = ["evaluate", "process", text(&file), "--threshold", "-0.6", "--out", text(&out)];
    run(&[&judge[..], &by].concat());
    for (row, solution) in rows(&fs::read_to_string(&out).unwrap()).iter().zip(&solutions) {
        near(&row["values"], &values(solution));
        let first = values(solution).iter().position(|value| *value < -0.6);
        assert_eq!(row["prediction"], first.map_or(json!(-1), |first| json!(first)));
    }
    let error = fail(&[&judge[..], &by, &["--prompt", "{question}"]].concat(), 2);
    assert!(error.contains("--prompt") && error.contains("form"), "{error}");

    // A sample's steps are its lines.
    let sample = |solution: &Value| {
        let steps: Vec<&str> =
            solution["steps"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        json!({ "text": format!("{}\n", steps.join("\n")), "answer": "7" })
    };
    let samples = json!({ "question": solutions[0]["question"], "answer": "7", "samples": [sample(&solutions[0])] });
    let file = path("samples.jsonl");
    write(&file, [samples]);
    run(&[&["evaluate", "votes", text(&file), "--out", text(&out)], &by[..]].concat());
    let voted = &rows(&fs::read_to_string(&out).unwrap())[0]["samples"][0]["score"];
    near(&json!([voted]), &values(&solutions[0])[1..]);

    // The steps' numbers are each step's own, a sample's the least of them.
    let (folder, solutions) = model("math-shepherd");
    let by = ["--verifier", text(folder.path()), "--form", "math-shepherd"];
    for (row, solution) in score(folder.path(), &solutions, &by).iter().zip(&solutions) {
        near(&row["values"], &values(solution));
    }
    let samples = json!({ "question": solutions[1]["question"], "answer": "7", "samples": [sample(&solutions[1])] });
    write(&file, [samples]);
    let divided = ["--step-delimiter", "\\n"];
    run(&[&["evaluate", "votes", text(&file), "--out", text(&out)], &by[..], &divided].concat());
    let voted = &rows(&fs::read_to_string(&out).unwrap())[0]["samples"][0]["score"];
    assert!((voted.as_f64().unwrap() - (2.0 * 0.016_036_2 - 1.0)).abs() < 1e-4, "{voted}");
}

#[test]
fn faults_of_the_command_line_are_named() {
    let (folder, solutions) = model("trl");
    write(&folder.path().join("s.jsonl"), solutions);
    let file = folder.path().join("s.jsonl");
    let file = text(&file);
    let error = fail(&["score", file, "--verifier", text(folder.path())], 2);
    assert!(error.contains("--form"), "{error}");
    let error = fail(&["score", file], 2);
    assert!(error.contains("--checkpoint") && error.contains("--verifier"), "{error}");
    let error = fail(&["score", file, "--verifier", "nowhere", "--form", "trl"], 3);
    assert!(error.contains("nowhere"), "{error}");
    let by = ["--verifier", text(folder.path()), "--form", "skywork-o1"];
    let error = fail(&[&["score", file], &by[..]].concat(), 2);
    assert!(error.contains("2 numbers") && error.contains("classes"), "{error}");
    let own = [
        "score",
        file,
        "--set",
        "policy.value.kind=prm",
        "--set",
        "policy.value.path=x",
        "--set",
        "policy.value.form.prompt=\"\"",
    ];
    let error = fail(&own, 2);
    assert!(error.contains("value.form") && error.contains("math-shepherd"), "{error}");
    let uniform = ["solve", "26: 3 5 7", "--set", "policy.kind=uniform"];
    let error = fail(&[&uniform[..], &by].concat(), 2);
    assert!(error.contains("reward model"), "{error}");
}

#[test]
fn states_and_labels_are_valued_as_written_solutions_are() {
    let (folder, _) = model("trl");
    let by = ["--verifier", text(folder.path()), "--form", "trl"];
    // A policy whose second step solves the problem.
    let server = Stub::start(|received| {
        let lines = received.body["prompt"].as_str().unwrap().lines().count();
        let step = ["3*7", "1*21"][lines.min(2) - 1];
        let choice = |index: u64| json!({ "index": index, "text": step, "finish_reason": "stop", "logprobs": { "token_logprobs": [-0.5] } });
        let choices: Vec<Value> = (0..received.body["n"].as_u64().unwrap()).map(choice).collect();
        Reply::Http(200, &[], json!({ "choices": choices }).to_string())
    });
    let url = format!("policy.url={}", server.url());
    let solve = [
        "solve",
        "21: 1 3 7",
        "--decoding",
        "sbs:1x2",
        "--json",
        "--config",
        TINY,
        "--set",
        "policy.kind=completions",
        "--set",
        "policy.model=stub",
        "--set",
        &url,
    ];
    let solved = &rows(&run(&[&solve[..], &by].concat()))[0];
    assert_eq!(solved["answer"], "21", "{solved}");
    let steps = solved["steps"].as_array().unwrap();
    let written = |step: &Value| {
        let part = |key: &str| step[key].as_str().unwrap().to_owned();
        json!((part("action") + &part("observation")).trim())
    };
    // In a search the question is the context's first line.
    let solution = json!({
        "question": "21:1 3 7", "steps": steps.iter().map(written).collect::<Vec<_>>(),
    });
    let scored = &score(folder.path(), &[solution], &by)[0]["values"];
    near(&json!(scored.as_array().unwrap()[..1]), &[steps[0]["value"].as_f64().unwrap()]);

    // A model of other opinions than that all is wrong, as the labels of so young a net are.
    let (judge, _) = model("reasonflux-prm");
    let by = ["--verifier", text(judge.path()), "--form", "reasonflux-prm"];
    let run_dir = tiny_run(folder.path(), &["rounds.count=1", "bootstrap.lines=300"]);
    let trees = run_dir.join("rounds/1/trees.jsonl");
    let labels = folder.path().join("labels.jsonl");
    let harvest =
        ["harvest", "--trees", text(&trees), "--out", text(&labels), "--config", TINY, "--json"];
    let summary = &rows(&run(&[&harvest[..], &by].concat()))[0];
    let labelled = rows(&fs::read_to_string(&labels).unwrap());
    let grown = rows(&fs::read_to_string(&trees).unwrap());
    let (mut judged, mut agreed) = (0, 0);
    for solution in labelled.iter().take(20) {
        let steps = solution["steps"].as_array().unwrap();
        let tree = grown.iter().find(|tree| tree["problem"] == solution["problem_id"]).unwrap();
        let question = &tree["question"];
        let solution = json!({
            "question": question, "steps": steps.iter().map(written).collect::<Vec<_>>(),
        });
        let values = score(folder.path(), &[solution], &by)[0]["values"].clone();
        for (step, value) in steps.iter().zip(values.as_array().unwrap()) {
            let same = (step["q"].as_f64().unwrap() >= 0.0) == (value.as_f64().unwrap() >= 0.0);
            assert_eq!(step["agreed"], same, "{step} {value}");
            assert_eq!(step["weight"], if same { Value::Null } else { json!(0.0) });
        }
    }
    for step in labelled.iter().flat_map(|row| row["steps"].as_array().unwrap()) {
        judged += 1;
        agreed += usize::from(step["agreed"] == true);
    }
    assert_eq!((&summary["judged"], &summary["agreed"]), (&json!(judged), &json!(agreed)));
    assert!(agreed > 0 && agreed < judged, "{summary}");
    let trl = folder.path().join("trl.jsonl");
    run(&[&harvest[..], &by, &["--stepwise", text(&trl)]].concat());
    let completions = |rows: &[Value], key: &str| {
        rows.iter().map(|row| row[key].as_array().unwrap().len()).sum::<usize>()
    };
    let exported = rows(&fs::read_to_string(&trl).unwrap());
    assert!(completions(&exported, "completions") <= agreed, "{summary}");
}

#[test]
fn a_value_head_becomes_a_token_classifier() {
    let folder = tempfile::tempdir().unwrap();
    let run_dir = tiny_run(folder.path(), &["rounds.count=1", "bootstrap.lines=300"]);
    let (checkpoint, out) = (run_dir.join("rounds/1/checkpoint"), folder.path().join("classifier"));
    run(&["export", text(&checkpoint), "--out", text(&out)]);
    let config: Value =
        serde_json::from_slice(&fs::read(out.join("config.json")).unwrap()).unwrap();
    assert_eq!(config["architectures"], json!(["LlamaForTokenClassification"]));
    let file = folder.path().join("texts.jsonl");
    write(&file, [json!({ "context": "15:3 5\n", "text": "3*5=15\n" })]);
    let own = &rows(&run(&["score", text(&file), "--checkpoint", text(&checkpoint), "--json"]))[0];
    let path = format!("policy.value.path={:?}", text(&out));
    let by = [
        "--set",
        "policy.value.kind=prm",
        "--set",
        &path,
        "--set",
        "policy.value.form.preset=trl-joined",
        "--set",
        "policy.value.form.prompt=\"{question}\\n\"",
        "--set",
        "policy.value.form.tag=\"\\n\"",
    ];
    let solution = json!({ "question": "15:3 5", "steps": ["3*5=15"] });
    let read = &score(folder.path(), &[solution], &by)[0]["values"];
    near(read, &[own["value"].as_f64().unwrap()]);
}

#[test]
fn a_served_model_is_asked_with_the_whole_tagged_text() {
    // Rows of logits whose softmax is the reference's p; one row for each tag, as vLLM's step pooling gives them.
    let answer = |p: f64, good_first: bool| {
        let logit = (p / (1.0 - p)).ln();
        let row = if good_first { [logit, 0.0] } else { [0.0, logit] };
        json!({ "object": "list", "data": [{ "index": 0, "object": "pooling", "data": [[9.0, 0.0], row] }] })
    };
    let known = |solutions: &[Value], write: &dyn Fn(&str, &[&str]) -> Value| {
        let mut known = Vec::new();
        for solution in solutions {
            let steps: Vec<&str> =
                solution["steps"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
            for (count, p) in (1..).zip(solution["p"].as_array().unwrap()) {
                let question = solution["question"].as_str().unwrap();
                known.push((write(question, &steps[..count]), p.as_f64().unwrap()));
            }
        }
        known
    };
    let serve = |known: Vec<(Value, f64)>, good_first: bool| {
        Stub::start(move |received| {
            let input = &received.body["input"];
            let fits = received.body["task"] == "token_classify"
                && received.body["use_activation"] == false
                && received.body["model"] == "prm";
            match known.iter().find(|(known, _)| known == input && fits) {
                Some((_, p)) => Reply::Http(200, &[], answer(*p, good_first).to_string()),
                None => Reply::Http(400, &[], json!({ "unknown": received.body }).to_string()),
            }
        })
    };
    let ask = |folder: &Path, solutions: &[Value], stub: &Stub, settings: &[&str]| {
        let url = format!("policy.value.url={:?}", stub.url());
        let set =
            ["--set", "policy.value.kind=prm", "--set", &url, "--set", "policy.value.model=prm"];
        let scored = score(folder, solutions, &[&set[..], settings].concat());
        scored
            .iter()
            .zip(solutions)
            .for_each(|(row, solution)| near(&row["values"], &values(solution)));
    };

    let (folder, solutions) = model("qwen2.5-math-prm");
    let tokenizer = Tokenizer::load(folder.path()).unwrap();
    let chat = |question: &str, steps: &[&str]| {
        let system = "Please reason step by step, and put your final answer within \\boxed{}.";
        let text = format!(
            "<|im_start|>system\n{system}<|im_end|>\n<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n{}<extra_0>",
            steps.join("<extra_0>")
        );
        json!(tokenizer.encode(&text).unwrap())
    };
    let stub = serve(known(&solutions, &chat), false);
    let path = format!("policy.value.path={:?}", text(folder.path()));
    let form = ["--set", "policy.value.form.preset=qwen2.5-math-prm", "--set", &path];
    ask(folder.path(), &solutions, &stub, &form);

    // Without the tokenizer a text is sent, and the words' logits come good first.
    let (folder, solutions) = model("math-shepherd");
    let plain = |question: &str, steps: &[&str]| {
        let steps: Vec<String> =
            (1..).zip(steps).map(|(n, step)| format!("Step {n}: {step} ки")).collect();
        json!(format!("{question} {}", steps.join("\n")))
    };
    let stub = serve(known(&solutions, &plain), true);
    ask(folder.path(), &solutions, &stub, &["--set", "policy.value.form.preset=math-shepherd"]);

    let url = format!("policy.value.url={:?}", stub.url());
    let file = folder.path().join("solutions.jsonl");
    let set = [
        "score",
        text(&file),
        "--set",
        "policy.value.kind=prm",
        "--set",
        &url,
        "--set",
        "policy.value.model=prm",
    ];
    let error = fail(&[&set[..], &["--set", "policy.value.form.preset=trl"]].concat(), 2);
    assert!(error.contains("value.path") && error.contains("tokenizer"), "{error}");
    let error = fail(&[&set[..], &["--set", "policy.value.form.preset=easy-to-hard"]].concat(), 2);
    assert!(error.contains("value.form.head.kind") && error.contains("served"), "{error}");
}
