//! Pages for a browser: one file each, which carries its data and its program, opens from disk and asks no other machine for anything.

mod chart;
mod charts;
mod sheets;
mod trees;

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use espalier_search::TreeRecord;
use serde::Serialize;

pub use chart::{Chart, Line, Point, Sheet};
pub use trees::{Columns, Tree};

use charts::{Group, charts};

use crate::evaluation::ROWS;
use crate::jsonl;
use crate::place::{in_full, name_of};
use crate::report::{Runs, check_tree, table_of};
use crate::run_dir::{by_recipe, round_folders};

/// What a page shows.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Page {
    /// Names this form and its version.
    pub schema: &'static str,
    /// Above all.
    pub title: String,
    /// Each before its tables.
    pub charts: Vec<Chart>,
    /// The tables.
    pub sheets: Vec<Sheet>,
    /// Recipes and manifests.
    pub texts: Vec<Text>,
    /// Trees, those of one problem one after the other.
    pub trees: Vec<Tree>,
    /// What is not shown of them.
    pub trees_note: String,
}

/// A file that a page quotes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Text {
    /// What it is.
    pub title: String,
    /// The text.
    pub text: String,
}

/// Bytes that the trees of a report may take.
const TREES: usize = 1_500_000;

/// The page of runs. Those of one recipe are means over their seeds; runs of several recipes stand side by side, each compared with the first.
///
/// # Errors
/// When a directory holds no evaluated round, or one of its files cannot be read.
pub fn report(paths: &[PathBuf]) -> Result<Page> {
    let groups = by_recipe(paths)?;
    let several = groups.len() > 1;
    let label = |runs: &[PathBuf]| if several { name(&runs[0]) } else { String::new() };
    let groups: Vec<(String, Vec<PathBuf>)> =
        groups.into_iter().map(|runs| (label(&runs), runs)).collect();
    let mut opened = Vec::new();
    for (label, paths) in &groups {
        opened.push(Group { label: label.clone(), runs: Runs::open(paths)? });
    }
    let mut sheets = Vec::new();
    for (Group { label, runs }, (_, paths)) in opened.iter().zip(&groups) {
        let title = if label.is_empty() {
            "All figures".to_owned()
        } else {
            format!("All figures: {label}")
        };
        sheets.push(Sheet::of(&title, "95 % intervals in brackets.", &table_of(runs, ROWS)?));
        sheets.extend(sheets::gains(label, paths, runs)?);
    }
    if let [(first, base), others @ ..] = &*groups {
        for (index, (label, paths)) in others.iter().enumerate() {
            let round = opened[0].runs.rounds().min(opened[index + 1].runs.rounds()) - 1;
            sheets.extend(sheets::against_first([first, label], [base, paths], round)?);
        }
    }
    for Group { label, runs } in &opened {
        sheets.push(sheets::stages(label, runs)?);
        sheets.extend(sheets::cut_paths(label, runs)?);
    }
    let (trees, trees_note) = probe_trees(paths)?;
    let names: Vec<String> = paths.iter().map(|path| name(path)).collect();
    Ok(Page {
        schema: "espalier.page/1",
        title: names.join(", "),
        charts: charts(&opened)?,
        sheets,
        texts: texts(paths)?,
        trees,
        trees_note,
    })
}

/// The page of a run whose first net is not measured yet: recipe and machine.
///
/// # Errors
/// When one of its files cannot be read.
pub fn unmeasured(run: &Path) -> Result<Page> {
    Ok(Page {
        schema: "espalier.page/1",
        title: name(run),
        charts: Vec::new(),
        sheets: Vec::new(),
        texts: texts(&[run.to_owned()])?,
        trees: Vec::new(),
        trees_note: "No net is measured yet.".to_owned(),
    })
}

/// The page of trees, with what each comes from; several of one problem from there are numbered.
#[must_use]
pub fn trees<'a>(title: &str, trees: impl IntoIterator<Item = (&'a TreeRecord, &'a str)>) -> Page {
    let mut seen: HashMap<(&str, &str), usize> = HashMap::new();
    let shown = trees.into_iter().map(|(tree, source)| {
        let number = seen.entry((&tree.problem, source)).or_default();
        *number += 1;
        match *number {
            1 => Tree::new(tree, source),
            number => Tree::new(tree, &format!("{source}, tree {number}")),
        }
    });
    Page {
        schema: "espalier.page/1",
        title: title.to_owned(),
        charts: Vec::new(),
        sheets: Vec::new(),
        texts: Vec::new(),
        trees: shown.collect(),
        trees_note: String::new(),
    }
}

