//! What a run tells the viewers of others while it goes on: TensorBoard's events in its directory, and a trackio server.

mod scalars;
mod tensorboard;
#[cfg(feature = "served")]
mod trackio;
mod trees;

use std::path::Path;

use anyhow::{Result, ensure};
use espalier_search::ConfigError;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use scalars::Scalars;
use tensorboard::EventFile;
#[cfg(feature = "served")]
use trackio::Trackio;

use crate::address::check_url;

/// Where a run's figures go besides its own files.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FeedsRecipe {
    /// Whether TensorBoard's events are written in the run directory.
    pub tensorboard: bool,
    /// A trackio server.
    pub trackio: Option<TrackioRecipe>,
}

impl Default for FeedsRecipe {
    fn default() -> Self {
        Self { tensorboard: true, trackio: None }
    }
}

/// A trackio server that is told every stage's figures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrackioRecipe {
    /// The server's address, as in `http://127.0.0.1:7860`.
    pub url: String,
    /// The project; empty: the recipe's name.
    pub project: String,
}

impl Default for TrackioRecipe {
    fn default() -> Self {
        Self { url: "http://127.0.0.1:7860".into(), project: String::new() }
    }
}

impl FeedsRecipe {
    /// Refuses what cannot be told.
    ///
    /// # Errors
    /// When the server's address is none, or this build lacks served policies' client.
    pub fn validate(&self) -> Result<()> {
        let Some(TrackioRecipe { url, .. }) = &self.trackio else { return Ok(()) };
        ensure!(
            cfg!(feature = "served"),
            "feeds.trackio wants a build with the feature `served`; leave it out"
        );
        let (field, token) = ("feeds.trackio.url", "a write token comes from TRACKIO_WRITE_TOKEN");
        // Not repeated: the server prints its address with the token there.
        let requirement = format!("must have no query; {token}");
        ConfigError::require(!url.contains('?'), field, &"...?...", &requirement)?;
        Ok(check_url(field, url, token)?)
    }
}

/// The feeds of a run. What a feed cannot take is warned of and never fails the run, whose own files have it all.
pub struct Feeds<'a> {
    run: &'a Path,
    scalars: Scalars,
    events: Option<EventFile>,
    #[cfg(feature = "served")]
    trackio: Option<Trackio>,
}

impl<'a> Feeds<'a> {
    /// The feeds of the run in a directory; `name` is the recipe's.
    #[must_use]
    pub fn open(run: &'a Path, recipe: &FeedsRecipe, name: &str) -> Self {
        let events = recipe.tensorboard.then(|| EventFile::open(run));
        #[cfg(not(feature = "served"))]
        let _ = name;
        Self {
            run,
            scalars: Scalars::default(),
            events: events.and_then(|events| warned(events, "TensorBoard's events")),
            #[cfg(feature = "served")]
            trackio: recipe.trackio.as_ref().map(|recipe| Trackio::new(recipe, run, name)),
        }
    }

    /// Tells a finished stage's summary. A run that goes on tells those of finished stages again, in their order: what a feed has, it leaves.
    pub fn tell(&mut self, summary: &Value) {
        let told = self.scalars.of(summary);
        if let Some(events) = &mut self.events {
            events.add_scalars(&told);
            let written = trees::add(events, self.run, summary).and_then(|()| events.flush());
            if warned(written, "TensorBoard's events").is_none() {
                self.events = None;
            }
        }
        #[cfg(feature = "served")]
        if let Some(trackio) = &mut self.trackio {
            warned(trackio.log(&told), "feeds.trackio");
        }
    }
}

/// What came of a feed's work, or a warning.
fn warned<T>(result: Result<T>, feed: &str) -> Option<T> {
    result
        .inspect_err(|error| {
            tracing::warn!(
                "{feed}: {error:#}; the run goes on, and tells what is missing later or when it is started again"
            );
        })
        .ok()
}
