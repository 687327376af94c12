//! Spans by the crate `tracing`.

use std::path::Path;

use anyhow::Result;
use espalier_search::{SearchError, TreeRecord};
use tracing::field::{Empty, display};

use super::TARGET;
use crate::recipe::Recipe;
use crate::usage::told;

/// A span that ends when it is dropped. Its attributes begin with `espalier.`; numbers without a sign are strings where they may have 64 bits.
#[derive(Debug)]
pub struct Span(tracing::Span);

/// A span with attributes, and room for what became of it.
macro_rules! span {
    ($($given:tt)+) => {
        tracing::info_span!(
            target: TARGET,
            $($given)+,
            otel.status_code = Empty,
            otel.status_description = Empty
        )
    };
}

impl Span {
    /// Of a run.
    #[must_use]
    pub fn run(recipe: &Recipe, run: &Path) -> Self {
        Self(span!(
            "run",
            espalier.recipe = recipe.name,
            espalier.seed = %recipe.seed,
            espalier.rounds = recipe.rounds.count,
            espalier.run_dir = %run.display()
        ))
    }

    /// Of a round.
    #[must_use]
    pub fn round(round: usize) -> Self {
        Self(span!("round", espalier.round = round))
    }

    /// Of a stage of a round, or of a command that does a stage.
    #[must_use]
    pub fn stage(round: Option<usize>, name: &'static str) -> Self {
        Self(span!("stage", otel.name = name, espalier.stage = name, espalier.round = round))
    }

    /// The one that this thread is within.
    #[must_use]
    pub fn current() -> Self {
        Self(tracing::Span::current())
    }

    /// Does the work within the span, which tells an error.
    ///
    /// # Errors
    /// The work's.
    pub fn around<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let Self(span) = self;
        let result = span.in_scope(work);
        if let Err(error) = &result {
            fail(span, told(error));
        }
        result
    }

    /// Grows a tree of a problem within a span below this one, which tells what came of it.
    ///
    /// # Errors
    /// The search's.
    pub fn search(
        &self,
        problem: &str,
        tree: usize,
        seed: u64,
        grow: impl FnOnce() -> Result<TreeRecord, SearchError>,
    ) -> Result<TreeRecord, SearchError> {
        let span = span!(
            parent: &self.0,
            "tree",
            espalier.problem = problem,
            espalier.tree = tree,
            espalier.seed = %seed,
            espalier.simulations = Empty,
            espalier.tokens = Empty,
            espalier.nodes = Empty,
            espalier.stop = Empty,
            espalier.solved = Empty
        );
        let result = span.in_scope(grow);
        match &result {
            Ok(_) if span.is_disabled() => {}
            Ok(tree) => {
                let stop = serde_json::to_value(tree.stop).unwrap_or_default();
                let solved = tree.react.values().any(|node| node.correct == Some(true));
                span.record("espalier.simulations", tree.simulations)
                    .record("espalier.tokens", tree.tokens)
                    .record("espalier.nodes", tree.react.len())
                    .record("espalier.stop", stop.as_str())
                    .record("espalier.solved", solved);
            }
            Err(error) => fail(&span, error.to_string()),
        }
        result
    }
}

fn fail(span: &tracing::Span, error: String) {
    span.record("otel.status_code", "ERROR").record("otel.status_description", display(error));
}
