//! The command line: what scripts rely on, and what bad input is answered with.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::program::{TINY, espalier, fail, run, text, tiny_run};

fn rows(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn every_command_explains_itself() {
    let help = run(&["--help"]);
    for command in [
        "run",
        "recipe",
        "generate",
        "data",
        "pretrain",
        "search",
        "harvest",
        "train",
        "evaluate",
        "solve",
        "score",
        "report",
        "ablate",
        "bench",
        "tune",
        "watch",
        "inspect",
        "import",
        "execute",
        "export",
        "push",
        "grade",
        "upgrade",
        "quality",
        "compare",
        "completions",
        "manual",
    ] {
        assert!(help.contains(command), "{command}");
        assert!(run(&[command, "--help"]).contains("Usage"), "{command}");
    }
}

#[test]
fn a_recipe_is_printed_whole_and_what_is_printed_is_a_recipe() {
    let folder = tempfile::tempdir().unwrap();
    let whole = run(&["recipe", "--config", TINY, "--set", "search.c_puct=2.5"]);
    let copy = folder.path().join("copy.toml");
    fs::write(&copy, &whole).unwrap();
    assert_eq!(run(&["recipe", "--config", text(&copy)]), whole);
    assert!(whole.contains("c_puct = 2.5") && whole.contains("keep_tokens = false"), "{whole}");
    let settings = run(&["recipe", "--settings"]);
    assert!(settings.contains("| `c_puct` | `1.5` |"), "{settings}");
    let rows = rows(&run(&["recipe", "--settings", "--json"]));
    assert_eq!(rows.len(), settings.lines().filter(|line| line.starts_with("| `")).count());
}

#[test]
fn the_stages_chain_by_files_and_print_what_scripts_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (problems, base) = (path("problems.jsonl"), path("base"));
    let tiny = ["--config", TINY];
    let with = |arguments: &[&str]| run(&[arguments, &tiny].concat());

    with(&["generate", "--split", "train", "--count", "30", "--out", text(&problems)]);
    assert_eq!(rows(&fs::read_to_string(&problems).unwrap()).len(), 30);
    let small = ["--set", "bootstrap.lines=300"];
    with(&[&["pretrain", "--out", text(&base)][..], &small].concat());
    let trees = path("trees.jsonl");
    let search = ["search", "--checkpoint", text(&base), "--problems", text(&problems)];
    let summary = with(&[&search[..], &["--out", text(&trees), "--json"]].concat());
    let summary = &rows(&summary)[0];
    assert_eq!(summary["problems"], 30);
    assert_eq!(summary["inference"]["prefix_tokens_recomputed"], 0);
    assert!(summary["inference"]["prefix_tokens_reused"].as_u64().unwrap() > 0);
    let tree = &rows(&fs::read_to_string(&trees).unwrap())[0];
    assert!(tree["react"]["0"]["visit_count"].as_u64().unwrap() > 0);

    let (labels, stepwise) = (path("labels.jsonl"), path("stepwise.jsonl"));
    let harvest = ["harvest", "--trees", text(&trees), "--out", text(&labels), "--json"];
    let summary = with(&[&harvest[..], &["--stepwise", text(&stepwise)]].concat());
    let solutions = rows(&fs::read_to_string(&labels).unwrap());
    assert_eq!(rows(&summary)[0]["schema"], "espalier.harvest/1");
    assert_eq!(
        rows(&summary)[0]["correct"].as_u64().unwrap()
            + rows(&summary)[0]["incorrect"].as_u64().unwrap(),
        solutions.len() as u64
    );
    for (solution, row) in solutions.iter().zip(rows(&fs::read_to_string(&stepwise).unwrap())) {
        let steps = solution["steps"].as_array().unwrap();
        let last = steps.last().unwrap()["q"].as_f64().unwrap();
        assert_eq!(last, if solution["correct"] == true { 1.0 } else { -1.0 });
        assert_eq!(row["labels"].as_array().unwrap().len(), steps.len());
        assert_eq!(row["labels"].as_array().unwrap().last().unwrap(), &solution["correct"]);
    }

    let trained = path("trained");
    let train = ["train", "--checkpoint", text(&base), "--labels", text(&labels), "--json"];
    let summary =
        with(&[&train[..], &["--out", text(&trained), "--set", "training.epochs=1"]].concat());
    assert_eq!(rows(&summary)[0]["value_solutions"], solutions.len());
    let report = &rows(&summary)[0]["report"];
    assert!(report["padding"].as_f64().unwrap() <= 0.05, "{report}");
    let small = ["training.micro_batch_tokens=64", "training.activation_checkpointing=true"];
    let small = small.iter().flat_map(|setting| ["--set", *setting]).collect::<Vec<_>>();
    let (again, epochs) = (path("small passes"), ["--set", "training.epochs=1"]);
    let again = [&train[..], &["--out", text(&again)], &epochs, &small].concat();
    let again = &rows(&with(&again))[0]["report"];
    assert_eq!((&again["steps"], &again["tokens"]), (&report["steps"], &report["tokens"]));

    let evaluate = [
        "evaluate",
        "--checkpoint",
        text(&trained),
        "--problems",
        text(&problems),
        "--decoding",
        "greedy,maj@5,sbs:1x5,sbs:3x5,mcts:10",
        "--seeds",
        "2",
        "--json",
    ];
    let results = rows(&with(&evaluate));
    assert_eq!(results.len(), 5);
    for result in &results {
        assert_eq!((&result["n"], &result["seeds"]), (&30.into(), &2.into()), "{result}");
        let number =
            |key: &str| result[key].as_f64().unwrap_or_else(|| panic!("{key} in {result}"));
        assert!(number("low") <= number("accuracy") && number("accuracy") <= number("high"));
        assert!(number("tokens_per_problem") > 0.0 && number("seconds") > 0.0);
        assert_eq!(result["schema"], "espalier.accuracy/1");
    }

    let solve = ["solve", "9: 4 5", "--checkpoint", text(&trained), "--json"];
    let solution = &rows(&with(&solve))[0];
    assert!(solution["steps"].is_array() && solution["decoding"] == "mcts:40");

    let texts = path("texts.jsonl");
    let row = |text: &str| serde_json::json!({ "context": "9:4 5\n", "text": text }).to_string();
    fs::write(&texts, [row("4+5="), row("4")].join("\n")).unwrap();
    let scored = rows(&with(&["score", text(&texts), "--checkpoint", text(&trained), "--json"]));
    let sum = |row: &Value| -> f64 {
        row["log_probs"].as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).sum()
    };
    assert_eq!((&scored[0]["tokens"], &scored[1]["tokens"]), (&4.into(), &1.into()));
    assert_eq!(sum(&scored[0]), scored[0]["log_prob"].as_f64().unwrap());
    assert_eq!(scored[0]["log_probs"][0], scored[1]["log_probs"][0]);
}

