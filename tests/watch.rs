//! A run as it grows: its status file, its page, and what the page's server refuses.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Stdio};

use serde_json::Value;

use crate::browser::Browser;
use crate::program::{TINY, espalier, fail, files, text, tiny_run};

const PROBE: &str = "rounds.probe={problems=2, search={simulations=8, samples=3}}";

/// Waits in a page until something is true, and gives it.
const UNTIL: &str = "
    const until = async (found) => {
      for (let tries = 0; tries < 600; tries++) {
        const it = found();
        if (it) return it;
        await new Promise((done) => setTimeout(done, 100));
      }
      throw new Error('it never came: ' + found + ': ' + document.body.textContent.slice(0, 2000));
    };";

/// A program that is stopped when the test ends.
pub struct Started(Child);

/// Begins a program, and gives the first line of its log that holds some words.
pub fn begun(arguments: &[&str], words: &str) -> (Started, String) {
    let mut child =
        espalier(arguments).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    let line = log.find(|line| line.contains(words)).expect(words);
    // The log is read to its end, so that the program does not wait for a reader.
    std::thread::spawn(move || log.count());
    (Started(child), line)
}

/// The address at the end of a line of the log.
pub fn address_of(line: &str) -> String {
    format!("http://{}", line.rsplit_once("http://").unwrap().1)
}

