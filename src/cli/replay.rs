use std::path::PathBuf;

use anyhow::{Result, anyhow};
use clap::Args;
use serde_json::json;

use super::arguments::{CheckFailed, print_json, print_line};
use crate::replay::{Trace, replay};
use crate::report::Table;

/// Check that this search grows the trees and beams of the original AlphaMath code, node for node.
///
/// A trace holds what the original's model answered, call by call, and the tree (mode `mcts`) or beam (mode `sbs`) that the original
/// grew from that. The same answers are given to this search; text, prior, visits, value, Q-value and answer are compared tag by
/// tag. Exit status 1 when a trace differs.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Traces, one JSON object a file.
    #[arg(required = true, value_name = "TRACE")]
    traces: Vec<PathBuf>,
    /// Print one JSON object a trace.
    #[arg(long)]
    json: bool,
}

pub fn main(arguments: &Arguments) -> Result<()> {
    // A file that is no trace is told before anything is replayed.
    let traces: Vec<Trace> =
        arguments.traces.iter().map(|path| Trace::read(path)).collect::<Result<_>>()?;
    let mut table = Table::new(["trace", "equal", "first difference"]);
    let mut equal = 0;
    for (path, trace) in arguments.traces.iter().zip(&traces) {
        let difference = replay(trace)
            .map_err(|error| anyhow!("{} cannot be replayed: {error}", path.display()))?;
        equal += usize::from(difference.is_none());
        let difference = difference.map(|difference| difference.to_string());
        if arguments.json {
            print_json(&json!({
                "schema": "espalier.replay/1",
                "name": trace.name,
                "equal": difference.is_none(),
                "first_difference": difference,
            }))?;
            continue;
        }
        let verdict = if difference.is_none() { "yes" } else { "no" };
        table.push([trace.name.clone(), verdict.to_owned(), difference.unwrap_or_default()]);
    }
    if !arguments.json {
        print_line(&table.text())?;
        print_line(&format!("{equal} of {} equal", traces.len()))?;
    }
    if equal < traces.len() {
        let differ = traces.len() - equal;
        return Err(CheckFailed(format!("{differ} of {} traces differ", traces.len())).into());
    }
    Ok(())
}