#[test]
fn the_same_seed_gives_the_same_trees_whatever_the_machine_does() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (problems, base) = (path("problems.jsonl"), path("base"));
    run(&["generate", "--config", TINY, "--count", "20", "--out", text(&problems)]);
    let pretrain = ["pretrain", "--config", TINY, "--set", "bootstrap.lines=200"];
    run(&[&pretrain[..], &["--out", text(&base)]].concat());
    let trees = |name: &str, compute: &[&str]| {
        let out = path(name);
        let search = ["search", "--config", TINY, "--checkpoint", text(&base)];
        let files = ["--problems", text(&problems), "--out", text(&out)];
        run(&[&search[..], &files, compute].concat());
        fs::read(out).unwrap()
    };
    let first = trees("first", &[]);
    assert!(first == trees("second", &[]));
    let alone = ["--threads", "1", "--set", "compute.concurrent_problems=1"];
    assert!(first == trees("alone", &alone), "the batch that a request is in changes its answer");
    assert!(first != trees("other", &["--seed", "4"]));
}

#[test]
fn a_continued_search_is_one_longer_search() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (problems, base) = (path("problems.jsonl"), path("base"));
    let three = ["--config", TINY, "--set", "problems.numbers=[3,3]"];
    run(&[&["generate", "--count", "12", "--out", text(&problems)][..], &three].concat());
    let pretrain = ["pretrain", "--set", "bootstrap.lines=200", "--out", text(&base)];
    run(&[&pretrain[..], &three].concat());
    let arguments = |simulations: &str, out: &str, more: &[&str]| -> Vec<String> {
        let simulations = format!("search.simulations={simulations}");
        let out = path(out);
        let search = ["search", "--checkpoint", text(&base), "--problems", text(&problems)];
        let set = ["--set", &simulations, "--out", text(&out)];
        [&search[..], &three, &set, more].concat().into_iter().map(str::to_owned).collect()
    };
    let search = |simulations: &str, out: &str, more: &[&str]| {
        let arguments = arguments(simulations, out, more);
        run(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let refuse = |simulations: &str, out: &str, more: &[&str], status: i32| {
        let arguments = arguments(simulations, out, more);
        fail(&arguments.iter().map(String::as_str).collect::<Vec<_>>(), status)
    };
    search("3", "short", &[]);
    search("6", "long", &[]);
    let short = path("short");
    search("6", "continued", &["--continue", text(&short)]);
    assert!(fs::read(path("continued")).unwrap() == fs::read(path("long")).unwrap());

    let (trees, damaged) = (fs::read_to_string(&short).unwrap(), path("damaged"));
    let count = trees.lines().count();
    fs::write(&damaged, trees.replacen("\"visit_count\":", "\"visit_count\":1", 1)).unwrap();
    let summary = search("6", "rest", &["--continue", text(&damaged), "--json"]);
    let failed = rows(&summary)[0]["failed"].as_object().unwrap().clone();
    assert_eq!(failed.len(), 1);
    let cause = failed.values().next().unwrap().as_str().unwrap();
    assert!(cause.contains("cannot be continued: node 0: grown again"), "{cause}");
    assert_eq!(fs::read_to_string(path("rest")).unwrap().lines().count(), count - 1);

    let foreign = path("foreign");
    fs::write(&foreign, format!("{trees}{{\"schema\": \"tree/9\"}}\n")).unwrap();
    let message = refuse("6", "other", &["--continue", text(&foreign)], 3);
    assert!(message.contains(&format!("foreign:{}", count + 1)), "{message}");
    assert!(message.contains("tree/9"), "{message}");
    let message = refuse("6", "short", &["--continue", text(&short)], 2);
    assert!(message.contains("another path"), "{message}");
}

#[test]
fn ablations_resume_by_cell_and_draw_what_they_measured() {
    let folder = tempfile::tempdir().unwrap();
    let run_dir = tiny_run(folder.path(), &["rounds.count=1", "bootstrap.lines=300"]);
    let file = folder.path().join("ablation.toml");
    fs::copy(TINY, folder.path().join("tiny.toml")).unwrap();
    let ablation = "name = \"a\"\nrecipe = \"tiny.toml\"\nproblems = 10\nseeds = 2\n\
        [grid]\nc_puct = [0.5, 2.0]\ndecoding = [\"mcts:2\", \"mcts:8\"]\n";
    fs::write(&file, ablation).unwrap();
    let (out, checkpoint) = (folder.path().join("out"), run_dir.join("rounds/1/checkpoint"));
    let arguments =
        ["ablate", text(&file), "--checkpoint", text(&checkpoint), "--out", text(&out), "--json"];
    let cells = rows(&run(&arguments));
    assert_eq!(cells.len(), 4);
    assert_eq!(cells[3]["settings"], serde_json::json!([["c_puct", 2.0], ["decoding", "mcts:8"]]));
    for name in ["table.txt", "table.md", "table.csv", "plot.svg", "manifest.json"] {
        assert!(fs::metadata(out.join(name)).unwrap().len() > 0, "{name}");
    }
    fs::remove_file(out.join("cells/2.json")).unwrap();
    let again = rows(&run(&arguments));
    for (before, after) in cells.iter().zip(&again) {
        assert_eq!(before["accuracy"], after["accuracy"]);
    }
    fs::write(&file, ablation.replace("seeds = 2", "seeds = 3")).unwrap();
    assert!(fail(&arguments, 2).contains("another ablation"));
    let rules = ablation.replace("c_puct = [0.5, 2.0]", "selection.rule = [\"puct\", \"gumbel\"]");
    fs::write(&file, rules.replace("name = \"a\"", "name = \"rules\"")).unwrap();
    let (ablate, json) = (["ablate", text(&file), "--checkpoint", text(&checkpoint)], "--json");
    let rules = folder.path().join("rules");
    let cells = rows(&run(&[&ablate[..], &["--out", text(&rules), json]].concat()));
    assert_eq!(cells[2]["settings"][0], serde_json::json!(["selection.rule", "gumbel"]));
    fs::write(&file, ablation.replace("c_puct", "c_pcut")).unwrap();
    assert!(fail(&arguments, 2).contains("did you mean `c_puct`"));
    fs::write(&file, ablation.replace("2.0]", "-2.0]")).unwrap();
    let message = fail(&arguments, 2);
    assert!(message.contains("[grid]: c_puct = -2.0, decoding = mcts:2"), "{message}");
}

#[test]
fn bench_prints_a_versioned_object_a_case() {
    let inference = ["bench", "inference", "--config", TINY, "--repetitions", "1", "--json"];
    let cases = rows(&run(&inference));
    for name in ["prefill", "decode", "search", "lockstep"] {
        assert!(cases.iter().any(|case| case["case"] == name));
    }
    for case in &cases {
        assert_eq!(case["schema"], "espalier.bench.inference/1");
        for key in ["tokens_per_second", "forward_share", "gemm_share"] {
            assert!(case[key].as_f64().unwrap() > 0.0, "{case}");
        }
        // Lock-step keeps nothing from one request to the next.
        if case["case"] != "lockstep" {
            assert_eq!(case["prefix_tokens_recomputed"], 0);
        }
    }
    let training = ["bench", "training", "--config", TINY, "--steps", "3", "--json"];
    let cases = rows(&run(&[&training[..], &["--example-tokens", "40"]].concat()));
    assert!(["equal", "mixed"].iter().all(|name| cases.iter().any(|case| case["case"] == **name)));
    for case in &cases {
        assert_eq!(case["schema"], "espalier.bench.training/1");
        assert_eq!((&case["example_tokens"], &case["batch_tokens"]), (&40.into(), &512.into()));
        let share = |key: &str| case[key].as_f64().unwrap();
        assert!(share("tokens_per_second") >= share("tokens_per_second_min"), "{case}");
        let shares = ["forward_share", "backward_share", "optimizer_share"].map(share);
        assert!(shares.iter().all(|&share| share > 0.0), "{case}");
        assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-9, "{case}");
        assert!(share("padding") <= 0.05 && (case["case"] == "mixed" || share("padding") == 0.0));
    }
}