impl Drop for Started {
    fn drop(&mut self) {
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

/// Watches a run; returns the page's address, without its last slash.
fn watch(run_dir: &Path) -> (Started, String) {
    let arguments = ["watch", text(run_dir), "--plain"];
    let mut child = espalier(&arguments).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim().strip_suffix('/').unwrap().to_owned();
    (Started(child), address)
}

/// Asks with a method; returns status and body.
fn ask(method: &str, address: &str, path: &str) -> (u16, String) {
    let rest = address.strip_prefix("http://").unwrap();
    let (host, token) = rest.split_once('/').unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    write!(
        stream,
        "{method} /{token}/{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

fn json(address: &str, path: &str) -> Value {
    let (status, body) = ask("GET", address, path);
    assert_eq!(status, 200, "{path}: {body}");
    // Long answers come in chunks, whose sizes stand on lines of their own.
    let lines: Vec<&str> = body.lines().filter(|line| line.len() > 8).collect();
    serde_json::from_str(&lines.concat()).unwrap_or_else(|error| panic!("{path}: {error}: {body}"))
}

#[test]
fn a_finished_run_is_shown_with_all_its_trees_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let run_dir = tiny_run(folder.path(), &["rounds.count=1", PROBE]);
    let before = files(&run_dir);
    let (_started, address) = watch(&run_dir);
    let status = json(&address, "status.json");
    assert_eq!(status["status"]["state"], "ended");
    assert_eq!(
        (&status["status"]["round"], &status["status"]["stage"]),
        (&1.into(), &"evaluate".into())
    );
    assert_eq!(json(&address, "page.json")["charts"][0]["title"], "Problems answered right");
    let listed = json(&address, "files.json");
    assert_eq!(listed[0], "rounds/0/probe.jsonl");
    let trees =
        |from: usize| json(&address, &format!("trees.json?file=rounds/1/trees.jsonl&from={from}"));
    let (first, second) = (trees(0), trees(20));
    assert_eq!((first["trees"].as_array().unwrap().len(), &first["more"]), (20, &true.into()));
    let written = fs::read_to_string(run_dir.join("rounds/1/trees.jsonl")).unwrap();
    let line: Value = serde_json::from_str(written.lines().nth(20).unwrap()).unwrap();
    assert_eq!(second["trees"][0]["problem"], line["problem"]);
    let last = json(&address, "tree.json");
    assert!(last["nodes"]["depth"].as_array().unwrap().len() > 1, "{last}");

    // Nobody without the token, nothing but reading, and no file that is not one of trees.
    let (host, _) = address.rsplit_once('/').unwrap();
    assert_eq!(ask("GET", &format!("{host}/{}", "0".repeat(32)), "status.json").0, 404);
    assert_eq!(ask("POST", &address, "status.json").0, 405);
    for file in ["recipe.toml", "../run/rounds/1/trees.jsonl", "/etc/hostname", ""] {
        let (status, body) = ask("GET", &address, &format!("trees.json?file={file}"));
        assert!(status == 500 && body.contains("is no file of trees"), "{file}: {status} {body}");
    }
    assert_eq!(ask("GET", &address, "elsewhere").0, 404);
    assert!(before == files(&run_dir), "watching changed the run");

    let Some(mut browser) = Browser::start() else { return };
    browser.open(&format!("{address}/"));
    let script = "
        const choice = await until(() => document.querySelector('option[value=\"rounds/1/trees.jsonl\"]')?.parentNode);
        choice.value = 'rounds/1/trees.jsonl';
        choice.dispatchEvent(new Event('change'));
        const problems = await until(() => document.querySelectorAll('.problems button').length === 20);
        return [document.querySelector('#live .status').textContent, problems];";
    let seen = browser.run(&format!("{UNTIL}{script}"));
    assert!(seen[0].as_str().unwrap().starts_with("Not running."), "{seen}");
    assert_eq!(seen[1], true);
}

#[test]
fn a_run_serves_its_page_while_it_grows() {
    let folder = tempfile::tempdir().unwrap();
    let run_dir = folder.path().join("run");
    // Long enough to be met at work.
    let arguments = [
        "run",
        "--config",
        TINY,
        "--run-dir",
        text(&run_dir),
        "--watch",
        "--set",
        "problems.numbers=[3, 3]",
        "--set",
        "rounds={count=200, problems=30}",
    ];
    let (started, line) = begun(&arguments, "the run as it grows");
    let address = address_of(&line).trim_end_matches('/').to_owned();
    let until = |done: &dyn Fn(&Value) -> bool| {
        for _ in 0..600 {
            let status = json(&address, "status.json");
            if done(&status) {
                return status;
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        panic!("it never came to it: {}", json(&address, "status.json"));
    };
    let first = until(&|status| status["status"]["round"].as_u64() >= Some(1));
    assert_eq!((&first["status"]["state"], &first["silent"]), (&"running".into(), &false.into()));
    assert!(first["status"]["memory_bytes"].as_u64() > Some(1 << 20), "{first}");
    // Another finished stage is another page.
    let later = until(&|status| status["page"] != first["page"] && status["tree"] != first["tree"]);
    assert_eq!(later["status"]["pid"], started.0.id());
    assert!(!json(&address, "page.json")["charts"].as_array().unwrap().is_empty());
    if let Some(mut browser) = Browser::start() {
        browser.open(&format!("{address}/"));
        // A page that is open is laid out anew when a stage is finished, and draws the last tree.
        let script = "
            const charts = () => document.querySelector('#charts')?.parentNode.querySelectorAll('.mark').length;
            await until(() => document.querySelector('#live .node'));
            const words = document.querySelector('#live .status').textContent, before = charts();
            const more = await until(() => charts() > before);
            return [words, more];";
        let seen = browser.run(&format!("{UNTIL}{script}"));
        assert!(seen[0].as_str().unwrap().starts_with("Running: round "), "{seen}");
        assert_eq!(seen[1], true);
    }
    drop(started);
    // Killed: it says nothing more, and another program shows what is there.
    let (_started, address) = watch(&run_dir);
    assert_eq!(json(&address, "status.json")["status"]["state"], "running");
}

#[test]
fn what_cannot_be_watched_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let refused = fail(&["watch", text(folder.path())], 2);
    assert!(refused.contains("no run directory"), "{refused}");
    let run_dir = tiny_run(folder.path(), &["rounds.count=0"]);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let refused = fail(&["watch", text(&run_dir), "--listen", &address], 3);
    assert!(refused.contains("cannot listen at"), "{refused}");
    fail(&["watch", text(&run_dir), "--listen", "nowhere"], 2);
}
