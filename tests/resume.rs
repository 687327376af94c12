//! A run that is killed and started again gives what an uninterrupted one gives.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::program::{TINY, espalier, run, text};

/// Where to stop the run: as soon as this holds of the run directory.
struct KillPoint {
    name: &'static str,
    signal: &'static str,
    reached: fn(&Path) -> bool,
}

fn lines(path: PathBuf) -> usize {
    fs::read(path).map_or(0, |bytes| bytes.iter().filter(|&&byte| byte == b'\n').count())
}

const KILL_POINTS: [KillPoint; 6] = [
    KillPoint {
        name: "while round 0 trains",
        signal: "KILL",
        reached: |run| run.join("rounds/0/checkpoint.partial").exists(),
    },
    KillPoint {
        name: "while round 0 is evaluated",
        signal: "KILL",
        reached: |run| lines(run.join("rounds/0/evaluation.jsonl.log")) > 30,
    },
    KillPoint {
        name: "while round 1 searches",
        signal: "KILL",
        reached: |run| lines(run.join("rounds/1/trees.jsonl.log")) > 10,
    },
    KillPoint {
        name: "while round 1 searches, once more",
        signal: "INT",
        reached: |run| {
            lines(run.join("rounds/1/trees.jsonl.log")) > 60
                || run.join("rounds/1/search.json").exists()
        },
    },
    KillPoint {
        name: "while round 1 trains",
        signal: "TERM",
        reached: |run| run.join("rounds/1/checkpoint.partial").exists(),
    },
    KillPoint {
        name: "when round 2 has its labels",
        signal: "KILL",
        reached: |run| run.join("rounds/2/labels.jsonl").exists(),
    },
];

fn start_and_kill(run_dir: &Path, point: &KillPoint) {
    let arguments = ["run", "--config", TINY, "--run-dir", text(run_dir)];
    let mut child =
        espalier(&arguments).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap());
    let (tell, started) = mpsc::channel();
    // Read all along: a full pipe would hold the run up.
    let log = std::thread::spawn(move || {
        let mut text = String::new();
        while lines.read_line(&mut text).unwrap() > 0 {
            // Nobody listens after the first.
            let _ = tell.send(());
        }
        text
    });
    let wait = Duration::from_secs(300);
    // What the run before left may be enough for the point. The signal is for a program that has begun.
    started.recv_timeout(wait).expect("a first line");
    let deadline = Instant::now() + wait;
    while !(point.reached)(run_dir) {
        assert!(child.try_wait().unwrap().is_none(), "the run ended before: {}", point.name);
        assert!(Instant::now() < deadline, "never came: {}", point.name);
        sleep(Duration::from_millis(1));
    }
    let kill = format!("kill -{} {}", point.signal, child.id());
    assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    let (status, log) = (child.wait().unwrap(), log.join().unwrap());
    let expected = match point.signal {
        "INT" => 130,
        "TERM" => 143,
        // SIGKILL: nothing is flushed and nothing cleaned up.
        _ => return assert_eq!(status.code(), None),
    };
    assert_eq!(status.code(), Some(expected), "{log}");
    assert!(log.contains(&format!("stopped by SIG{}", point.signal)), "{log}");
}

#[test]
fn a_killed_run_goes_on_and_gives_the_same_labels() {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole");
    run(&["run", "--config", TINY, "--run-dir", text(&whole)]);
    let killed = folder.path().join("killed");
    let mut finished_trees = 0;
    for point in &KILL_POINTS {
        start_and_kill(&killed, point);
        // No finished problem is lost from one kill to the next.
        let log = killed.join("rounds/1/trees.jsonl.log");
        if log.exists() {
            let trees = lines(log);
            assert!(trees >= finished_trees, "{}: {trees} < {finished_trees}", point.name);
            finished_trees = trees;
        }
    }
    run(&["run", "--config", TINY, "--run-dir", text(&killed)]);
    for file in [
        "rounds/1/trees.jsonl",
        "rounds/1/labels.jsonl",
        "rounds/1/stepwise.jsonl",
        "rounds/2/labels.jsonl",
        "rounds/1/checkpoint/model.safetensors",
        "rounds/2/checkpoint/model.safetensors",
        "rounds/2/checkpoint/value_head.safetensors",
        "table.csv",
        "accuracy.svg",
    ] {
        let [expected, found] = [&whole, &killed].map(|run| fs::read(run.join(file)).unwrap());
        assert!(expected == found, "{file} differs");
    }
    // The points of a learning curve from before a kill are there, too.
    for file in ["rounds/0/pretrain.json", "rounds/1/train.json"] {
        let [expected, found] = [&whole, &killed].map(|run| {
            let summary: Value =
                serde_json::from_slice(&fs::read(run.join(file)).unwrap()).unwrap();
            summary["curve"].clone()
        });
        assert_eq!(expected[0]["step"], 1, "{expected}");
        assert_eq!(found, expected, "{file}");
    }
}

#[test]
fn a_finished_run_is_not_done_again() {
    let folder = tempfile::tempdir().unwrap();
    let run_dir = folder.path().join("run");
    let arguments = [
        "run",
        "--config",
        TINY,
        "--run-dir",
        text(&run_dir),
        "--set",
        "rounds.count=1",
        "--set",
        "bootstrap.lines=200",
    ];
    let first = run(&arguments);
    let trees = run_dir.join("rounds/1/trees.jsonl");
    let written = fs::metadata(&trees).unwrap().modified().unwrap();
    assert_eq!(run(&arguments), first);
    assert_eq!(fs::metadata(&trees).unwrap().modified().unwrap(), written);
    let plot = run(&["report", text(&run_dir), "--format", "svg"]);
    assert_eq!(
        plot.trim_end(),
        fs::read_to_string(run_dir.join("accuracy.svg")).unwrap().trim_end()
    );
    for curve in ["greedy", "maj@3", "sbs:2x3", "mcts:10"] {
        assert!(plot.contains(curve), "{curve} is not in the plot");
    }
}
