//! What a worker process does: the hidden command `espalier code-worker`.

pub use super::embedded::serve as embedded;
pub use super::sandbox::enter as sandbox;
