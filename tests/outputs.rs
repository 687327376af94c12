//! No command writes over what it reads, or what it has just written; and no file's number becomes a label that none can be.

use std::fs;
use std::path::{Path, PathBuf};

use crate::program::{TINY, fail, run, text};

/// The tiny recipe without a net.
const RECIPE: [&str; 4] = ["--config", TINY, "--set", "policy={kind=\"uniform\"}"];

/// So many problems, and their trees.
fn grown(folder: &Path, count: &str) -> [PathBuf; 2] {
    let [problems, trees] = ["problems", "trees"].map(|name| folder.join(name));
    let generate = ["generate", "--count", count, "--out", text(&problems)];
    run(&[&generate[..], &RECIPE].concat());
    let search = ["search", "--problems", text(&problems), "--out", text(&trees)];
    run(&[&search[..], &RECIPE].concat());
    [problems, trees]
}

#[test]
fn what_is_read_is_not_written_over() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let ([problems, trees], labels) = (grown(folder.path(), "4"), path("labels"));
    run(&[&["harvest", "--trees", text(&trees), "--out", text(&labels)][..], &RECIPE].concat());
    let before = [&problems, &trees, &labels].map(|file| fs::read(file).unwrap());

    // By another name, too.
    let round_about = folder.path().join(".").join("trees");
    let (problems_at, trees_at, labels_at) = (text(&problems), text(&trees), text(&labels));
    let fresh = path("fresh");
    for command in [
        &["search", "--problems", problems_at, "--out", problems_at][..],
        &["search", "--problems", problems_at, "--continue", trees_at, "--out", trees_at],
        &["harvest", "--trees", trees_at, "--out", text(&round_about)],
        &["harvest", "--trees", trees_at, "--out", text(&fresh), "--stepwise", trees_at],
        &["harvest", "--trees", trees_at, "--out", text(&fresh), "--stepwise", text(&fresh)],
        &["train", "--checkpoint", "net", "--labels", labels_at, "--out", labels_at],
        &["train", "--checkpoint", "net", "--labels", labels_at, "--out", "net"],
        &["evaluate", "--problems", problems_at, "--out", problems_at],
    ] {
        // Training has no use for the policy's kind.
        let recipe = if command[0] == "train" { &RECIPE[..2] } else { &RECIPE[..] };
        let message = fail(&[command, recipe].concat(), 2);
        assert!(message.contains("would be lost; name another path"), "{command:?}: {message}");
    }
    let data = ["data", "generic", problems_at, "--out", problems_at];
    assert!(fail(&data, 2).contains("would be lost"));
    assert!(!fresh.exists());
    assert_eq!(before, [&problems, &trees, &labels].map(|file| fs::read(file).unwrap()));
}

#[test]
fn a_number_that_is_no_label_is_refused_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let ([_, trees], bent) = (grown(folder.path(), "2"), path("bent"));
    let lines = fs::read_to_string(&trees).unwrap();
    let mut rows: Vec<serde_json::Value> =
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let last = rows.len();
    rows[last - 1]["react"]["0"]["q_value"] = 7.into();
    let text_of =
        |rows: &[serde_json::Value]| rows.iter().map(|row| format!("{row}\n")).collect::<String>();
    fs::write(&bent, text_of(&rows)).unwrap();
    let labels = path("labels");
    let harvest = ["harvest", "--trees", text(&bent), "--out", text(&labels)];
    let message = fail(&[&harvest[..], &RECIPE].concat(), 3);
    assert!(message.contains(&format!("bent:{last}")), "{message}");
    assert!(message.contains("7 is outside [-1, 1]"), "{message}");
    assert!(!labels.exists());

    let row = "{\"schema\":\"espalier.solution/1\",\"problem_id\":\"p\",\"tree\":0,\"prompt\":\"a\",\"answer\":\"1\",\
               \"correct\":true,\"reward\":5,\"steps\":[]}\n";
    fs::write(&labels, row).unwrap();
    let net = path("net");
    run(&["pretrain", "--config", TINY, "--set", "bootstrap.lines=200", "--out", text(&net)]);
    let out = path("out");
    let train = ["train", "--config", TINY, "--checkpoint", text(&net), "--labels", text(&labels)];
    let message = fail(&[&train[..], &["--out", text(&out)]].concat(), 3);
    assert!(message.contains("labels:1") && message.contains("5 is outside"), "{message}");
}