/// Recipes and manifests as they lie in the run directories.
fn texts(paths: &[PathBuf]) -> Result<Vec<Text>> {
    let mut texts = Vec::new();
    for path in paths {
        for file in ["recipe.toml", "manifest.json"] {
            let place = path.join(file);
            if place.exists() {
                let read = fs::read_to_string(&place);
                let text = read.with_context(|| format!("cannot read {}", place.display()))?;
                texts.push(Text { title: format!("{}/{file}", name(path)), text });
            }
        }
    }
    Ok(texts)
}

/// The probe's trees of every round, problem by problem while there is room, and what is left out.
fn probe_trees(paths: &[PathBuf]) -> Result<(Vec<Tree>, String)> {
    let mut files = Vec::new();
    for path in paths {
        for (round, folder) in round_folders(path).enumerate() {
            let file = folder.join("probe.jsonl");
            if file.exists() {
                let run = if paths.len() > 1 { format!("{}, ", name(path)) } else { String::new() };
                let trees: Vec<TreeRecord> = jsonl::read_checked(&file, check_tree)?;
                files.push((format!("{run}round {round}"), trees));
            }
        }
    }
    let most = files.iter().map(|(_, trees)| trees.len()).max().unwrap_or(0);
    let (mut shown, mut bytes, mut problems) = (Vec::new(), 0, 0);
    for index in 0..most {
        let of_problem: Vec<Tree> = files
            .iter()
            .filter_map(|(source, trees)| Some(Tree::new(trees.get(index)?, source)))
            .collect();
        bytes += serde_json::to_vec(&of_problem)?.len();
        if bytes > TREES {
            break;
        }
        problems += 1;
        shown.extend(of_problem);
    }
    let all = "`espalier inspect tree FILE --html PAGE` shows those of any file.";
    let note = match most {
        0 => {
            format!("No round was probed ([rounds.probe]), so that there are no trees here. {all}")
        }
        _ if problems == most => {
            format!("The trees of the probe's {most} problems after every round. {all}")
        }
        _ => format!(
            "The trees of {problems} of the probe's {most} problems: more would make this file too long. {all}"
        ),
    };
    Ok((shown, note))
}

fn name(path: &Path) -> String {
    name_of(path).unwrap_or_else(|| in_full(path).display().to_string())
}

const FRAME: &str = include_str!("page.html");
/// What stands in the frame for what only a served page carries.
const LIVE: &str = "/*live.js*/";
/// What stands in the frame for the parts that it carries.
const PARTS: [(&str, &str); 6] = [
    ("/*style*/", include_str!("style.css")),
    ("/*make.js*/", include_str!("make.js")),
    ("/*chart.js*/", include_str!("chart.js")),
    ("/*tree.js*/", include_str!("tree.js")),
    ("/*history.js*/", include_str!("history.js")),
    ("/*page.js*/", include_str!("page.js")),
];

impl Page {
    /// The page as a file.
    ///
    /// # Errors
    /// When it cannot be written as JSON.
    pub fn html(&self) -> Result<String> {
        self.framed(&FRAME.replace(LIVE, ""))
    }

    /// The page as its own server sends it, which it asks for what is new.
    ///
    /// # Errors
    /// As [`Self::html`].
    pub fn live_html(&self) -> Result<String> {
        let frame = FRAME.replace(LIVE, include_str!("live.js"));
        self.framed(
            &frame.replace("default-src 'none';", "default-src 'none'; connect-src 'self';"),
        )
    }

    fn framed(&self, frame: &str) -> Result<String> {
        let mut html = frame.to_owned();
        for (mark, part) in PARTS {
            html = html.replace(mark, part);
        }
        // A `<` could end the element, or open a comment that swallows the program behind it.
        let data = serde_json::to_string(self)?.replace('<', "\\u003c");
        // Last, so that no text of a model is taken for a mark.
        Ok(html.replacen("/*data*/", &data, 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_model_writes_stays_data() {
        let title = "</script><!-- <script> /*page.js*/ /*data*/";
        let html = trees(title, []).html().unwrap();
        let (_, rest) = html.split_once("id=\"data\">").unwrap();
        let (data, _) = rest.split_once("</script>").unwrap();
        assert!(!data.contains('<'));
        let read: serde_json::Value = serde_json::from_str(data).unwrap();
        assert_eq!(read["title"], title);
    }

    #[test]
    fn a_page_asks_nobody_for_anything() {
        let html = trees("t", []).html().unwrap();
        let outside = html.replace("http://www.w3.org/2000/svg", "");
        for word in ["http:", "https:", "src=", "@import", "url(", "fetch(", "innerHTML"] {
            assert!(!outside.contains(word), "{word}");
        }
        for mark in PARTS.map(|(mark, _)| mark).into_iter().chain([LIVE]) {
            assert!(!html.contains(mark), "{mark}");
        }
    }
}
