//! Commands that faults befall, and what becomes of what they write.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::program::{TINY, espalier, text};
use crate::word_problems::World;

/// A command that writes into a folder, and goes on there when it is started again.
pub struct Subject {
    pub name: &'static str,
    /// The command's arguments for a folder.
    pub arguments: Box<Arguments>,
    /// What is under way in a folder, by what lies there.
    pub stage: fn(&Path) -> Option<String>,
    /// When the command has said something, at the latest.
    pub first_word: Duration,
    /// What the command needs besides; goes with it.
    pub _world: Option<World>,
}

type Arguments = dyn Fn(&Path) -> Vec<String>;

/// The stages of a round, in order.
const STAGES: [&str; 7] = ["pretrain", "search", "harvest", "train", "gate", "probe", "evaluate"];

/// The stages of the rounds of a countdown run with all that a round can have; its labels are played out, so that they take time.
const WHOLE: [&str; 13] = [
    "rounds.gate.problems=40",
    "rounds.probe.problems=16",
    "rounds.probe.search.simulations=10",
    "rounds.probe.pass_at_k.samples=4",
    "rounds.probe.pass_at_k.k=[1, 4]",
    "labels.kind=\"monte_carlo\"",
    "labels.rollouts=4",
    "rounds.problems=40",
    "training.epochs=4",
    "training.save_every=4",
    "evaluation.problems=24",
    "bootstrap.lines=1000",
    "compute.concurrent_problems=8",
];

impl Subject {
    pub fn countdown() -> Self {
        Self {
            name: "countdown",
            arguments: Box::new(|folder| {
                let mut arguments = run(TINY, folder);
                for setting in WHOLE {
                    arguments.extend(["--set".to_owned(), setting.to_owned()]);
                }
                arguments
            }),
            stage: |folder| {
                (0..=2).find_map(|round| {
                    let lacking = |stage: &&str| {
                        let of_round = if round == 0 {
                            !["search", "harvest", "train"].contains(stage)
                        } else {
                            *stage != "pretrain"
                        };
                        of_round && !folder.join(format!("rounds/{round}/{stage}.json")).exists()
                    };
                    STAGES.into_iter().find(lacking).map(str::to_owned)
                })
            },
            first_word: Duration::from_secs(60),
            _world: None,
        }
    }

    pub fn word_problems() -> Self {
        let world = World::new("shots_until_round = 0", "kind = \"solutions\"\nepochs = 30");
        let recipe = text(&world.recipe()).to_owned();
        Self {
            name: "word problems",
            arguments: Box::new(move |folder| run(&recipe, folder)),
            stage: |folder| {
                let done = folder.join("rounds/1/evaluate.json").exists();
                (!done).then(|| "word problems".to_owned())
            },
            first_word: Duration::from_secs(60),
            _world: Some(world),
        }
    }

    /// A command of one stage that writes `out`.
    pub fn single(name: &'static str, arguments: Vec<String>, out: &'static str) -> Self {
        let arguments = move |folder: &Path| {
            let out = folder.join(out);
            [&arguments[..], &["--out".to_owned(), text(&out).to_owned()]].concat()
        };
        let stage = match name {
            "served search" => |folder: &Path| lacks(folder, "trees.jsonl", "served search"),
            "served evaluate" => |folder: &Path| lacks(folder, "answers.jsonl", "served evaluate"),
            other => panic!("no stage {other}"),
        };
        let first_word = Duration::from_millis(100);
        Self { name, arguments: Box::new(arguments), stage, first_word, _world: None }
    }

    pub fn command(&self, folder: &Path) -> Command {
        let arguments = (self.arguments)(folder);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        espalier(&arguments)
    }

    /// Runs to the end, which must be success.
    pub fn finish(&self, folder: &Path) {
        let output = self.command(folder).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {errors}", self.name);
        let left = files(folder).into_keys().filter(|name| {
            [".log", ".partial", ".writing", ".previous"].iter().any(|end| name.contains(end))
        });
        assert_eq!(left.collect::<Vec<_>>(), [""; 0], "{}: left behind", self.name);
    }
}

fn lacks(folder: &Path, file: &str, stage: &str) -> Option<String> {
    (!folder.join(file).exists()).then(|| stage.to_owned())
}

fn run(recipe: &str, folder: &Path) -> Vec<String> {
    ["run", "--config", recipe, "--run-dir", text(folder)].map(str::to_owned).to_vec()
}

/// All files below a folder, by name.
pub fn files(folder: &Path) -> BTreeMap<String, PathBuf> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        // Of a folder that comes and goes meanwhile nothing is asked.
        for path in fs::read_dir(next).into_iter().flatten().flatten().map(|entry| entry.path()) {
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
                found.insert(name, path);
            }
        }
    }
    found
}

/// Whether a file holds the same in every run of a recipe: summaries have times in them, and so has whatever lists those.
fn is_comparable(name: &str) -> bool {
    let file = name.rsplit('/').next().unwrap();
    let stage = STAGES.iter().any(|stage| file == format!("{stage}.json"));
    let timed =
        ["metrics.jsonl", "manifest.json", "report.html", "SHA256SUMS", ".lock", "recipe.toml"];
    // Each of TensorBoard's events says when it was written.
    let timed = timed.contains(&file)
        || file.starts_with("events.out.tfevents.")
        || name.starts_with("live/");
    // Training states say how long their steps took.
    !stage && !timed && !["trainer_state.json", "checksums.json"].contains(&file)
}

/// Checks that two folders hold the same labels, trees, nets, answers and tables.
pub fn assert_alike(expected: &Path, found: &Path, why: &str) {
    let [mut left, mut right] = [expected, found].map(files);
    left.retain(|name, _| is_comparable(name));
    right.retain(|name, _| is_comparable(name));
    assert!(left.keys().eq(right.keys()), "{why}: {:?} and {:?}", left.keys(), right.keys());
    assert!(!left.is_empty(), "{why}: nothing to compare");
    for (name, path) in &left {
        assert!(
            fs::read(path).unwrap() == fs::read(&right[name]).unwrap(),
            "{why}: {name} differs"
        );
    }
}

/// Copies a folder with all that is in it.
pub fn copy(from: &Path, to: &Path) {
    for (name, path) in files(from) {
        let to = to.join(name);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(path, to).unwrap();
    }
}
