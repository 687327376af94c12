//! How a child is chosen: small pure functions of the statistics of siblings, put together by a
//! search's settings.
//!
//! [`Puct`] alone is AlphaMath's rule and the fast path; [`Scored`] adds what other engines do to it, and
//! [`gumbel`] searches by another principle altogether.

mod config;
mod first_play;
pub mod gumbel;
mod noise;
mod puct;
mod scored;
mod uct;
mod widening;

pub use config::{RuleName, SelectionConfig};
pub use first_play::FirstPlayUrgency;
pub use noise::{RootNoise, mix_noise};
pub use puct::{Puct, c_puct_at};
pub use scored::{Bonus, Scored};
pub use uct::uct_bonus;
pub use widening::Widening;

use crate::tree::{Entered, Siblings};

/// Chooses the child to descend into.
pub trait Rule: Sync {
    /// The index of a child that may be chosen, or `None` when there is none. `parent` is what their
    /// parent had before this descent.
    fn choose(&self, parent: &Entered, siblings: Siblings<'_>) -> Option<usize>;
}