#[test]
fn tune_says_what_it_tried_and_what_to_write() {
    let folder = tempfile::tempdir().unwrap();
    let net = folder.path().join("net");
    run(&["pretrain", "--config", TINY, "--out", text(&net)]);
    let tune = ["tune", "--config", TINY, "--checkpoint", text(&net), "--seconds", "0.1"];
    let tuned = &rows(&run(&[&tune[..], &["--json"]].concat()))[0];
    assert_eq!((&tuned["schema"], &tuned["unit"]), (&"espalier.tune/1".into(), &"tokens".into()));
    assert!(tuned["rates"][0].as_f64().unwrap() > 0.0);
    let trials = tuned["trials"].as_array().unwrap();
    for key in ["concurrent_problems", "slots", "kv_cache_megabytes"] {
        let mut best = tuned["before"][key].as_u64().unwrap();
        let of_key: Vec<_> = trials.iter().filter(|trial| trial["key"] == key).collect();
        assert!(!of_key.is_empty(), "{trials:?}");
        for trial in of_key {
            assert_eq!(trial["against"], best, "{trials:?}");
            if trial["taken"] == true {
                assert!(trial["speed"]["least"].as_f64().unwrap() > 1.0, "{trial}");
                best = trial["value"].as_u64().unwrap();
            }
        }
        assert_eq!(tuned["after"][key], best, "{trials:?}");
    }
    let [uniform, seconds] = ["policy={kind=\"uniform\"}", "--seconds"];
    let told = run(&["tune", "--config", TINY, "--set", uniform, seconds, "0.1"]);
    assert!(told.contains("states a second") && !told.contains("slots"), "{told}");
    assert!(fail(&["tune", "--config", TINY, "--seconds", "0"], 2).contains("--seconds 0"));
    assert!(fail(&["tune", "--config", TINY], 2).contains("--checkpoint"));
}

