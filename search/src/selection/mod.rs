//! How a child is chosen: small pure functions, put together by a search's settings.

mod puct;

pub use puct::Puct;

use crate::tree::Siblings;

/// Chooses the child to descend into.
pub trait Rule: Sync {
    /// The index of a child that may be chosen, or `None` when there is none. `parent_visits` is N of
    /// their parent from before this descent.
    fn choose(&self, parent_visits: f64, siblings: Siblings<'_>) -> Option<usize>;
}
