//! The program with a served policy.

use std::fs;

use serde_json::{Value, json};

use super::stub::{Reply, Stub, good};
use crate::program::{TINY, espalier, fail, run, text};

const SERVED: [&str; 4] = ["--set", "policy.kind=completions", "--set", "policy.model=stub"];

/// `21: 3 7`, which the step of [`good`] solves, as a file of problems.
const PROBLEM: &str = "{\"id\": \"p\", \"question\": \"Make 21 of 3 and 7.\", \"answer\": \"21\", \
    \"metadata\": {\"numbers\": [3, 7], \"target\": 21}}\n";

fn served(url: &str) -> Vec<String> {
    let own = ["--config", TINY, "--set", &format!("policy.url={url}")].map(str::to_owned);
    own.into_iter().chain(SERVED.map(str::to_owned)).collect()
}

fn with(arguments: &[&str], settings: &[String]) -> Vec<String> {
    arguments.iter().map(|&a| a.to_owned()).chain(settings.iter().cloned()).collect()
}

fn borrowed(arguments: &[String]) -> Vec<&str> {
    arguments.iter().map(String::as_str).collect()
}

#[test]
fn a_served_policy_searches_is_measured_and_solves_without_a_checkpoint() {
    let server = Stub::start(good);
    let settings = served(server.url());
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (problems, trees) = (path("problems.jsonl"), path("trees.jsonl"));
    fs::write(&problems, PROBLEM).unwrap();
    let json = |arguments: &[&str]| -> Value {
        let output = run(&borrowed(&with(arguments, &settings)));
        serde_json::from_str(output.lines().next().unwrap()).unwrap()
    };
    let search = ["search", "--problems", text(&problems), "--out", text(&trees), "--json"];
    let summary = json(&search);
    assert_eq!((&summary["solved"], &summary["problems"]), (&1.into(), &1.into()));
    let evaluate = ["evaluate", "--problems", text(&problems), "--decoding", "sbs:2x3", "--json"];
    assert_eq!(json(&evaluate)["accuracy"], 1.0);
    let solution = json(&["solve", "21: 3 7", "--json"]);
    assert_eq!((&solution["answer"], &solution["correct"]), (&"21".into(), &true.into()));
    let prior = solution["steps"][0]["prior"].as_f64().unwrap();
    assert!((prior - (-0.75f64 / 2.0).exp()).abs() < 1e-9, "{prior}");

    let ablation = path("ablation.toml");
    fs::copy(TINY, path("tiny.toml")).unwrap();
    let grid = "name = \"a\"\nrecipe = \"tiny.toml\"\nproblems = 3\nseeds = 1\n[grid]\nc_puct = [0.5, 2.0]\n";
    fs::write(&ablation, grid.replace("[grid]\n", "[grid]\ndecoding = [\"greedy\"]\n")).unwrap();
    let out = path("ablation");
    let ablate = ["ablate", text(&ablation), "--out", text(&out), "--json"];
    let url = format!("policy.url={}", server.url());
    run(&[&ablate[..], &SERVED, &["--set", &url]].concat());
    let manifest = fs::read_to_string(out.join("manifest.json")).unwrap();
    assert!(manifest.contains(&format!("stub at {}", server.url())), "{manifest}");
}