#[test]
fn bad_input_is_named_and_nothing_panics() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let absent = path("absent");
    let problems = path("problems.jsonl");
    run(&["generate", "--config", TINY, "--count", "5", "--out", text(&problems)]);

    assert!(fail(&["run", "--config", text(&absent)], 2).contains("cannot read recipe"));
    assert!(fail(&["run", "--set", "search.c_pcut=1"], 2).contains("did you mean `c_puct`?"));
    assert!(fail(&["run", "--set", "training.learning_rate=-1"], 2).contains("learning_rate"));
    let half = ["run", "--set", "training.precision=float16"];
    assert!(fail(&half, 2).contains("loss scaled"));
    assert!(fail(&["run", "--set", "net.heads=3"], 2).contains("heads"));
    let message = fail(&["run", "--set", "search.samples=many"], 2);
    let expected = "search.samples = \"many\": it must be a whole number, 0 or more";
    assert!(message.contains(expected), "{message}");
    assert!(fail(&["run", "--set", "evaluation.decode.samples=0"], 2).contains("samples"));
    let off_policy = ["run", "--set", "objective={kind=\"grpo\"}"];
    for command in [&off_policy[..], &[&off_policy[..], &["--dry-run"]].concat()] {
        let message = fail(command, 2);
        assert!(
            message.contains("\"grpo\"") && message.contains("search.keep_tokens"),
            "{message}"
        );
    }
    assert!(fail(&["evaluate", "--decoding", "beam:3"], 2).contains("sbs:B1xB2"));
    let twice = ["evaluate", "--config", TINY, "--problems", text(&problems), "--decoding"];
    let message = fail(&[&twice[..], &["maj@5,greedy,maj@5"]].concat(), 2);
    assert!(message.contains("--decoding: maj@5 is listed twice"), "{message}");
    fail(&["no-such-command"], 2);

    let evaluate = |checkpoint: &str, problems: &str| {
        fail(&["evaluate", "--config", TINY, "--checkpoint", checkpoint, "--problems", problems], 3)
    };
    assert!(evaluate(text(&absent), text(&problems)).contains("absent"));
    assert!(evaluate(text(&absent), text(&absent)).contains("cannot read"));
    let malformed = path("malformed.jsonl");
    let mut text_of = fs::read_to_string(&problems).unwrap();
    text_of.push_str("{\"id\": \"x\"\n");
    fs::write(&malformed, &text_of).unwrap();
    assert!(evaluate(text(&absent), text(&malformed)).contains("malformed.jsonl:6:"));
    let empty = path("empty.jsonl");
    fs::write(&empty, "").unwrap();
    assert!(evaluate(text(&absent), text(&empty)).contains("holds no problems"));

    let base = path("base");
    let pretrain = ["pretrain", "--config", TINY, "--set", "bootstrap.lines=50"];
    run(&[&pretrain[..], &["--out", text(&base)]].concat());
    assert!(
        fail(&["solve", "3 5 7", "--config", TINY, "--checkpoint", text(&base)], 2)
            .contains("TARGET: NUMBER")
    );
    let damaged = path("damaged");
    fs::create_dir(&damaged).unwrap();
    for entry in fs::read_dir(&base).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), damaged.join(entry.file_name())).unwrap();
    }
    let model = damaged.join("model.safetensors");
    let mut bytes = fs::read(&model).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&model, bytes).unwrap();
    assert!(evaluate(text(&damaged), text(&problems)).contains("model.safetensors"));

    let labels = path("labels.jsonl");
    fs::write(&labels, "").unwrap();
    let train = ["train", "--config", TINY, "--checkpoint", text(&base), "--labels", text(&labels)];
    let out = path("out");
    assert!(
        fail(&[&train[..], &["--out", text(&out)]].concat(), 3).contains("no labelled solutions")
    );
    let harvest = ["harvest", "--trees", text(&empty), "--out", text(&out)];
    assert!(fail(&harvest, 3).contains("holds no trees"));
    fs::write(&labels, "{\"context\": \"9:4 5\", \"text\": \"\"}\n").unwrap();
    let score = ["score", text(&labels), "--checkpoint", text(&base)];
    let error = fail(&score, 3);
    assert!(error.contains("labels.jsonl, line 1") && error.contains("the text is empty"));
    assert!(fail(&["report", text(&absent)], 2).contains("no evaluated round"));
}

