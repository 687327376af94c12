//! The `espalier` program.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use espalier::provenance::{self, Provenance};
use espalier_revision::{GIT_REVISION, RUSTC};
use tikv_jemallocator::Jemalloc;

/// libtorch's memory comes from it too. A training step frees large blocks and asks for the same ones again: glibc gives them back to the
/// system, and searches long lists for what it kept.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    provenance::record(Provenance { git_revision: GIT_REVISION, rustc: RUSTC });
    espalier_cli::main()
}
