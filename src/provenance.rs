//! Where the running program comes from, and on which processor it runs. `main` says the first once: compiled in here, it would compile
//! this crate anew at every commit.

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

/// The processor's name and its widest vectors, on which the last bits of sums depend: `AMD EPYC, AVX2`.
#[must_use]
pub fn processor() -> String {
    let facts = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = facts.lines().find(|line| line.starts_with("model name"));
    let name =
        name.and_then(|line| line.split_once(':')).map_or("unknown", |(_, name)| name.trim());
    format!("{name}, {}", vectors())
}

#[cfg(target_arch = "x86_64")]
fn vectors() -> &'static str {
    if std::arch::is_x86_feature_detected!("avx512f") {
        "AVX-512"
    } else if std::arch::is_x86_feature_detected!("avx2") {
        "AVX2"
    } else {
        "SSE"
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn vectors() -> &'static str {
    std::env::consts::ARCH
}
