//! The `espalier` program.

use std::process::ExitCode;

/// A tree is thousands of short texts, made by one thread and dropped at once.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    espalier::cli::main()
}
