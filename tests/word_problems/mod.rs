//! Word problems: their environment under search, whole runs on a tiny net, and the recipes of language models.

mod command_line;
mod recipes;
mod rounds;
mod search;

use std::fs;
use std::path::{Path, PathBuf};

use espalier::search::Problem;

use crate::program::{run, text};

pub fn problem(id: &str, question: &str, answer: &str) -> Problem {
    let metadata = serde_json::Map::new();
    let [id, question, answer] = [id, question, answer].map(str::to_owned);
    Problem { id, question, answer, metadata }
}

/// A recipe in a folder of its own, with a tiny net that has seen countdown alone and 24 training and 8 test problems whose answer is 4.
/// `more` goes to the end of `[environment]`, `rest` to the end of the file.
pub struct World {
    pub folder: tempfile::TempDir,
}

const NAMES: [&str; 32] = [
    "Ada", "Ben", "Cleo", "Dan", "Eve", "Finn", "Gus", "Hal", "Ida", "Joe", "Kim", "Lea", "Max",
    "Nell", "Otto", "Pia", "Quin", "Rob", "Sue", "Tim", "Una", "Vic", "Wes", "Xena", "Yan", "Zoe",
    "Abe", "Bea", "Cal", "Dot", "Eli", "Fay",
];

impl World {
    pub fn new(more: &str, bootstrap: &str) -> Self {
        let world = Self { folder: tempfile::tempdir().unwrap() };
        let rows = NAMES.iter().enumerate().map(|(index, name)| {
            let split = if index < 24 { "train" } else { "test" };
            serde_json::json!({
                "id": format!("w{index}"),
                "question": format!("{name} has 2 and 2. How many?"),
                "answer": "4",
                "metadata": { "split": split, "solution": ["2+2=4", "#### 4"] },
            })
        });
        let rows: Vec<String> = rows.map(|row| row.to_string()).collect();
        fs::write(world.path("problems.jsonl"), rows.join("\n")).unwrap();
        let base = world.path("base");
        let countdown = ["--config", crate::program::TINY, "--set", "bootstrap.lines=50"];
        let longer = ["--set", "net.max_length=256", "--out", text(&base)];
        run(&[&["pretrain"][..], &countdown, &longer].concat());
        let recipe = format!(
            "{}\n{more}\n[problems]\nkind = \"jsonl\"\npath = {:?}\n\n[bootstrap]\npath = {:?}\n{bootstrap}\n",
            include_str!("tiny.toml"),
            world.path("problems.jsonl"),
            base
        );
        fs::write(world.recipe(), recipe).unwrap();
        world
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn recipe(&self) -> PathBuf {
        self.path("recipe.toml")
    }
}

pub fn lines(path: &Path) -> Vec<serde_json::Value> {
    let file =
        fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    file.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}
