//! The thread that writes the board down.

use std::fs;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Serialize;

use super::board::{Board, board};
use super::{State, Status, file, memory, now, tree_file};

const EVERY: Duration = Duration::from_secs(1);

/// Writes a run's status each second, until it is dropped. What cannot be written is told once in the log and does not stop the run.
#[derive(Debug)]
pub struct Writer {
    end: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Begins, for a run of so many rounds.
    #[must_use]
    pub fn begin(run: &Path, rounds: usize) -> Self {
        board().wants_tree = true;
        let (end, ended) = channel::<()>();
        let run = run.to_owned();
        let thread = std::thread::spawn(move || {
            let mut warned = false;
            loop {
                let state = match ended.recv_timeout(EVERY) {
                    Err(RecvTimeoutError::Timeout) => State::Running,
                    Ok(()) | Err(RecvTimeoutError::Disconnected) => State::Ended,
                };
                if let Err(error) = write(&run, rounds, state)
                    && !warned
                {
                    tracing::warn!("{error:#}; who watches this run sees nothing new");
                    warned = true;
                }
                if state == State::Ended {
                    return;
                }
            }
        });
        Self { end: Some(end), thread: Some(thread) }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            // It does not panic; and if it did, the run would be done all the same.
            _ = thread.join();
        }
        board().wants_tree = false;
    }
}

fn write(run: &Path, rounds: usize, state: State) -> Result<()> {
    let (status, tree) = {
        let mut board = board();
        let tree = board.tree.take();
        board.wants_tree |= tree.is_some();
        (status(&board, rounds, state), tree)
    };
    if let Some(tree) = tree {
        put(&tree_file(run), &tree)?;
    }
    put(&file(run), &status)
}

fn status(board: &Board, rounds: usize, state: State) -> Status {
    let counted = board.counting.as_ref();
    let (done, total) = counted.map_or((0, 0), |counted| (counted.done, counted.total));
    let per_second = counted.filter(|counted| counted.done > counted.before).map(|counted| {
        (counted.done - counted.before) as f64 / counted.begun.elapsed().as_secs_f64().max(1e-3)
    });
    Status {
        schema: "espalier.status/1".to_owned(),
        pid: process::id(),
        updated: now(),
        state,
        round: board.round,
        rounds,
        stage: board.stage.clone(),
        seconds: board.begun.map_or(0.0, |begun| begun.elapsed().as_secs_f64()),
        counting: counted.map_or_else(String::new, |counted| counted.label.clone()),
        done,
        total,
        per_second,
        seconds_left: per_second.map(|rate| total.saturating_sub(done) as f64 / rate),
        solved: board.solved,
        inference: board.meter.as_ref().and_then(|meter| meter()),
        memory_bytes: memory::held(),
    }
}

/// Written beside its place and renamed, so that no reader sees a half; not synced, for it is worth nothing after a power cut.
fn put(place: &Path, value: &impl Serialize) -> Result<()> {
    let attempt = || -> Result<()> {
        if let Some(folder) = place.parent() {
            fs::create_dir_all(folder)?;
        }
        let partial: PathBuf = place.with_extension("partial");
        fs::write(&partial, serde_json::to_vec(value)?)?;
        Ok(fs::rename(&partial, place)?)
    };
    attempt().with_context(|| format!("cannot write {}", place.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::{count, solved, stage};

    /// One test, for the board is the process's own.
    #[test]
    fn a_status_counts_what_this_process_did() {
        stage(2, "search");
        let counting = count("search", 10, 4);
        for right in [true, false, true] {
            solved(right);
            counting.advance();
        }
        let shown = status(&board(), 3, State::Running);
        assert_eq!((shown.round, shown.rounds, &*shown.stage), (2, 3, "search"));
        assert_eq!((shown.done, shown.total, shown.solved), (7, 10, Some(2)));
        let (rate, left) = (shown.per_second.unwrap(), shown.seconds_left.unwrap());
        assert!((rate * left - 3.0).abs() < 1e-9, "{shown:?}");
        drop(counting);
        stage(2, "train");
        let shown = status(&board(), 3, State::Ended);
        assert_eq!((shown.done, shown.total, shown.per_second, shown.solved), (0, 0, None, None));
        let folder = tempfile::tempdir().unwrap();
        assert!(Status::read(folder.path()).unwrap().is_none());
        put(&file(folder.path()), &shown).unwrap();
        assert_eq!(Status::read(folder.path()).unwrap().unwrap(), shown);
        assert!(!shown.is_silent());
    }
}
