//! What of finished rounds stays on the disk.

use std::fs;
use std::path::Path;

use crate::program::{TINY, espalier, fail, run, text, tiny_run};

const FEW: [&str; 4] = [
    "bootstrap.lines=200",
    "rounds.problems=20",
    "evaluation.problems=8",
    "evaluation.decodings=[\"greedy\"]",
];

/// The rounds that have a file or folder of this name.
fn rounds_with(run_dir: &Path, name: &str) -> Vec<usize> {
    (0..=3).filter(|round| run_dir.join(format!("rounds/{round}/{name}")).exists()).collect()
}

fn lines(path: &Path) -> usize {
    fs::read_to_string(path).unwrap().lines().count()
}

#[test]
fn old_checkpoints_and_trees_go_and_what_is_measured_stays() {
    let folder = tempfile::tempdir().unwrap();
    let keep = ["rounds.count=3", "rounds.keep={checkpoints=1, trees=2}"];
    let run_dir = tiny_run(folder.path(), &[&FEW[..], &keep].concat());
    assert_eq!(rounds_with(&run_dir, "checkpoint"), [0, 3]);
    assert_eq!(rounds_with(&run_dir, "trees.jsonl"), [2, 3]);
    assert_eq!(rounds_with(&run_dir, "labels.jsonl"), [1, 2, 3]);
    assert_eq!(rounds_with(&run_dir, "evaluation.jsonl"), [0, 1, 2, 3]);
    // Three files of training problems and one of held-out ones; of rounds 1 to 3 three each of search and harvest, one of training, two
    // of the evaluation; of round 0 one and two. Round 1's trees are gone.
    assert_eq!(lines(&run_dir.join("SHA256SUMS")), 1 + 4 + 3 * 8 + 3 - 1);

    // The nets that are there are measured further, and the others keep what they have.
    let mut arguments = vec!["run", "--config", TINY, "--run-dir", text(&run_dir)];
    let further =
        ["rounds.count=3", "rounds.keep={trees=0}", "evaluation.decodings=[\"greedy\", \"maj@3\"]"];
    FEW[..3].iter().chain(&further).for_each(|setting| arguments.extend(["--set", setting]));
    let output = espalier(&arguments).output().unwrap();
    let (table, errors) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{errors}");
    for round in ["round 1: its net is not kept", "round 2: its net is not kept"] {
        assert!(errors.contains(round), "{errors}");
    }
    let row = table.lines().find(|line| line.contains("maj@3")).unwrap();
    assert_eq!(row.matches('–').count(), 2, "{row}");
    assert_eq!(rounds_with(&run_dir, "trees.jsonl"), [0; 0]);

    let branch = folder.path().join("branch");
    let from = |round: usize| format!("{}@{round}", text(&run_dir));
    let error = fail(&["run", "--from", &from(2), "--run-dir", text(&branch)], 2);
    assert!(
        error.contains("does not keep the net of round 2") && error.contains("those of 0"),
        "{error}"
    );
    run(&["run", "--from", &from(0), "--run-dir", text(&branch), "--set", "rounds.count=1"]);
    let error = fail(&["run", "--set", "rounds.keep.checkpoints=0", "--run-dir", text(&branch)], 2);
    assert!(error.contains("rounds.keep.checkpoints must be at least 1"), "{error}");
}

#[test]
fn a_file_that_changed_is_named_and_a_branch_before_it_can_begin() {
    let folder = tempfile::tempdir().unwrap();
    let run_dir = tiny_run(folder.path(), &FEW);
    let labels = run_dir.join("rounds/2/labels.jsonl");
    fs::write(&labels, fs::read_to_string(&labels).unwrap().replacen("\"q\":", "\"q\": ", 1))
        .unwrap();
    let mut arguments = vec!["run", "--config", TINY, "--run-dir", text(&run_dir)];
    FEW.iter().for_each(|setting| arguments.extend(["--set", setting]));
    let error = fail(&arguments, 3);
    assert!(
        error.contains("rounds/2/labels.jsonl changed") && error.contains("SHA256SUMS"),
        "{error}"
    );
    let branch = folder.path().join("branch");
    let from = |round: usize| format!("{}@{round}", text(&run_dir));
    assert!(
        fail(&["run", "--from", &from(2), "--run-dir", text(&branch)], 3).contains("labels.jsonl")
    );
    run(&["run", "--from", &from(1), "--run-dir", text(&branch)]);
    assert!(branch.join("rounds/2/evaluate.json").exists());
    // On purpose: its line goes, and the run goes on.
    let sums = run_dir.join("SHA256SUMS");
    let kept = fs::read_to_string(&sums).unwrap();
    let kept = kept.lines().filter(|line| !line.ends_with("2/labels.jsonl"));
    fs::write(&sums, kept.map(|line| format!("{line}\n")).collect::<String>()).unwrap();
    run(&arguments);
}
