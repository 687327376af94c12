#!/bin/sh
# Compiles the program without its optional parts, and with each of them alone.
set -eu
cd "$(dirname "$0")/.."
CARGO=${CARGO:-cargo}
for features in "" cpython hub otel parquet served; do
	echo "features: ${features:-none}" >&2
	$CARGO clippy --locked --no-default-features --features "$features" "$@" -- -D warnings
done
