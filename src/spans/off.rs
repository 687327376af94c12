//! No spans.

use std::path::Path;

use anyhow::Result;
use espalier_search::{SearchError, TreeRecord};

use crate::recipe::Recipe;

/// Nothing.
#[derive(Debug)]
pub struct Span;

impl Span {
    /// Of a run.
    #[must_use]
    pub fn run(_: &Recipe, _: &Path) -> Self {
        Self
    }

    /// Of a round.
    #[must_use]
    pub fn round(_: usize) -> Self {
        Self
    }

    /// Of a stage of a round.
    #[must_use]
    pub fn stage(_: Option<usize>, _: &'static str) -> Self {
        Self
    }

    /// The one that this thread is within.
    #[must_use]
    pub fn current() -> Self {
        Self
    }

    /// Does the work.
    ///
    /// # Errors
    /// The work's.
    pub fn around<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        work()
    }

    /// Grows a tree.
    ///
    /// # Errors
    /// The search's.
    pub fn search(
        &self,
        _: &str,
        _: usize,
        _: u64,
        grow: impl FnOnce() -> Result<TreeRecord, SearchError>,
    ) -> Result<TreeRecord, SearchError> {
        grow()
    }
}
