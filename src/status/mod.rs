//! What a run is at, in `live/` of its directory, for whoever watches it: written once a second, lost without loss.

mod board;
mod memory;
mod writer;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use espalier_inference::InferenceStats;
use espalier_search::TreeRecord;
use serde::{Deserialize, Serialize};

pub use board::{Counting, clear, count, meter, solved, stage, trees, under_way};
pub use writer::Writer;

/// A status that has not changed for so long is that of a run that was killed or stopped, in seconds.
pub const SILENT_AFTER: f64 = 10.0;

/// What a run is at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Names this form and its version.
    pub schema: String,
    /// The process.
    pub pid: u32,
    /// When this was written, in seconds since 1970.
    pub updated: f64,
    /// Whether the process has left the run: `running`, `ended`.
    pub state: State,
    /// The round.
    pub round: usize,
    /// The last round that is asked for.
    pub rounds: usize,
    /// The stage; empty before the first.
    pub stage: String,
    /// Seconds since the stage began in this process.
    pub seconds: f64,
    /// What is counted in the stage, as `search`; empty where nothing is.
    pub counting: String,
    /// How many are done.
    pub done: u64,
    /// Of how many.
    pub total: u64,
    /// Those that this process did, by the seconds since the counting began; absent before the first.
    pub per_second: Option<f64>,
    /// Seconds that the rest takes at that rate.
    pub seconds_left: Option<f64>,
    /// Problems for which a right answer was found, where problems are searched.
    pub solved: Option<u64>,
    /// What a local net did in the stage.
    pub inference: Option<InferenceStats>,
    /// Bytes of memory that the process holds; absent where the system does not say.
    pub memory_bytes: Option<u64>,
}

/// Whether a process is at a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It is.
    Running,
    /// It came to its end, or was stopped.
    Ended,
}

impl Status {
    /// What a run says; `None` where it never said anything.
    ///
    /// # Errors
    /// When the file is none of this form.
    pub fn read(run: &Path) -> anyhow::Result<Option<Self>> {
        read(&file(run))
    }

    /// Seconds since it was written.
    #[must_use]
    pub fn age(&self) -> f64 {
        (now() - self.updated).max(0.0)
    }

    /// Whether its process says no more, though it did not say that it ended.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        self.state == State::Running && self.age() > SILENT_AFTER
    }
}

/// The last finished tree of a run's searches, unchecked; `None` where there was none.
///
/// # Errors
/// When the file is none of its form.
pub fn last_tree(run: &Path) -> anyhow::Result<Option<TreeRecord>> {
    read(&tree_file(run))
}

fn read<T: serde::de::DeserializeOwned>(path: &Path) -> anyhow::Result<Option<T>> {
    match fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|error| anyhow::anyhow!("{} is damaged: {error}", path.display())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(anyhow::anyhow!("cannot read {}: {error}", path.display())),
    }
}

/// Where a run says what it is at.
#[must_use]
pub fn file(run: &Path) -> PathBuf {
    run.join("live").join("status.json")
}

/// Where the last finished tree lies.
#[must_use]
pub fn tree_file(run: &Path) -> PathBuf {
    run.join("live").join("tree.json")
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
}
