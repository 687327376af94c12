//! What ends one search, and why it ended.

use std::time::Instant;

use super::progress::Progress;
use super::stop::{Status, StopConfig, StopRule};
use crate::cancel::Cancel;
use crate::error::SearchError;
use crate::snapshot::StopReason;
use crate::sync::OnceLock;

/// Ends all workers of a search alike: at a limit, by a failure of one of them, or because its caller cancelled it.
pub(super) struct Control {
    pub(super) progress: Progress,
    /// The handle that the search's caller may cancel.
    outside: Cancel,
    /// The handle below it, which ends this search's evaluations.
    cancel: Cancel,
    /// When the time is up.
    deadline: Option<Instant>,
    rules: Vec<Box<dyn StopRule>>,
    stop: OnceLock<StopReason>,
    failure: OnceLock<SearchError>,
}

impl Control {
    pub(super) fn new(stop: &StopConfig, outside: &Cancel) -> Self {
        let deadline = stop.deadline();
        Self {
            progress: Progress::default(),
            outside: outside.clone(),
            cancel: outside.child(deadline),
            deadline,
            rules: stop.rules(),
            stop: OnceLock::new(),
            failure: OnceLock::new(),
        }
    }

    /// Cancelled when the search ends.
    pub(super) fn handle(&self) -> &Cancel {
        &self.cancel
    }

    /// Why no further simulation is to begin; none while the search may go on.
    pub(super) fn reason(&self, status: &dyn Status) -> Option<StopReason> {
        let limit = self.rules.iter().find_map(|rule| rule.reason(status));
        limit.or_else(|| self.cancel.is_cancelled().then(|| self.cancellation()))
    }

    /// The reason to report for evaluations that were cancelled from outside or by the deadline. A worker of this search
    /// that cancels them has stored its own reason or failure before.
    pub(super) fn cancellation(&self) -> StopReason {
        match self.deadline {
            Some(end) if Instant::now() >= end && !self.outside.is_cancelled() => StopReason::Time,
            _ => StopReason::Cancelled,
        }
    }

    /// Ends the search; the first reason stands.
    pub(super) fn end(&self, reason: StopReason) {
        _ = self.stop.set(reason);
        self.stop_all();
    }

    /// Ends the search by a failure; the first one is the cause that is reported.
    pub(super) fn fail(&self, error: SearchError) {
        _ = self.failure.set(error);
        self.stop_all();
    }

    /// Stops every worker: those whose evaluations are under way, and those that wait for one.
    fn stop_all(&self) {
        self.cancel.cancel();
        self.progress.stop();
    }

    /// How the search ended, when every worker has.
    pub(super) fn outcome(&self) -> Result<StopReason, SearchError> {
        match self.failure.get() {
            Some(error) => Err(error.clone()),
            None => Ok(self.stop.get().copied().unwrap_or(StopReason::Simulations)),
        }
    }
}
