use std::collections::{HashMap, VecDeque};
use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow, bail};
use clap::{Args, Subcommand};
use espalier_search::TreeRecord;
use serde_json::json;

use super::arguments::{UsageError, print_json, print_line};
use super::outputs::refuse_overwriting;
use espalier::report::{Outline, OutlineFilter, OutlineNode, SideBySide, check_tree};
use espalier::{jsonl, page};

/// Look into the files that the other commands write.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(subcommand)]
    kind: Kind,
}

#[derive(Debug, Subcommand)]
enum Kind {
    Tree(TreeArguments),
}

/// Show search trees as indented outlines, one node a line.
///
/// P is the prior, N the visit count, Q the mean backed-up value, V the value net's opinion. `*` marks the path that a walk by Q takes
/// to an answer. With a second file the trees of each problem that both have are laid side by side, common steps on common lines.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    espalier inspect tree trees.jsonl --problem train-0-7 --depth 3 --min-visits 2\n  \
    espalier inspect tree RUN/rounds/1/probe.jsonl RUN/rounds/3/probe.jsonl --problem validation-0-7")]
struct TreeArguments {
    /// Trees, as `espalier search` writes them.
    file: PathBuf,
    /// Other trees of the same problems.
    #[arg(conflicts_with = "json")]
    other: Option<PathBuf>,
    /// Show the trees of this problem alone.
    #[arg(long, value_name = "ID")]
    problem: Option<String>,
    /// Show nodes of at most so many steps [default: all].
    #[arg(long)]
    depth: Option<usize>,
    /// Show nodes of at least so many visits.
    #[arg(long, default_value_t = 0)]
    min_visits: u64,
    /// Print one JSON object a node.
    #[arg(long)]
    json: bool,
    /// Write a page for a browser instead, on which the trees are drawn and walked; those of a second file beside them.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["json", "depth", "min_visits"])]
    html: Option<PathBuf>,
}

pub fn main(arguments: &Arguments) -> Result<()> {
    match &arguments.kind {
        Kind::Tree(arguments) => inspect_tree(arguments),
    }
}

fn inspect_tree(arguments: &TreeArguments) -> Result<()> {
    let filter = OutlineFilter { depth: arguments.depth, min_visits: arguments.min_visits };
    let trees = read(&arguments.file)?;
    let chosen = of_problem(&trees, arguments, &arguments.file)?;
    if let Some(page) = &arguments.html {
        return write_page(arguments, &chosen, page);
    }
    if let Some(file) = &arguments.other {
        let others = read(file)?;
        return side_by_side(arguments, &chosen, file, &of_problem(&others, arguments, file)?);
    }
    for (index, tree) in chosen.into_iter().enumerate() {
        let outline = Outline::new(tree, filter);
        if arguments.json {
            outline.nodes.iter().try_for_each(|shown| print_node(&tree.problem, index, shown))?;
            continue;
        }
        if index > 0 {
            print_line("")?;
        }
        print_line(&outline.text())?;
    }
    Ok(())
}

/// Writes the chosen trees, and those of the other file, as a page.
fn write_page(arguments: &TreeArguments, chosen: &[&TreeRecord], page: &Path) -> Result<()> {
    refuse_overwriting(
        &[("--html", Some(page))],
        &[("FILE", Some(&*arguments.file)), ("OTHER", arguments.other.as_deref())],
    )?;
    let others = arguments.other.as_deref().map(read).transpose()?.unwrap_or_default();
    let beside = match &arguments.other {
        Some(file) => of_problem(&others, arguments, file)?,
        None => Vec::new(),
    };
    let name = |file: &Path| file.display().to_string();
    let (file, other) = (name(&arguments.file), arguments.other.as_deref().map(name));
    let shown = chosen.iter().map(|tree| (*tree, &*file));
    let beside = beside.into_iter().map(|tree| (tree, other.as_deref().unwrap_or_default()));
    jsonl::write_file(page, page::trees(&file, shown.chain(beside)).html()?.as_bytes())
}

fn read(file: &Path) -> Result<Vec<TreeRecord>> {
    let trees: Vec<TreeRecord> = jsonl::read_checked(file, check_tree)?;
    if trees.is_empty() {
        bail!("{} holds no trees", file.display());
    }
    Ok(trees)
}

/// The trees of the problem that is asked for, or all.
fn of_problem<'a>(
    trees: &'a [TreeRecord],
    arguments: &TreeArguments,
    file: &Path,
) -> Result<Vec<&'a TreeRecord>> {
    let wanted = |tree: &&TreeRecord| {
        arguments.problem.as_ref().is_none_or(|problem| *problem == tree.problem)
    };
    let chosen: Vec<&TreeRecord> = trees.iter().filter(wanted).collect();
    if let (Some(problem), []) = (&arguments.problem, chosen.as_slice()) {
        return Err(UsageError(anyhow!(
            "{} has no tree of problem {problem:?}; it has {}",
            file.display(),
            some_problems(trees)
        ))
        .into());
    }
    Ok(chosen)
}

/// Each tree beside the one of the other file that is of the same problem, the first of several beside the first.
fn side_by_side(
    arguments: &TreeArguments,
    trees: &[&TreeRecord],
    file: &Path,
    others: &[&TreeRecord],
) -> Result<()> {
    let filter = OutlineFilter { depth: arguments.depth, min_visits: arguments.min_visits };
    let names = [&arguments.file, file].map(|file| file.display().to_string());
    let mut of_problem: HashMap<&str, VecDeque<&TreeRecord>> = HashMap::new();
    for other in others {
        of_problem.entry(&other.problem).or_default().push_back(other);
    }
    let mut shown = 0;
    for tree in trees {
        let other = of_problem.get_mut(tree.problem.as_str()).and_then(VecDeque::pop_front);
        let Some(other) = other else { continue };
        if shown > 0 {
            print_line("")?;
        }
        shown += 1;
        print_line(&SideBySide::new([tree, other], filter).text(names.each_ref().map(|n| &**n)))?;
    }
    if shown == 0 {
        return Err(
            UsageError(anyhow!("{} and {} have no problem in common", names[0], names[1])).into()
        );
    }
    Ok(())
}

fn print_node(problem: &str, tree: usize, shown: &OutlineNode<'_>) -> Result<()> {
    let OutlineNode { tag, depth, node, best } = shown;
    print_json(&json!({
        "schema": "espalier.tree_node/1",
        "problem": problem,
        "tree": tree,
        "tag": tag,
        "depth": depth,
        "best": best,
        "action": node.action(),
        "observation": node.observation(),
        "text": node.text(),
        "prior": node.prior,
        "visit_count": node.visit_count,
        "q_value": node.q_value,
        "value": node.value,
        "tokens": node.tokens,
        "truncated": node.truncated,
        "terminal": node.terminal,
        "correct": node.correct,
        "reward": node.reward(),
    }))
}

/// The first few ids in the order of the file.
fn some_problems(trees: &[TreeRecord]) -> String {
    const SHOWN: usize = 5;
    let mut ids: Vec<&str> = Vec::new();
    // The search stage writes a problem's trees one after the other.
    for tree in trees {
        if ids.last() != Some(&tree.problem.as_str()) {
            ids.push(&tree.problem);
        }
    }
    let quoted: Vec<String> = ids.iter().take(SHOWN).map(|id| format!("{id:?}")).collect();
    let more = ids.len().saturating_sub(SHOWN);
    let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{rest}", quoted.join(", "))
}
