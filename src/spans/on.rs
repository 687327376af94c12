//! Spans by the crate `tracing`.

use std::path::Path;

use anyhow::Result;
use espalier_search::{SearchError, TreeRecord};
use tracing::field::{Empty, display};

use super::TARGET;
use crate::recipe::Recipe;
use crate::usage::told;

/// A span that ends when it is dropped. Its attributes begin with `espalier.`; a seed is a string, for attributes have no numbers of 64 bits
/// without a sign.
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
            espalier.rounds = count(recipe.rounds.count as u64),
            espalier.run_dir = %run.display()
        ))
    }

    /// Of a round.
    #[must_use]
    pub fn round(round: usize) -> Self {
        Self(span!("round", espalier.round = count(round as u64)))
    }

    /// Of a stage of a round, or of a command that does a stage.
    #[must_use]
    pub fn stage(round: Option<usize>, name: &'static str) -> Self {
        let round = round.map(|round| count(round as u64));
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
            espalier.tree = count(tree as u64),
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
                span.record("espalier.simulations", count(tree.simulations))
                    .record("espalier.tokens", count(tree.tokens))
                    .record("espalier.nodes", count(tree.react.len() as u64))
                    .record("espalier.stop", stop.as_str())
                    .record("espalier.solved", solved);
            }
            Err(error) => fail(&span, error.to_string()),
        }
        result
    }
}

/// With a sign: one without it would be told as a string.
fn count(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn fail(span: &tracing::Span, error: String) {
    span.record("otel.status_code", "ERROR").record("otel.status_description", display(error));
}
