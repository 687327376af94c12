//! Where the stages write down what they are at. A process runs one stage at a time, so there is one board; it costs a lock a problem.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use espalier_inference::Meter;
use espalier_search::TreeRecord;

static BOARD: Mutex<Board> = Mutex::new(Board::EMPTY);

pub(super) struct Board {
    pub round: usize,
    pub stage: String,
    pub begun: Option<Instant>,
    pub counting: Option<Counted>,
    pub solved: Option<u64>,
    pub meter: Option<Meter>,
    /// Whether somebody writes trees down; they are not copied otherwise.
    pub wants_tree: bool,
    pub tree: Option<TreeRecord>,
}

/// What is counted.
pub(super) struct Counted {
    pub label: String,
    pub total: u64,
    pub before: u64,
    pub done: u64,
    pub begun: Instant,
}

impl Board {
    const EMPTY: Self = Self {
        round: 0,
        stage: String::new(),
        begun: None,
        counting: None,
        solved: None,
        meter: None,
        wants_tree: false,
        tree: None,
    };
}

pub(super) fn board() -> MutexGuard<'static, Board> {
    BOARD.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A stage begins.
pub fn stage(round: usize, name: &str) {
    let mut board = board();
    let (wants_tree, tree) = (board.wants_tree, board.tree.take());
    *board = Board {
        round,
        stage: name.to_owned(),
        begun: Some(Instant::now()),
        wants_tree,
        tree,
        ..Board::EMPTY
    };
}

/// The round and the stage that is under way, or was the last, and the seconds since it began; `None` before the first.
pub fn under_way() -> Option<(usize, String, f64)> {
    let board = board();
    Some((board.round, board.stage.clone(), board.begun?.elapsed().as_secs_f64()))
}

/// No stage is under way any more.
pub fn clear() {
    *board() = Board::EMPTY;
}

/// Ends with the counting.
#[derive(Debug)]
pub struct Counting(());

impl Drop for Counting {
    fn drop(&mut self) {
        board().counting = None;
    }
}

/// Counting begins at `done` of `total`.
#[must_use]
pub fn count(label: &str, total: u64, done: u64) -> Counting {
    let label = label.to_owned();
    board().counting = Some(Counted { label, total, before: done, done, begun: Instant::now() });
    Counting(())
}

impl Counting {
    /// One more is done.
    pub fn advance(&self) {
        if let Some(counted) = &mut board().counting {
            counted.done += 1;
        }
    }
}

/// A problem was searched: whether a right answer was found.
pub fn solved(right: bool) {
    *board().solved.get_or_insert(0) += u64::from(right);
}

/// Trees are finished: one is kept while nobody has taken the last.
pub fn trees(trees: &[TreeRecord]) {
    let mut board = board();
    if board.wants_tree && !trees.is_empty() {
        board.tree = trees.last().cloned();
        board.wants_tree = false;
    }
}

/// From now on a net works for the stage.
pub fn meter(meter: Option<Meter>) {
    board().meter = meter;
}
