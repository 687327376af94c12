//! Pushing to the Hugging Face Hub: what arrives, what is not sent again, and what is said where it cannot be done.

mod stand_in;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use crate::feeds::viewers_python;
use crate::program::{TINY, espalier, text, tiny_run};
use stand_in::{Files, StandIn, TOKEN};

const SMALL: [&str; 2] = ["rounds.count=1", "bootstrap.lines=300"];

fn with_hub(arguments: &[&str], endpoint: &str) -> Command {
    let mut command = espalier(arguments);
    command.env("HF_ENDPOINT", endpoint).env("HF_TOKEN", TOKEN);
    command
}

/// The output of a command with this status, which never shows the token.
fn output(command: &mut Command, status: i32) -> [String; 2] {
    let Output { stdout, stderr, status: ended } = command.output().unwrap();
    let told = [stdout, stderr].map(|text| String::from_utf8(text).unwrap());
    assert_eq!(ended.code(), Some(status), "{told:?}");
    let shown = told.iter().any(|text| text.contains(TOKEN) || text.contains("panicked"));
    assert!(!shown, "{told:?}");
    told
}

fn push(hub: &StandIn, arguments: &[&str]) -> String {
    let [stdout, _] = output(&mut with_hub(&[&["push"], arguments].concat(), &hub.endpoint), 0);
    stdout
}

fn refused(hub: &StandIn, arguments: &[&str], status: i32) -> String {
    let [_, stderr] =
        output(&mut with_hub(&[&["push"], arguments].concat(), &hub.endpoint), status);
    stderr
}

