//! The worker processes' side: the hidden command `espalier code-worker`.

pub use super::embedded::serve as embedded;
#[cfg(feature = "cpython")]
pub use super::sandbox::enter as sandbox;

/// Refuses: this build has no CPython executor.
///
/// # Errors
/// Always.
#[cfg(not(feature = "cpython"))]
pub fn sandbox(_: &str) -> anyhow::Result<()> {
    Err(super::config::no_cpython().into())
}
