//! Checkpoints and labels for a Hugging Face repository, and the way there.
//!
//! What is to be sent is a [`Parcel`]: a checkpoint for a model repository, labels for a dataset repository, each with a card. [`parcels`]
//! makes them of what lies on the disk and asks nobody; [`Hub`] sends them.

#[cfg(not(feature = "hub"))]
mod absent;
#[cfg(feature = "hub")]
mod account;
#[cfg(feature = "hub")]
mod client;
mod dataset_card;
mod model_card;
mod parcel;
mod repository;
mod sources;
#[cfg(feature = "hub")]
mod upload;

#[cfg(not(feature = "hub"))]
pub use absent::Hub;
pub use parcel::{Item, Parcel, size};
pub use repository::{Branch, Kind, Licence, Name};
pub use sources::{Wanted, What, parcels};
#[cfg(feature = "hub")]
pub use upload::Hub;

use serde::Serialize;

/// Where a parcel goes.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// The repository; a model and a dataset may have the same name.
    pub name: &'a Name,
    /// Its branch, which is made where it is not there.
    pub branch: &'a Branch,
    /// Whether it must be private: made so where it is not there, and refused where others can read it.
    pub private: bool,
}

/// What became of a parcel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Sent {
    schema: &'static str,
    /// Of which kind the repository is.
    pub kind: Kind,
    /// Its name.
    pub repository: String,
    /// The branch.
    pub revision: String,
    /// The round whose net it is, or up to which the labels go; absent of files that belong to no run.
    pub round: Option<usize>,
    /// Where a browser finds it; absent where nothing was sent.
    pub url: Option<String>,
    /// The new commit's page; absent where nothing was new.
    pub commit: Option<String>,
    /// The files.
    pub files: Vec<SentFile>,
}

/// What became of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SentFile {
    /// Its name in the repository.
    pub path: String,
    /// In bytes.
    pub size: u64,
    /// What became of it.
    pub state: State,
}

/// What became of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It would be sent: a dry run.
    Planned,
    /// It is in the new commit.
    Sent,
    /// The repository has it already.
    Unchanged,
    /// The repository's `.gitignore` keeps it out.
    Ignored,
}

impl Sent {
    fn new(parcel: &Parcel, target: Target<'_>, states: impl Fn(usize) -> State) -> Self {
        let file = |(index, item): (usize, &Item)| SentFile {
            path: item.path.clone(),
            size: item.size(),
            state: states(index),
        };
        Self {
            schema: "espalier.push/1",
            kind: parcel.kind,
            repository: target.name.to_string(),
            revision: target.branch.to_string(),
            round: parcel.round,
            url: None,
            commit: None,
            files: parcel.items.iter().enumerate().map(file).collect(),
        }
    }

    /// What would be sent, had it not been for the dry run.
    #[must_use]
    pub fn planned(parcel: &Parcel, target: Target<'_>) -> Self {
        Self::new(parcel, target, |_| State::Planned)
    }

    /// One line for a reader.
    #[must_use]
    pub fn line(&self) -> String {
        let Self { kind, repository, revision, .. } = self;
        let of = |state: State| self.files.iter().filter(move |file| file.state == state);
        let bytes = |state| size(of(state).map(|file| file.size).sum());
        let count = |state| of(state).count();
        let unchanged = match count(State::Unchanged) {
            0 => String::new(),
            count => format!(", {count} unchanged"),
        };
        match (&self.url, &self.commit) {
            (None, _) => format!(
                "{kind} {repository} ({revision}): {} files, {}, would be sent",
                count(State::Planned),
                bytes(State::Planned)
            ),
            (Some(url), None) => format!("{url}: nothing new{unchanged}"),
            (Some(url), Some(_)) => {
                format!(
                    "{url}: {} files sent, {}{unchanged}",
                    count(State::Sent),
                    bytes(State::Sent)
                )
            }
        }
    }
}
