#!/bin/sh
# Seconds of `cargo build --release` after one touched line of the command line, and after a commit: benches/build.sh [REPOSITORY...]
#
# Each repository [default: this one] is cloned, so that nothing of it is changed. BUILD_TARGET names the folder for the builds
# [default: a new one, removed at the end]; REPETITIONS is 3. libtorch is that of LIBTORCH or of the repository (make set-up).
set -eu

here=$(cd "$(dirname "$0")/.." && pwd)
[ $# -gt 0 ] || set -- "$here"
repetitions=${REPETITIONS:-3}

seconds() {
	start=$(date +%s.%N)
	cargo build --release --locked --quiet
	end=$(date +%s.%N)
	awk "BEGIN { printf \"%.1f\", $end - $start }"
}

for repository in "$@"; do
	repository=$(cd "$repository" && pwd)
	work=$(mktemp -d)
	trap 'rm -rf "$work"' EXIT
	git clone --quiet "$repository" "$work/clone"
	cd "$work/clone"
	git config user.name bench
	git config user.email bench@localhost
	[ -e "$repository/.libtorch" ] && export LIBTORCH="${LIBTORCH:-$repository/.libtorch}"
	export CARGO_TARGET_DIR="${BUILD_TARGET:-$work/target}"
	revision=$(git rev-parse --short=12 HEAD)
	printf '%s: first build %s s\n' "$revision" "$(seconds)"
	for repetition in $(seq "$repetitions"); do
		# A changed line, not only a newer file.
		printf '\n// %s\n' "$repetition" >>src/cli/report.rs
		printf '%s: after one line of src/cli %s s\n' "$revision" "$(seconds)"
		git commit --quiet --all --message "$repetition"
		printf '%s: after a commit %s s\n' "$revision" "$(seconds)"
	done
	cd "$here"
	rm -rf "$work"
done
