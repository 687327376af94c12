#!/bin/sh
# The tree's unit tests in the interpreter Miri, which follows the memory model and finds undefined behaviour.
set -eu
cd "$(dirname "$0")/.."
if ! cargo +nightly miri --version > /dev/null 2>&1; then
    echo "miri.sh: needs Miri: rustup toolchain install nightly --component miri rust-src" >&2
    exit 1
fi
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-../target}/miri"
# Isolation would hide the clock, which property tests read for their seeds.
export MIRIFLAGS="-Zmiri-disable-isolation ${MIRIFLAGS:-}"
PROPTEST_CASES=2 cargo +nightly miri test --locked --lib -- tree:: mcts::
