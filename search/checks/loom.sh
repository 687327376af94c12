#!/bin/sh
# Every schedule of two threads over the tree and the wait for progress, by the model checker loom. No more than three
# preemptions are tried by default (LOOM_MAX_PREEMPTIONS).
set -eu
cd "$(dirname "$0")/.."
export RUSTFLAGS="${RUSTFLAGS:-} --cfg espalier_loom"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-../target}/loom"
export LOOM_MAX_PREEMPTIONS="${LOOM_MAX_PREEMPTIONS:-3}"
cargo test --release --locked --test loom
cargo test --release --locked --lib loom
