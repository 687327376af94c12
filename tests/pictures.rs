//! The documents' pictures of pages: `make pictures` draws them anew.

use std::fs;
use std::path::Path;

use serde_json::json;

use crate::browser::Browser;
use crate::program::{run, text};
use crate::watch::{address_of, begun};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/page/pictures");
/// Smaller than the default recipe, and with the simulations in their order.
const SMALLER: [&str; 10] = [
    "--set",
    "rounds.count=2",
    "--set",
    "rounds.problems=300",
    "--set",
    "evaluation.problems=150",
    "--set",
    "rounds.probe.problems=10",
    "--set",
    "rounds.probe.search.keep_order=true",
];

fn run_arguments(run_dir: &Path) -> Vec<&str> {
    ["run", "--run-dir", text(run_dir)].into_iter().chain(SMALLER).collect()
}

#[test]
#[ignore = "takes minutes and writes into the sources: make pictures"]
fn draw() {
    let folder = tempfile::tempdir().unwrap();
    let mut browser = Browser::start().expect("pictures need a Chromium");
    fs::create_dir_all(FOLDER).unwrap();
    let picture = |browser: &mut Browser, name: &str| {
        fs::write(Path::new(FOLDER).join(name), browser.picture(1200, 800)).unwrap();
    };

    let growing = folder.path().join("countdown");
    let (child, line) = begun(&[&*run_arguments(&growing), &["--watch"]].concat(), "http://");
    browser.open(&address_of(&line));
    browser.run("while (!document.querySelector('#live .status').textContent.includes('round 1 of 2, search')) await new Promise((done) => setTimeout(done, 100));
        await new Promise((done) => setTimeout(done, 5000));");
    picture(&mut browser, "live.png");
    // It would ask on.
    browser.open("about:blank");
    drop(child);

    // What was done before it was stopped is not done again.
    run(&run_arguments(&growing));
    browser.open(&format!("file://{}", growing.join("report.html").display()));
    picture(&mut browser, "report.png");
    browser.ask(
        "Emulation.setEmulatedMedia",
        &json!({ "features": [{ "name": "prefers-color-scheme", "value": "dark" }] }),
    );
    browser.run(
        "document.querySelectorAll('.problems button')[1].click();
        [...document.querySelectorAll('.bar button')].find((it) => it.textContent.startsWith('Two')).click();
        const slider = [...document.querySelectorAll('.steps input')].at(-1);
        slider.value = slider.max - 1;
        slider.dispatchEvent(new Event('input'));
        document.getElementById('trees').scrollIntoView();
        await rest();",
    );
    picture(&mut browser, "trees.png");
}
