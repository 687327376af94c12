//! Replays trees and beams that the original AlphaMath code grew, and says where this search would have grown another.
//!
//! A trace holds every answer of the original's model. Given the same answers in the same order, under the settings that
//! are compatible with the original, this search must ask the same questions and arrive at the same nodes. What the
//! interpreter printed and which steps were answers is taken from the trace: a replay tests the search, not the parser.

mod beam;
mod difference;
mod model;
mod trace;
mod tree;

pub use difference::Difference;
pub use trace::Trace;

use espalier_search::SearchError;
use trace::Mode;

/// Searches with the answers of a trace and gives the first difference from it, if there is one.
///
/// # Errors
/// When the trace's settings are none that a search can run with.
pub fn replay(trace: &Trace) -> Result<Option<Difference>, SearchError> {
    let result = match trace.config.mode {
        Mode::Mcts => tree::replay(trace),
        Mode::Sbs => beam::replay(trace),
    };
    match result {
        Ok(()) => Ok(None),
        Err(ReplayError::Differs(difference)) => Ok(Some(difference)),
        Err(ReplayError::Search(error)) => Err(error),
    }
}

/// Why a replay did not come to the end of its trace.
#[derive(Debug, thiserror::Error)]
enum ReplayError {
    #[error(transparent)]
    Differs(#[from] Difference),
    #[error(transparent)]
    Search(#[from] SearchError),
}