#[test]
fn an_error_tells_its_cause_once_and_logs_are_plain_where_no_terminal_is() {
    let folder = tempfile::tempdir().unwrap();
    let absent = folder.path().join("absent");
    let (absent, out) = (text(&absent), folder.path().join("out"));
    for arguments in [
        &["evaluate", "--checkpoint", absent, "--problems", absent][..],
        &["search", "--checkpoint", absent, "--problems", absent, "--out", text(&out)],
        &["harvest", "--trees", absent, "--out", text(&out)],
        &["train", "--checkpoint", absent, "--labels", absent, "--out", text(&out)],
        &["solve", "26: 3 5 7", "--checkpoint", absent],
        &["score", absent, "--checkpoint", absent],
        &["quality", "--labels", absent, "--problems", absent],
        &["grade", absent],
        &["compare", absent, "--base", absent],
        &["inspect", "tree", absent],
        &["import", absent, "--out", text(&out)],
        &["execute", absent],
        &["export", absent, "--out", "x"],
        &["recipe", "--config", absent],
        &["ablate", absent],
        &["upgrade", absent],
        &["evaluate", "process", absent, "--threshold", "0"],
        &["evaluate", "votes", absent],
    ] {
        let output = espalier(arguments).output().unwrap();
        let message = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && message.contains("absent"), "{arguments:?}: {message}");
        let told = message.matches("No such file").count();
        assert!(told <= 1, "{arguments:?}: {message}");
        assert!(!message.contains('\u{1b}'), "{arguments:?}: {message:?}");
    }
    let none = ["--config", TINY, "--set", "rounds.count=0", "--set", "bootstrap.lines=50"];
    let round = [&["run", "--run-dir", text(&out)][..], &none].concat();
    let log = String::from_utf8(espalier(&round).output().unwrap().stderr).unwrap();
    let first = log.lines().next().expect("a log");
    assert!(first.starts_with("0:00:0") && !log.contains('\u{1b}'), "{first:?}");
}

