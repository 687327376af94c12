"""Serves one of this folder's models by `transformers` behind `POST /pooling`, to compare the served path with the local one.

    venv/bin/python serve.py NAME PORT          # the environment of make.py
    espalier score solutions.jsonl --set policy.value.kind=prm --set policy.value.form.preset=NAME --set policy.value.model=NAME \\
      --set policy.value.url=http://127.0.0.1:PORT/pooling --set policy.value.path=FOLDER

A row a token, as vLLM's task `token_classify` gives without activation: the head's numbers, or the logits of all tokens.
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import safetensors.torch
import torch
from transformers import AutoConfig, AutoModel, PreTrainedTokenizerFast

HERE = Path(__file__).parent
NAME, PORT = sys.argv[1], int(sys.argv[2])
TOKENIZER = json.loads((HERE / NAME / "reference.json").read_text())["tokenizer"]
tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(HERE / "tokenizers" / TOKENIZER / "tokenizer.json"))
config = AutoConfig.from_pretrained(HERE / NAME)
tensors = safetensors.torch.load_file(HERE / NAME / "model.safetensors")
tensors = {name.removeprefix("pretrained_model."): tensor for name, tensor in tensors.items()}
body = AutoModel.from_config(config)
body.load_state_dict({name[6:]: tensor for name, tensor in tensors.items() if name.startswith("model.")})
body.eval()


def head(states):
    for stem in ["score", "v_head.summary", "score_head", "pred_scalar"]:
        if f"{stem}.weight" in tensors:
            return torch.nn.functional.linear(states, tensors[f"{stem}.weight"], tensors.get(f"{stem}.bias"))
        if f"{stem}.0.weight" in tensors:
            hidden = torch.nn.functional.linear(states, tensors[f"{stem}.0.weight"], tensors[f"{stem}.0.bias"]).relu()
            return torch.nn.functional.linear(hidden, tensors[f"{stem}.2.weight"], tensors[f"{stem}.2.bias"])
    return torch.nn.functional.linear(states, tensors["lm_head.weight"])


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        ids = request["input"]
        if isinstance(ids, str):
            ids = tokenizer.encode(ids, add_special_tokens=request["add_special_tokens"])
        with torch.no_grad():
            rows = head(body(torch.tensor([ids])).last_hidden_state[0]).tolist()
        answer = json.dumps({"object": "list", "data": [{"index": 0, "object": "pooling", "data": rows}]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


HTTPServer(("127.0.0.1", PORT), Handler).serve_forever()
