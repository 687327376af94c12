//! What a run says before it begins, and what it draws at its end.

use std::fs;
use std::path::Path;
use std::process::Command;

use espalier::search::testing::skipped;

use crate::program::{TINY, espalier, run, text, tiny_run};

fn program() -> &'static str {
    env!("CARGO_BIN_EXE_espalier")
}

/// Runs the program in a terminal of so many columns, and returns what it shows there.
fn in_terminal(columns: usize, arguments: &[&str], environment: &[(&str, &str)]) -> Option<String> {
    let quoted: Vec<String> =
        [program()].iter().chain(arguments).map(|word| format!("'{word}'")).collect();
    let line = format!("stty cols {columns} rows 40; exec {}", quoted.join(" "));
    let output = Command::new("script")
        .args(["-qec", &line, "/dev/null"])
        .env("TERM", "xterm-256color")
        .env_remove("NO_COLOR")
        .env_remove("RUST_LOG")
        .envs(environment.iter().copied())
        .output();
    match output {
        Ok(output) => {
            let shown = String::from_utf8(output.stdout).unwrap().replace('\r', "");
            assert!(output.status.success(), "{shown}");
            Some(shown)
        }
        Err(_) => {
            skipped("no `script` (Debian's package `bsdutils`)");
            None
        }
    }
}

/// Without colours and other orders to the terminal.
fn plain(line: &str) -> String {
    let mut text = String::new();
    let mut rest = line;
    while let Some((before, order)) = rest.split_once("\u{1b}[") {
        text.push_str(before);
        rest =
            order.split_once(|sign: char| sign.is_ascii_alphabetic()).map_or("", |(_, rest)| rest);
    }
    text + rest
}

#[test]
fn a_forecast_changes_nothing_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let run_dir = tiny_run(folder.path(), &["rounds.count=1"]);
    let told = folder.path().join("told");
    let arguments = ["run", "--config", TINY, "--run-dir", text(&told), "--set", "rounds.count=1"];
    let output = espalier(&[&arguments[..], &["--forecast", "always"]].concat()).output().unwrap();
    let log = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{log}");
    assert!(log.contains("then one round of a search of 120 problems"), "{log}");
    assert!(
        log.contains("it should take") && log.contains("on this machine, by a trial of"),
        "{log}"
    );
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    // One that goes on says no more of what it will do.
    let output = espalier(&[&arguments[..], &["--forecast", "always"]].concat()).output().unwrap();
    assert!(!String::from_utf8(output.stderr).unwrap().contains("on this machine"));
    let same = |file: &str| {
        let read = |run: &Path| fs::read(run.join(file)).unwrap();
        assert!(read(&run_dir) == read(&told), "{file}");
    };
    ["rounds/1/labels.jsonl", "rounds/1/evaluation.jsonl", "table.csv"]
        .iter()
        .for_each(|file| same(file));
}

#[test]
fn a_terminal_gets_a_tree_a_chart_and_tables_of_its_width() {
    let folder = tempfile::tempdir().unwrap();
    let run_dir = folder.path().join("run");
    let sets = ["--set", "rounds.count=1"];
    let arguments = [&["run", "--config", TINY, "--run-dir", text(&run_dir)], &sets[..]].concat();
    let Some(shown) = in_terminal(60, &arguments, &[]) else { return };
    assert!(shown.contains("on this machine, by a trial of"), "{shown}");
    let (_, end) = shown.split_once("the report for a browser").unwrap();
    let end = plain(end.split_once('\n').unwrap().1);
    assert!(end.contains("Accuracy by round, % of problems"), "{end}");
    assert!(end.lines().all(|line| line.chars().count() <= 60), "{end}");

    let checkpoint = run_dir.join("rounds/1/checkpoint");
    let solve = ["solve", "12: 3 4", "--config", TINY, "--checkpoint", text(&checkpoint)];
    let solve = [&solve[..], &["--decoding", "mcts:20"]].concat();
    let shown = in_terminal(60, &solve, &[]).unwrap();
    assert!(shown.contains("\u{1b}[38;5;") && shown.contains('█'), "{shown}");
    let lines: Vec<String> = shown.lines().map(plain).collect();
    assert!(lines.iter().all(|line| line.chars().count() <= 60), "{lines:#?}");
    for plain in [("NO_COLOR", "1"), ("TERM", "dumb")] {
        let shown = in_terminal(60, &solve, &[plain]).unwrap();
        assert!(shown.contains('█') && !shown.contains('\u{1b}'), "{shown}");
        assert_eq!(shown.lines().collect::<Vec<_>>(), lines, "{plain:?}");
    }
    // A tree of more nodes than fit is folded, and the whole of it is where the note says.
    let tree = folder.path().join("tree.jsonl");
    let large = ["solve", "24: 2 3 4 7", "--config", "configs/countdown-uniform.toml"];
    let large = [&large[..], &["--decoding", "mcts:50", "--out", text(&tree)]].concat();
    let shown = in_terminal(60, &large, &[]).unwrap();
    assert!(shown.lines().count() <= 40 && shown.contains(" more nodes:"), "{shown}");
    let command = shown.lines().find(|line| line.starts_with("espalier inspect tree")).unwrap();
    let words: Vec<&str> = command.split(' ').skip(1).collect();
    assert!(run(&words).contains("nodes"));
    // A pipe gets the steps alone, however wide the terminal is said to be.
    let piped = run(&solve);
    assert!(!piped.contains('█') && piped.contains("visits"), "{piped}");
    let narrow = espalier(&solve).env("COLUMNS", "20").output().unwrap();
    assert_eq!(String::from_utf8(narrow.stdout).unwrap(), piped);
}

#[test]
fn solve_writes_its_tree() {
    let folder = tempfile::tempdir().unwrap();
    let tree = folder.path().join("tree.jsonl");
    let solve = ["solve", "24: 2 3 4 7", "--config", "configs/countdown-uniform.toml"];
    run(&[&solve[..], &["--decoding", "mcts:50", "--out", text(&tree)]].concat());
    let outline = run(&["inspect", "tree", text(&tree)]);
    assert!(outline.contains("50 simulations"), "{outline}");
    let greedy = [&solve[..], &["--decoding", "greedy", "--out", text(&tree)]].concat();
    let refused = crate::program::fail(&greedy, 2);
    assert!(refused.contains("greedy grows no tree"), "{refused}");
}