#[test]
fn shells_and_man_know_every_command() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = run(&["completions", shell]);
        assert!(script.contains("without") || script.contains("run-dir"), "{shell}");
        assert!(!script.contains("code-worker\n"), "{shell}");
    }
    let folder = tempfile::tempdir().unwrap();
    let pages = folder.path().join("man1");
    assert_eq!(run(&["manual", "--out", text(&pages)]), "");
    for (page, part) in [
        ("espalier.1", "espalier\\-run"),
        ("espalier-run.1", "run\\-dir"),
        ("espalier-evaluate-process.1", "threshold"),
        ("espalier-inspect-tree.1", "espalier\\-inspect\\-tree"),
    ] {
        let page = pages.join(page);
        let source = fs::read_to_string(&page).unwrap_or_else(|error| panic!("{page:?}: {error}"));
        assert!(source.contains(".TH") && source.contains(part), "{page:?}: {source}");
    }
    assert!(!pages.join("espalier-code-worker.1").exists());
}

#[test]
fn a_gguf_file_becomes_a_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("net");
    let file = "training/tests/fixtures/gguf/llama/model.gguf";
    let summary = run(&["import", file, "--out", text(&out), "--dtype", "bfloat16", "--json"]);
    assert_eq!(rows(&summary)[0]["model_type"], "llama");
    let config: Value =
        serde_json::from_slice(&fs::read(out.join("config.json")).unwrap()).unwrap();
    assert_eq!(config["torch_dtype"], "bfloat16");
    let message = fail(&["import", "Cargo.toml", "--out", text(&out)], 3);
    assert!(message.contains("Cargo.toml: not a GGUF file"), "{message}");
}

