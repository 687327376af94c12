//! Where the program comes from. A leaf of its own, on which the program's `main` alone depends: it is compiled anew at every commit.

/// `git describe` of the sources, `-dirty` where they were changed since; `unknown` outside a repository.
pub const GIT_REVISION: &str = env!("ESPALIER_GIT_REVISION");

/// The compiler's version.
pub const RUSTC: &str = env!("ESPALIER_RUSTC");