#[test]
fn word_problems_need_no_net_to_begin_with() {
    let server = Stub::start(|request| {
        let log_probs = json!({ "tokens": ["####", " 4"], "token_logprobs": [-0.5, -0.25] });
        let choice = json!({ "text": "#### 4", "finish_reason": "stop", "logprobs": log_probs });
        let n = request.body["n"].as_u64().unwrap() as usize;
        Reply::Http(200, &[], json!({ "choices": vec![choice; n] }).to_string())
    });
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let [recipe, problems, trees] = ["recipe.toml", "problems.jsonl", "trees.jsonl"].map(path);
    let problem = json!({ "id": "w", "question": "Ada has 2 and 2. How many?", "answer": "4" });
    fs::write(&problems, problem.to_string()).unwrap();
    let text_of = |bootstrap: &str| {
        format!(
            "name = \"served-words\"\n[policy]\nkind = \"completions\"\nurl = {:?}\nmodel = \"stub\"\n[environment]\n\
             kind = \"program\"\n[problems]\nkind = \"jsonl\"\npath = {problems:?}\n[search]\nsimulations = 3\n{bootstrap}",
            server.url()
        )
    };
    let search = ["search", "--config", text(&recipe), "--problems", text(&problems)];
    for bootstrap in
        ["", "[bootstrap]\nkind = \"checkpoint\"\n", "[bootstrap]\nkind = \"solutions\"\n"]
    {
        fs::write(&recipe, text_of(bootstrap)).unwrap();
        let summary = run(&[&search[..], &["--out", text(&trees), "--json"]].concat());
        let summary: Value = serde_json::from_str(summary.lines().next().unwrap()).unwrap();
        assert_eq!((&summary["solved"], &summary["failed"]), (&1.into(), &json!({})));
        let report = run(&["run", "--dry-run", "--json", "--config", text(&recipe)]);
        assert!(report.contains("\"net\":null"), "{report}");
    }
    // What makes a net still says what it lacks.
    let net = path("net");
    let pretrain = ["pretrain", "--config", text(&recipe), "--out", text(&net)];
    assert!(fail(&pretrain, 3).contains("[bootstrap] needs `path`"));
    let local = ["--set", "policy={kind=\"local\"}"];
    assert!(fail(&[&pretrain[..], &local].concat(), 2).contains("needs `path`"));
}

#[test]
fn log_probabilities_that_are_not_a_step_s_own_are_told_once() {
    // Every step of two numbers counts as seven tokens.
    let server = Stub::start(|request| {
        let Reply::Http(status, headers, body) = good(request) else { unreachable!() };
        let mut body: Value = serde_json::from_str(&body).unwrap();
        body["usage"] = json!({ "completion_tokens": 7 });
        Reply::Http(status, headers, body.to_string())
    });
    let solve = ["solve", "21: 3 7", "--decoding", "mcts:3", "--json"];
    let one = ["--set", "policy.samples_per_request=1"];
    let arguments = with(&[&solve[..], &one].concat(), &served(server.url()));
    let output = espalier(&borrowed(&arguments)).output().unwrap();
    let (solution, errors) = (output.stdout, String::from_utf8(output.stderr).unwrap());
    assert!(server.received().len() > 1 && output.status.success(), "{errors}");
    assert_eq!(errors.matches("2 log-probabilities for 7 tokens").count(), 1, "{errors}");
    let solution: Value = serde_json::from_slice(&solution).unwrap();
    assert_eq!(solution["steps"][0]["prior"], 1.0, "{solution}");
}

#[test]
fn a_log_of_another_policy_is_not_continued() {
    let server = Stub::start(good);
    let failing = Stub::start(|request| match request.number {
        // The first problem's tree is finished and logged; the second's search fails.
        _ if request.body["prompt"].as_str().unwrap().starts_with("21:") => good(request),
        _ => Reply::Http(400, &[], "refused".into()),
    });
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (problems, out) = (path("problems.jsonl"), path("evaluation.jsonl"));
    let second = PROBLEM.replace("\"p\"", "\"q\"").replace("21", "10");
    fs::write(&problems, [PROBLEM, &second].concat()).unwrap();
    let one = ["--set", "compute.concurrent_problems=1", "--decoding", "greedy"];
    let evaluate = ["evaluate", "--problems", text(&problems), "--out", text(&out)];
    let arguments = |url: &str| with(&[&evaluate[..], &one].concat(), &served(url));
    let message = fail(&borrowed(&arguments(failing.url())), 3);
    assert!(message.contains("status 400") && message.contains("refused"), "{message}");
    let message = fail(&borrowed(&arguments(server.url())), 2);
    assert!(message.contains("evaluation.jsonl.log"), "{message}");
}

