//! Replays trees and beams that the original AlphaMath code grew, and reports where this search would have grown another.
//!
//! A trace holds every answer of the original's model. Given the same answers in the same order, under the settings that
//! are compatible with the original, this search must ask the same questions and arrive at the same nodes: text, prior, visits,
//! value, Q-value and answer are compared tag by tag. The interpreter's output and which steps were answers come from the trace: a
//! replay tests the search, not the parser.
//!
//! ```text
//! cargo run -p espalier-search --example replay -- [--json] TRACE.json|FOLDER ...
//! ```
//!
//! Exit status: 0 all are equal, 1 a trace differs, 2 wrong usage, 3 a file is no trace or cannot be replayed.

mod beam;
mod difference;
mod model;
#[cfg(test)]
mod tests;
mod trace;
mod tree;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow, ensure};
use espalier_search::SearchError;
use serde_json::json;

use difference::Difference;
use trace::{Mode, Trace};

const USAGE: &str = "usage: replay [--json] TRACE.json|FOLDER ...";

fn main() -> ExitCode {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let json = arguments.iter().any(|argument| argument == "--json");
    arguments.retain(|argument| argument != "--json");
    if arguments.is_empty() || arguments.iter().any(|argument| argument.starts_with("--")) {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    }
    let paths: Vec<PathBuf> = arguments.into_iter().map(PathBuf::from).collect();
    match run(&paths, json, &mut std::io::stdout().lock()) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(differ) => {
            eprintln!("replay: {differ} of the traces differ");
            ExitCode::from(1)
        }
        Err(error) => {
            eprintln!("replay: {error:#}");
            ExitCode::from(3)
        }
    }
}

/// Replays the traces of files and folders and writes a line each; returns how many differ.
fn run(paths: &[PathBuf], json: bool, output: &mut impl Write) -> Result<usize> {
    let mut files = Vec::new();
    for path in paths {
        match path.is_dir() {
            true => files.extend(traces(path)?),
            false => files.push(path.clone()),
        }
    }
    // A file that is no trace is reported before anything is replayed.
    let traces: Vec<Trace> = files.iter().map(|file| Trace::read(file)).collect::<Result<_>>()?;
    let mut differ = 0;
    for (file, trace) in files.iter().zip(&traces) {
        let difference = replay(trace)
            .map_err(|error| anyhow!("{} cannot be replayed: {error}", file.display()))?;
        let difference = difference.map(|difference| difference.to_string());
        differ += usize::from(difference.is_some());
        if json {
            let line = json!({
                "schema": "espalier.replay/1",
                "name": trace.name,
                "equal": difference.is_none(),
                "first_difference": difference,
            });
            writeln!(output, "{line}")?;
        } else {
            writeln!(output, "{}: {}", trace.name, difference.as_deref().unwrap_or("equal"))?;
        }
    }
    if !json {
        writeln!(output, "{} of {} equal", traces.len() - differ, traces.len())?;
    }
    Ok(differ)
}

/// The traces of a folder, in the order of their names.
fn traces(folder: &Path) -> Result<Vec<PathBuf>> {
    let unreadable = || format!("cannot read {}", folder.display());
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(unreadable)? {
        let path = entry.with_context(unreadable)?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            files.push(path);
        }
    }
    ensure!(!files.is_empty(), "{} holds no *.json", folder.display());
    files.sort();
    Ok(files)
}

/// Searches with the answers of a trace and returns the first difference from it.
///
/// # Errors
/// When the trace's settings are none that a search can run with.
fn replay(trace: &Trace) -> Result<Option<Difference>, SearchError> {
    let result = match trace.config.mode {
        Mode::Mcts => tree::replay(trace),
        Mode::Sbs => beam::replay(trace),
    };
    match result {
        Ok(()) => Ok(None),
        Err(ReplayError::Differs(difference)) => Ok(Some(difference)),
        Err(ReplayError::Search(error)) => Err(error),
    }
}

/// Why a replay did not come to the end of its trace.
#[derive(Debug, thiserror::Error)]
enum ReplayError {
    #[error(transparent)]
    Differs(#[from] Difference),
    #[error(transparent)]
    Search(#[from] SearchError),
}
