//! The interpreter's state along a path.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The state after a path's code steps; the default is before the first. Cheap to clone, and good for every executor: what another
/// one kept is made again by replay.
#[derive(Debug, Clone, Default)]
pub struct CodeState(Arc<[Arc<Snippet>]>);

/// One step whose effects last.
#[derive(Debug)]
pub(super) struct Snippet {
    /// Differs from every other one's in this process.
    pub id: u64,
    pub code: String,
    pub kept: Kept,
}

/// What makes replay unnecessary.
#[derive(Debug)]
pub(super) enum Kept {
    Nothing,
    /// The embedded interpreter's dump.
    Dump(Box<[u8]>),
    /// A process of this worker, while it lives.
    Process {
        worker: usize,
    },
}

impl CodeState {
    /// How many code steps the state has behind it, without those that were stopped at a limit.
    #[must_use]
    pub fn steps(&self) -> usize {
        self.0.len()
    }

    pub(super) fn snippets(&self) -> &[Arc<Snippet>] {
        &self.0
    }

    pub(super) fn then(&self, id: u64, code: &str, kept: Kept) -> Self {
        let snippet = Arc::new(Snippet { id, code: code.to_owned(), kept });
        Self(self.0.iter().cloned().chain([snippet]).collect())
    }
}

/// A name for the state that a step will leave.
pub(super) fn next_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    // Relaxed: numbers need only differ.
    NEXT.fetch_add(1, Ordering::Relaxed)
}
