//! The loop on records that are no trees: sampled paths and step beams.

use std::fs;
use std::process::Stdio;
use std::thread::sleep;
use std::time::{Duration, Instant};

use espalier_search::TreeRecord;

use crate::program::{TINY, espalier, fail, run, text};

const SAMPLES: &str = "search={kind='samples', paths=6, max_depth=3}";
const BEAM: &str = "search={kind='beam', beams=2, samples=3, max_depth=3}";

#[test]
fn every_kind_feeds_the_loop_and_a_killed_search_goes_on() {
    for search in [SAMPLES, BEAM] {
        let folder = tempfile::tempdir().unwrap();
        let [whole, killed] = ["whole", "killed"].map(|name| folder.path().join(name));
        let run_dir = |path| {
            let tiny = ["run", "--config", TINY, "--set", "rounds.count=1", "--set", search];
            [&tiny[..], &["--run-dir", path]].concat()
        };
        let table = run(&run_dir(text(&whole)));
        assert!(table.contains("greedy"), "{table}");
        let mut child = espalier(&run_dir(text(&killed)));
        let mut child = child.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let log = killed.join("rounds/1/trees.jsonl.log");
        let deadline = Instant::now() + Duration::from_secs(300);
        while fs::read_to_string(&log).map_or(0, |log| log.lines().count()) < 5 {
            assert!(child.try_wait().unwrap().is_none(), "the run ended before it was killed");
            assert!(Instant::now() < deadline, "no search was finished");
            sleep(Duration::from_millis(1));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        run(&run_dir(text(&killed)));
        for file in ["trees.jsonl", "labels.jsonl", "checkpoint/model.safetensors"] {
            let [expected, found] =
                [&whole, &killed].map(|run| fs::read(run.join("rounds/1").join(file)).unwrap());
            assert!(expected == found && !found.is_empty(), "{search}: {file} differs");
        }
        for line in fs::read_to_string(whole.join("rounds/1/trees.jsonl")).unwrap().lines() {
            let tree: TreeRecord = serde_json::from_str(line).unwrap();
            let tokens: usize = tree.react.values().map(|node| node.tokens).sum();
            if search == SAMPLES {
                assert_eq!(tree.root().unwrap().visit_count, 6);
                assert_eq!((tree.simulations, tree.tokens), (6, tokens as u64));
            } else {
                // Steps that an earlier sibling had too were sampled as well.
                assert!(tree.tokens >= tokens as u64 && tree.simulations >= 1);
            }
        }
    }
}

#[test]
fn records_that_cannot_go_on_are_refused_by_the_name_of_their_kind() {
    for (search, kind) in [(SAMPLES, "kind = \"samples\""), (BEAM, "kind = \"beam\"")] {
        let files = ["--problems", "none.jsonl", "--out", "out.jsonl", "--continue", "in.jsonl"];
        let arguments = [&["search", "--config", TINY, "--set", search][..], &files].concat();
        let message = fail(&arguments, 2);
        assert!(message.contains(kind) && message.contains("--continue"), "{message}");
    }
    let misspelt = fail(&["run", "--set", "search={kind='samples', path=3}"], 2);
    assert!(misspelt.contains("did you mean `paths`?"), "{misspelt}");
    let halved = ["--set", "search.selection.rule=gumbel", "--set", "search.simulations=9"];
    let files = ["--problems", "none.jsonl", "--out", "out.jsonl", "--continue", "in.jsonl"];
    let arguments = [&["search", "--config", TINY][..], &halved, &files].concat();
    assert!(fail(&arguments, 2).contains("selection.rule = gumbel"));
}
