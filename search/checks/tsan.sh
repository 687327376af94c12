#!/bin/sh
# Many threads in one tree under ThreadSanitizer. The standard library is not built with the sanitizer, so what it
# synchronises itself would be reported: tests/race.rs uses none of it but starting and joining threads.
set -eu
cd "$(dirname "$0")/.."
target=$(rustc -vV | sed -n 's/^host: //p')
# The sanitizer's switches are unstable; its runtime comes with the stable toolchain.
export RUSTC_BOOTSTRAP=1
export RUSTFLAGS="${RUSTFLAGS:-} -Zsanitizer=thread -Cunsafe-allow-abi-mismatch=sanitizer"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-../target}/tsan"
export TSAN_OPTIONS="halt_on_error=1 ${TSAN_OPTIONS:-}"
cargo test --release --locked --target "$target" --test race
