//! Where the running program comes from. `main` says it once: compiled in here, it would compile this crate anew at every commit.

use std::sync::OnceLock;

/// The program's revision and compiler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Provenance {
    /// `git describe` of the sources.
    pub git_revision: &'static str,
    /// The compiler's version.
    pub rustc: &'static str,
}

static PROVENANCE: OnceLock<Provenance> = OnceLock::new();

/// Records the provenance for manifests and timings; the first call counts.
pub fn record(provenance: Provenance) {
    _ = PROVENANCE.set(provenance);
}

/// The recorded provenance; `unknown` in a program that recorded none.
#[must_use]
pub fn get() -> Provenance {
    let unknown = Provenance { git_revision: "unknown", rustc: "unknown" };
    PROVENANCE.get().copied().unwrap_or(unknown)
}
