//! The interpreter's state along a path.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Outcome;

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
    /// Whether the interpreter lacked something that it asked for.
    pub unsupported: bool,
}

/// What makes replay unnecessary.
#[derive(Debug)]
pub(super) enum Kept {
    Nothing,
    /// The embedded interpreter's dump.
    Dump(Box<[u8]>),
    /// A process of this worker, while it lives.
    #[cfg(feature = "cpython")]
    Process {
        worker: usize,
    },
}

impl CodeState {
    /// How many code steps the state has behind it, without those that left nothing.
    #[must_use]
    pub fn steps(&self) -> usize {
        self.0.len()
    }

    pub(super) fn snippets(&self) -> &[Arc<Snippet>] {
        &self.0
    }

    /// The state after a step that ended with `outcome`; `kept` is None where its interpreter ended with it.
    pub(super) fn after(&self, id: u64, code: &str, outcome: Outcome, kept: Option<Kept>) -> Self {
        let Some(kept) = kept.filter(|_| outcome.leaves_state()) else { return self.clone() };
        let unsupported = outcome == Outcome::Unsupported;
        let snippet = Arc::new(Snippet { id, code: code.to_owned(), kept, unsupported });
        Self(self.0.iter().cloned().chain([snippet]).collect())
    }
}

/// A name for the state that a step will leave.
pub(super) fn next_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    // Relaxed: numbers need only differ.
    NEXT.fetch_add(1, Ordering::Relaxed)
}