fn rows(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn read(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn card(files: &Files) -> String {
    String::from_utf8(files["README.md"].clone()).unwrap()
}

#[test]
fn a_run_arrives_byte_for_byte_and_is_not_sent_twice() {
    let folder = tempfile::tempdir().unwrap();
    let run_dir = tiny_run(folder.path(), &SMALL);
    let hub = StandIn::start();
    // Both come again.
    hub.instead("PUT /storage/", 503, &[("Retry-After", "0")], "busy");
    hub.instead("POST /api/models/me/net/preupload", 429, &[("Retry-After", "0")], "");
    let sent = rows(&push(&hub, &[text(&run_dir), "--to", "me/net", "--json"]));
    assert_eq!(sent.iter().map(|row| &row["kind"]).collect::<Vec<_>>(), ["model", "dataset"]);
    assert!(sent.iter().all(|row| row["schema"] == "espalier.push/1" && row["round"] == 1));
    assert_eq!(sent[0]["commit"], "models/me/net/commit/1");

    let net = hub.files("models/me/net", "main");
    let checkpoint = run_dir.join("rounds/1/checkpoint");
    for name in ["config.json", "model.safetensors", "tokenizer.json", "value_head.safetensors"] {
        assert!(net[name] == read(&checkpoint.join(name)), "{name}");
    }
    assert!(!net.contains_key("optimizer.safetensors") && !net.contains_key(".lock"));
    let told = card(&net);
    for part in ["library_name: transformers", "license: unknown", "| recipe | tiny |", "| greedy "]
    {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert!(!told.contains(folder.path().to_str().unwrap()), "{told}");
    // The program reads what it pushed.
    let copy = unpacked(folder.path(), "copy", &net);
    let solve = ["solve", "9: 4 5", "--checkpoint", text(&copy), "--json"];
    assert!(rows(&crate::program::run(&solve))[0]["steps"].is_array());

    let labels = hub.files("datasets/me/net", "main");
    let round = run_dir.join("rounds/1");
    assert!(labels["data/round-1.jsonl"] == read(&round.join("labels.jsonl")));
    assert!(labels["stepwise/round-1.jsonl"] == read(&round.join("stepwise.jsonl")));
    let told = card(&labels);
    assert!(told.contains("  - split: round_1\n    path: data/round-1.jsonl\n"), "{told}");
    let requests = hub.requests();
    // In three parts, of which one came twice.
    let parts = requests.iter().filter(|request| request.starts_with("PUT /storage/"));
    assert!(parts.count() >= 5, "{requests:#?}");

    let again = push(&hub, &[text(&run_dir), "--to", "me/net"]);
    assert_eq!(again.matches("nothing new").count(), 2, "{again}");
    let writes = |requests: Vec<String>| {
        let write = |request: &String| request.starts_with("PUT") || request.contains("/commit/");
        requests.into_iter().filter(write).collect::<Vec<_>>()
    };
    assert_eq!(writes(hub.requests()), Vec::<String>::new());

    // A further round: what was there stays.
    let more = ["run", "--config", TINY, "--run-dir", text(&run_dir)];
    let more = [&more[..], &["--set", SMALL[1], "--set", "rounds.count=2"]].concat();
    let more = [&more[..], &["--push", "me/net"]].concat();
    let [_, log] = output(&mut with_hub(&more, &hub.endpoint), 0);
    assert!(log.contains("pushed: "), "{log}");
    let state = hub.state();
    let (head, paths) = &state.repositories["datasets/me/net"].commits[1];
    assert_eq!(paths, &["data/round-2.jsonl", "stepwise/round-2.jsonl", "README.md"]);
    assert_eq!(head["key"], "header");
    assert!(head["value"]["summary"].as_str().unwrap().contains("tiny up to round 2"), "{head}");
    let (_, paths) = &state.repositories["models/me/net"].commits[1];
    assert!(paths.contains(&"model.safetensors".to_owned()), "{paths:?}");
    assert!(!paths.contains(&"config.json".to_owned()), "{paths:?}");
}

#[test]
fn parts_rounds_branches_and_private_repositories_are_chosen() {
    let folder = tempfile::tempdir().unwrap();
    let run_dir = tiny_run(folder.path(), &SMALL);
    let hub = StandIn::start();
    let place = text(&run_dir);
    push(&hub, &[place, "--to", "me/zero", "--round", "0", "--private", "--license", "mit"]);
    {
        let state = hub.state();
        // Round 0 has no labels.
        assert_eq!(state.repositories.keys().collect::<Vec<_>>(), ["models/me/zero"]);
        assert!(state.repositories["models/me/zero"].private);
    }
    let net = hub.files("models/me/zero", "main");
    let model =
        |round: usize| read(&run_dir.join(format!("rounds/{round}/checkpoint/model.safetensors")));
    assert!(net["model.safetensors"] == model(0) && card(&net).contains("license: mit"));

    let branch = [place, "--to", "me/zero", "--what", "checkpoint", "--revision", "runs/one"];
    push(&hub, &branch);
    assert!(hub.files("models/me/zero", "runs/one")["model.safetensors"] == model(1));
    assert!(hub.files("models/me/zero", "main")["model.safetensors"] == model(0));

    // The net that a gate kept, unless a round is named.
    let verdict = "{\"measure\": \"greedy\", \"problems\": 1, \"measured\": 0, \"before\": 1, \"taken\": false, \"net\": 0}";
    fs::write(run_dir.join("rounds/1/gate.json"), verdict).unwrap();
    push(&hub, &[place, "--to", "me/kept", "--what", "checkpoint"]);
    assert!(hub.files("models/me/kept", "main")["model.safetensors"] == model(0));
    push(&hub, &[place, "--to", "me/kept", "--what", "checkpoint", "--round", "1"]);
    assert!(hub.files("models/me/kept", "main")["model.safetensors"] == model(1));

    // A checkpoint of a run, a checkpoint alone, a file of labels.
    let checkpoint = run_dir.join("rounds/0/checkpoint");
    push(&hub, &[text(&checkpoint), "--to", "me/of-run"]);
    assert!(card(&hub.files("models/me/of-run", "main")).contains("| recipe | tiny |"));
    let alone = folder.path().join("alone");
    fs::rename(&checkpoint, &alone).unwrap();
    fs::write(alone.join("README.md"), "my own card").unwrap();
    push(&hub, &[text(&alone), "--to", "me/alone"]);
    assert_eq!(card(&hub.files("models/me/alone", "main")), "my own card");
    let labels = run_dir.join("rounds/1/labels.jsonl");
    push(&hub, &[text(&labels), "--to", "me/steps"]);
    assert!(hub.files("datasets/me/steps", "main")["data/train.jsonl"] == read(&labels));

    let public = [place, "--to", "me/of-run", "--round", "1", "--private"];
    assert!(refused(&hub, &public, 2).contains("not private"));
    let message = refused(&hub, &[place, "--to", "me/zero", "--round", "0"], 2);
    assert!(message.contains("does not keep the net of round 0"), "{message}");
    for (arguments, fault) in [
        (&["--round", "0", "--what", "labels"][..], "has no labels"),
        (&["--round", "7"], "no round 7"),
        (&["--revision", "a b"], "no branch"),
        (&["--license", "A b"], "no licence"),
    ] {
        let message = refused(&hub, &[&[place, "--to", "me/zero"], arguments].concat(), 2);
        assert!(message.contains(fault), "{message}");
    }
    let message = refused(&hub, &[text(&labels), "--to", "me/steps", "--round", "1"], 2);
    assert!(message.contains("no run directory"), "{message}");
    let message = refused(&hub, &[TINY, "--to", "me/steps"], 3);
    assert!(message.contains("holds no labelled solutions"), "{message}");
    let message = refused(&hub, &[text(folder.path()), "--to", "me/steps"], 2);
    assert!(message.contains("no checkpoint"), "{message}");
    fs::write(alone.join("config.json"), "{}").unwrap();
    let message = refused(&hub, &[text(&alone), "--to", "me/alone"], 3);
    assert!(message.contains("config.json is damaged"), "{message}");
    fs::write(&labels, "{}\n").unwrap();
    let message = refused(&hub, &[place, "--to", "me/zero", "--what", "labels"], 3);
    assert!(message.contains("changed after the run wrote it"), "{message}");
    hub.requests();
}

/// Writes files into a folder of that name.
fn unpacked(folder: &Path, name: &str, files: &Files) -> PathBuf {
    let place = folder.join(name);
    for (path, bytes) in files {
        let file = place.join(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, bytes).unwrap();
    }
    place
}

#[test]
fn hugging_faces_own_client_pushes_to_the_stand_in_and_reads_the_cards() {
    let Some(mut client) = viewers_python("hub/client.py") else { return };
    let folder = tempfile::tempdir().unwrap();
    let run_dir = tiny_run(folder.path(), &SMALL);
    let hub = StandIn::start();
    push(&hub, &[text(&run_dir), "--to", "me/net"]);
    let card = |kind: &str| {
        let files = hub.files(&format!("{kind}/me/net"), "main");
        unpacked(folder.path(), kind, &files).join("README.md")
    };
    let checkpoint = run_dir.join("rounds/0/checkpoint");
    client.args([text(&checkpoint), "me/theirs"]).args(["models", "datasets"].map(card));
    client.env("HF_ENDPOINT", &hub.endpoint).env("HF_TOKEN", TOKEN).env("HF_HOME", folder.path());
    hub.requests();
    output(&mut client, 0);
    // It leaves out the headers that a batch names, which Git LFS wants to be sent.
    hub.state().faults.retain(|fault| !fault.ends_with("not as the batch said"));
    hub.requests();
    let theirs = hub.files("models/me/theirs", "main");
    for entry in fs::read_dir(&checkpoint).unwrap() {
        let file = entry.unwrap().path();
        let name = file.file_name().unwrap().to_str().unwrap();
        assert!(theirs[name] == read(&file), "{name}");
    }
    assert!(hub.state().repositories["models/me/theirs"].private);
}

#[test]
fn a_dry_run_asks_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let run_dir = tiny_run(folder.path(), &SMALL);
    let arguments = ["push", text(&run_dir), "--to", "me/net", "--dry-run", "--json"];
    let mut command = espalier(&arguments);
    command.env_remove("HF_TOKEN").env("HF_ENDPOINT", "http://127.0.0.1:9");
    let [stdout, _] = output(&mut command, 0);
    let planned = rows(&stdout);
    assert_eq!(planned.len(), 2);
    let files = planned[0]["files"].as_array().unwrap();
    assert!(files.iter().all(|file| file["state"] == "planned" && file["size"].is_u64()));
    assert!(planned[0]["url"].is_null());
}

#[test]
fn a_refusal_says_what_to_do_and_never_the_token() {
    let folder = tempfile::tempdir().unwrap();
    let run_dir = tiny_run(folder.path(), &SMALL);
    let place = text(&run_dir);
    let hub = StandIn::start();
    let to = [place, "--to", "me/net"];
    assert!(refused(&hub, &[place, "--to", "you/net"], 3).contains("does not let the token"));
    assert!(refused(&hub, &[place, "--to", "net"], 2).contains("OWNER/NAME"));
    for (request, status, headers, body, fault) in [
        ("GET /api/models", 401, &[][..], "", "does not know the token of HF_TOKEN"),
        ("GET /api/models", 500, &[], TOKEN, "(500: [token])"),
        ("GET /api/models", 302, &[("Location", "http://evil/?a")], "", "leads to http://evil/,"),
        ("POST /api/repos/create", 409, &[], "", "not for the token of HF_TOKEN"),
        ("POST /api/models/me/net/preupload", 404, &[], "{\"error\": \"gone\"}", "(404: gone)"),
        ("POST /api/models/me/net/preupload", 200, &[], "[]", "does not know"),
        ("POST /me/net.git", 413, &[], "<html>", "takes no file of that size"),
        ("POST /api/models/me/net/commit", 409, &[], "", "push again"),
    ] {
        hub.instead(request, status, headers, body);
        let message = refused(&hub, &to, 3);
        assert!(message.contains(fault), "{request}: {message}");
        assert!(hub.state().instead.is_empty(), "{request}");
    }
    // Where the storage lies is not known before: nothing goes there in the clear.
    let sum = "{\"objects\": [{\"oid\": \"OID\", \"actions\": {\"upload\": {\"href\": \"http://192.0.2.1/a?secret\"}}}]}";
    let file = folder.path().join("net");
    fs::create_dir(&file).unwrap();
    for (name, bytes) in [("config.json", "{}"), ("model.safetensors", "")] {
        fs::write(file.join(name), format!("{bytes} ")).unwrap();
    }
    let oid = "36a9e7f1c95b82ffb99743e0c5c4ce95d83c9a430aac59f84ef3cbfab6145068";
    hub.instead("POST /me/alone.git", 200, &[], &sum.replace("OID", oid));
    let message = refused(&hub, &[text(&file), "--to", "me/alone"], 3);
    assert!(message.contains("http://192.0.2.1/a, which is not encrypted"), "{message}");
    assert!(!message.contains("secret"), "{message}");
    hub.requests();

    let mut nobody = espalier(&["push", place, "--to", "me/net"]);
    nobody.env_remove("HF_TOKEN").env("HF_HOME", folder.path()).env_remove("HF_TOKEN_PATH");
    let [_, message] = output(nobody.env("HF_ENDPOINT", &hub.endpoint), 2);
    assert!(message.contains("there is no token") && message.contains("hf auth login"));
    // A login's file.
    fs::write(folder.path().join("token"), format!("{TOKEN}\n")).unwrap();
    output(&mut nobody, 0);
    let [_, message] =
        output(&mut with_hub(&["push", place, "--to", "me/net"], "http://192.0.2.1"), 2);
    assert!(message.contains("not encrypted"), "{message}");
    hub.requests();
}

#[test]
fn a_run_is_kept_where_the_hub_is_away() {
    let folder = tempfile::tempdir().unwrap();
    let run_dir = folder.path().join("run");
    let run = ["run", "--config", TINY, "--run-dir", text(&run_dir), "--push", "me/net"];
    let run = [&run[..], &["--private", "--set", SMALL[0], "--set", SMALL[1]]].concat();
    // Known before anything runs.
    let mut nobody = espalier(&run);
    nobody.env_remove("HF_TOKEN").env("HF_TOKEN_PATH", folder.path().join("none"));
    let [_, message] = output(&mut nobody, 2);
    assert!(message.contains("there is no token") && !run_dir.exists(), "{message}");

    let [table, message] = output(&mut with_hub(&run, "http://127.0.0.1:9"), 3);
    assert!(table.contains("greedy"), "{table}");
    let again = format!("`espalier push {} --to me/net --private`", text(&run_dir));
    assert!(message.contains(&again), "{message}");
    assert!(message.contains("cannot reach http://127.0.0.1:9/api/models/me/net"), "{message}");
    assert!(run_dir.join("report.html").exists());
    let hub = StandIn::start();
    // All is there: the same command only pushes.
    output(&mut with_hub(&run, &hub.endpoint), 0);
    assert!(hub.files("models/me/net", "main").contains_key("model.safetensors"));
    assert!(hub.state().repositories.values().all(|repository| repository.private));

    fs::remove_file(run_dir.join("rounds/1/evaluate.json")).unwrap();
    let message = refused(&hub, &[text(&run_dir), "--to", "me/net", "--round", "1"], 2);
    assert!(message.contains("round 1") && message.contains("not finished"), "{message}");
    fs::remove_file(run_dir.join("rounds/0/evaluate.json")).unwrap();
    let message = refused(&hub, &[text(&run_dir), "--to", "me/net"], 2);
    assert!(message.contains("nothing to push yet"), "{message}");
}
