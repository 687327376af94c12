//! The `espalier` program.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use espalier::provenance::{self, Provenance};
use espalier_revision::{GIT_REVISION, RUSTC};

fn main() -> ExitCode {
    provenance::record(Provenance { git_revision: GIT_REVISION, rustc: RUSTC });
    espalier_cli::main()
}