#[test]
fn a_local_net_learns_from_a_served_policy_s_trees_and_values_its_states() {
    let server = Stub::start(good);
    let settings = served(server.url());
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let [problems, trees, labels, base, net] =
        ["problems.jsonl", "trees.jsonl", "labels.jsonl", "base", "net"].map(path);
    fs::write(&problems, PROBLEM).unwrap();
    let pretrain = ["pretrain", "--config", TINY, "--set", "bootstrap.lines=50"];
    run(&[&pretrain[..], &["--out", text(&base)]].concat());
    let search = ["search", "--problems", text(&problems), "--out", text(&trees)];
    run(&borrowed(&with(&search, &settings)));
    run(&["harvest", "--config", TINY, "--trees", text(&trees), "--out", text(&labels)]);
    let train = ["train", "--config", TINY, "--checkpoint", text(&base), "--out", text(&net)];
    run(&[&train[..], &["--labels", text(&labels)]].concat());

    let solve = ["solve", "21: 3 7", "--decoding", "bon@2", "--json", "--checkpoint", text(&net)];
    let message = fail(&borrowed(&with(&solve, &settings)), 2);
    assert!(message.contains("value.kind"), "{message}");
    let valued =
        with(&[&solve[..], &["--set", "policy.value.kind=checkpoint"]].concat(), &settings);
    let solution: Value = serde_json::from_str(&run(&borrowed(&valued))).unwrap();
    let value = solution["steps"][0]["value"].as_f64().unwrap();
    assert!(value != 0.0 && value.abs() <= 1.0, "{solution}");
    let unnamed = with(&["solve", "21: 3 7", "--set", "policy.value.kind=checkpoint"], &settings);
    assert!(fail(&borrowed(&unnamed), 2).contains("value.path"));
}

#[test]
fn an_api_key_is_sent_and_shown_to_nobody() {
    const KEY: &str = "sk-very-secret";
    // The second problem is refused, with the key repeated as some servers do.
    let server = Stub::start(|request| {
        if request.body["prompt"].as_str().unwrap().starts_with("21:") {
            return good(request);
        }
        Reply::Http(401, &[], format!("Incorrect API key provided: {KEY}."))
    });
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let second = PROBLEM.replace("\"p\"", "\"q\"").replace("21", "10");
    fs::write(path("problems.jsonl"), [PROBLEM, &second].concat()).unwrap();
    let (problems, trees) = (path("problems.jsonl"), path("trees.jsonl"));
    let search = ["search", "--problems", text(&problems), "--out", text(&trees), "--json"];
    let key = ["--set", "policy.http.api_key_env=STUB_KEY"];
    let arguments = with(&[&search[..], &key].concat(), &served(server.url()));
    let output = espalier(&borrowed(&arguments)).env("STUB_KEY", KEY).output().unwrap();
    assert!(output.status.success());
    for request in server.received() {
        assert!(
            request.head.contains("authorization: bearer sk-very-secret\r\n"),
            "{}",
            request.head
        );
    }
    let summary = String::from_utf8(output.stdout).unwrap();
    assert!(summary.contains("status 401") && summary.contains("[API key]"), "{summary}");
    let errors = String::from_utf8(output.stderr).unwrap();
    let written = fs::read_to_string(&trees).unwrap();
    assert!(![summary, errors, written].iter().any(|text| text.contains(KEY)));
}

#[test]
fn what_does_not_fit_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let problems = folder.path().join("problems.jsonl");
    fs::write(&problems, PROBLEM).unwrap();
    let local = ["evaluate", "--config", TINY, "--problems", text(&problems)];
    assert!(fail(&local, 2).contains("--checkpoint DIR is needed"));
    let run_dir = folder.path().join("run");
    let settings = served("http://127.0.0.1:9/v1/completions");
    let run = with(&["run", "--run-dir", text(&run_dir)], &settings);
    let message = fail(&borrowed(&run), 2);
    assert!(message.contains("cannot be trained here"), "{message}");
    assert!(!run_dir.exists());
    let misspelt = with(&["solve", "21: 3 7", "--set", "policy.max_token=3"], &settings);
    assert!(fail(&borrowed(&misspelt), 2).contains("did you mean `max_tokens`?"));
    let unusable = with(&["solve", "21: 3 7", "--set", "policy.top_p=2"], &settings);
    let message = fail(&borrowed(&unusable), 2);
    assert!(message.contains("[policy]: top_p = 2"), "{message}");
    let keyless =
        with(&["solve", "21: 3 7", "--set", "policy.http.api_key_env=NO_SUCH_KEY"], &settings);
    assert!(fail(&borrowed(&keyless), 2).contains("$NO_SUCH_KEY"));
    let nobody = with(&["solve", "21: 3 7", "--set", "policy.http.retries=0"], &settings);
    let message = fail(&borrowed(&nobody), 3);
    assert!(message.contains("POST http://127.0.0.1:9/v1/completions"), "{message}");
}
