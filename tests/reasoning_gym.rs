//! Problems of another generator: reasoning-gym's countdown.

use crate::program::{TINY, first_rows, run, text};

#[test]
fn the_loop_runs_on_reasoning_gym() {
    let file = first_rows("reasoning_gym/countdown.jsonl");
    let folder = tempfile::tempdir().unwrap();
    let run_dir = folder.path().join("run");
    let problems = format!("problems={{kind=\"jsonl\", path=\"{}\"}}", text(&file));
    let table = run(&[
        "run",
        "--config",
        TINY,
        "--run-dir",
        text(&run_dir),
        "--set",
        &problems,
        "--set",
        "rounds.count=1",
        "--set",
        "rounds.problems=20",
        "--set",
        "evaluation.problems=10",
        "--set",
        "bootstrap.lines=300",
        "--set",
        "net.max_length=128",
    ]);
    assert!(table.contains("sbs:2x3"), "{table}");
}