#[test]
fn an_adapter_is_read_with_the_base_that_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let (adapter, net, file) = (at("adapter"), at("net"), at("texts.jsonl"));
    fs::create_dir(&adapter).unwrap();
    let source = Path::new("training/tests/fixtures/adapters/lora");
    let config = fs::read_to_string(source.join("adapter_config.json")).unwrap();
    let config = config.replace("../../models/llama", "org/model-7B");
    fs::write(adapter.join("adapter_config.json"), config).unwrap();
    let tensors = "adapter_model.safetensors";
    fs::copy(source.join(tensors), adapter.join(tensors)).unwrap();
    fs::write(&file, "{\"context\": \"Add 3\", \"text\": \" and 4\"}\n").unwrap();
    let base = "training/tests/fixtures/models/llama";
    let score =
        ["score", text(&file), "--set", "policy.max_step_tokens=8", "--json", "--checkpoint"];
    let message = fail(&[&score[..], &[text(&adapter)]].concat(), 3);
    assert!(message.contains("org/model-7B") && message.contains("--base"), "{message}");
    let beside = run(&[&score[..], &[text(&adapter), "--base", base]].concat());
    run(&["import", text(&adapter), "--base", base, "--out", text(&net)]);
    assert_eq!(run(&[&score[..], &[text(&net)]].concat()), beside);
    assert_ne!(run(&[&score[..], &[base]].concat()), beside);

    let message = fail(&["import", text(&adapter), "--base", base, "--out", text(&adapter)], 2);
    assert!(message.contains("--out"), "{message}");
    let message = fail(&["evaluate", "--problems", text(&file), "--base", base], 2);
    assert!(message.contains("--checkpoint"), "{message}");
}

#[test]
fn a_closed_pipe_is_no_failure() {
    use std::process::Stdio;
    let mut child = espalier(&["generate", "--config", TINY, "--count", "300"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_gpu_that_is_not_there_is_refused_before_anything_is_computed() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (run_dir, problems, out) = (path("run"), path("problems.jsonl"), path("trees.jsonl"));
    run(&["generate", "--config", TINY, "--count", "2", "--out", text(&problems)]);
    let checkpoint = ["--checkpoint", "a-checkpoint-that-nobody-opens"];
    let of_problems = ["--problems", text(&problems)];
    // No machine has so many.
    let far = ["--config", TINY, "--set", "compute.device=cuda:255"];
    for command in [
        &["run", "--run-dir", text(&run_dir)][..],
        &[&["search", "--out", text(&out)][..], &checkpoint, &of_problems].concat(),
        &[&["evaluate", "--decoding", "greedy"][..], &checkpoint, &of_problems].concat(),
        &[&["solve", "9: 4 5"][..], &checkpoint].concat(),
        &["bench", "inference"],
        &[&["tune"][..], &checkpoint].concat(),
    ] {
        let message = fail(&[command, &far].concat(), 2);
        assert!(message.contains("compute.device: \"cuda:255\""), "{message}");
    }
    assert!(!run_dir.exists() && !out.exists());
    let unknown = ["run", "--config", TINY, "--set", "compute.device=gpu"];
    let message = fail(&unknown, 2);
    assert!(message.contains("[compute.device]") && message.contains("\"cuda:N\""), "{message}");
}
