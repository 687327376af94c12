//! `espalier inspect`: what it shows of real files, and what it says of others.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::program::{TINY, fail, run, text};

fn rows(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Trees that the tiny recipe grows on eight problems, in `folder`.
fn grow(folder: &Path) -> PathBuf {
    let path = |name: &str| folder.join(name);
    let (problems, base, trees) = (path("problems.jsonl"), path("base"), path("trees.jsonl"));
    run(&["generate", "--config", TINY, "--count", "8", "--out", text(&problems)]);
    // One round's problems: the tiny space does not hold those of two.
    let pretrain = ["pretrain", "--config", TINY, "--set", "rounds.count=1"];
    run(&[&pretrain[..], &["--out", text(&base)]].concat());
    let search = ["search", "--config", TINY, "--checkpoint", text(&base), "--problems"];
    run(&[&search[..], &[text(&problems), "--out", text(&trees)]].concat());
    trees
}

#[test]
fn trees_are_shown_node_for_node() {
    let folder = tempfile::tempdir().unwrap();
    let file = grow(folder.path());
    let trees = rows(&fs::read_to_string(&file).unwrap());
    let nodes = |tree: &Value| tree["react"].as_object().unwrap().len();
    let all: usize = trees.iter().map(nodes).sum();
    let inspect = |more: &[&str]| run(&[&["inspect", "tree", text(&file)], more].concat());

    // A header and the nodes, with a blank line between trees.
    let outlines = inspect(&[]);
    assert_eq!(outlines.lines().count(), all + 2 * trees.len() - 1, "{outlines}");
    let first = &trees[0];
    let problem = first["problem"].as_str().unwrap();
    let header = format!("problem {problem}, seed {}: ", first["seed"]);
    assert!(outlines.starts_with(&header), "{outlines}");
    assert!(outlines.lines().all(|line| line.chars().count() < 220), "{outlines}");

    let shown = rows(&inspect(&["--json"]));
    assert_eq!(shown.len(), all);
    for node in &shown {
        assert_eq!(node["schema"], "espalier.tree_node/1");
        let tree = &trees[node["tree"].as_u64().unwrap() as usize];
        assert_eq!(node["problem"], tree["problem"]);
        let recorded = &tree["react"][node["tag"].as_str().unwrap()];
        for key in ["action", "observation", "prior", "visit_count", "q_value", "value", "tokens"] {
            // A root has a text, which no step wrote.
            let recorded = recorded.get(key).cloned().unwrap_or_else(|| "".into());
            assert_eq!(node[key], recorded, "{key} of {}", node["tag"]);
        }
        assert_eq!(node["terminal"], recorded.get("terminal").cloned().unwrap_or_default());
    }
    assert!(outlines.lines().any(|line| line.starts_with('*') && line.contains("  answer ")));
    for (index, tree) in trees.iter().enumerate() {
        let best = shown.iter().filter(|node| node["tree"] == index && node["best"] == true);
        let best: Vec<&Value> = best.collect();
        let answers = tree["react"].as_object().unwrap().values();
        let answers = answers.filter(|node| node["terminal"]["answer"].is_string()).count();
        // From the root to the answer one node a level, or none.
        assert!(best.iter().enumerate().all(|(depth, node)| node["depth"] == depth));
        assert_eq!(answers > 0, best.last().is_some_and(|n| n["terminal"]["answer"].is_string()));
    }

    let one = rows(&inspect(&["--json", "--problem", problem, "--depth", "1"]));
    assert!(one.iter().all(|n| n["tree"] == 0 && n["problem"] == problem));
    assert_eq!(one.iter().map(|n| n["depth"].as_u64().unwrap()).max(), Some(1));
    let visited = rows(&inspect(&["--json", "--min-visits", "2"]));
    assert!(!visited.is_empty() && visited.len() < all);
    assert!(visited.iter().all(|node| node["visit_count"].as_u64().unwrap() >= 2));

    let other = ["inspect", "tree", text(&file), "--problem", "no-such"];
    let message = fail(&other, 2);
    assert!(message.contains("no-such") && message.contains(problem), "{message}");

    // A line cut short, another form, and nodes that hang from nothing.
    let mut lines: Vec<String> =
        fs::read_to_string(&file).unwrap().lines().map(str::to_owned).collect();
    let damaged = folder.path().join("damaged.jsonl");
    let mut tell = |line: String| {
        lines[1] = line;
        fs::write(&damaged, lines.join("\n")).unwrap();
        let message = fail(&["inspect", "tree", text(&damaged)], 3);
        assert!(message.contains("damaged.jsonl:2: "), "{message}");
        message
    };
    let whole = trees[1].to_string();
    tell(whole[..whole.len() / 2].to_owned());
    assert!(tell(whole.replacen("espalier.tree/2", "espalier.tree/9", 1)).contains("tree/9"));
    assert!(tell(whole.replacen("\"0\":", "\"1\":", 1)).contains("no root"));
    assert!(tell(whole.replacen("\"0.0\":", "\"7.0\":", 1)).contains("lacks its parent"));
}

#[test]
fn a_file_without_trees_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let inspect = |name: &str| fail(&["inspect", "tree", text(&path(name))], 3);
    assert!(inspect("absent.jsonl").contains("cannot read"));
    fs::write(path("empty.jsonl"), "").unwrap();
    assert!(inspect("empty.jsonl").contains("holds no trees"));
    run(&["generate", "--config", TINY, "--count", "2", "--out", text(&path("problems.jsonl"))]);
    assert!(inspect("problems.jsonl").contains("problems.jsonl:1: "));
    assert!(fail(&["inspect"], 2).contains("tree"));
}
