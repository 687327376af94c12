"""Trees of AlphaMath's shape grown in lock-step over `transformers.generate`, beside `espalier bench inference --cases search`.

    pip install torch==2.11.0 transformers
    python3 benches/peers/transformers_search.py DIR [--problems 64] [--at-once N] [--seconds N] [--threads N] [--device cuda] [--dtype bfloat16]

The loop that is usual in Python: every round takes a leaf of each tree, `generate` writes five steps for all of them
(with `--at-once` for so many trees after the other) in one padded batch with its key/value cache, and the value is read
from the hidden state that the same call computes for the last token of the prompt, by a linear head. Contexts, lengths
of steps, depth, simulations, threads and precision are those of the Rust bench; the texts that are drawn differ. Prints
one JSON object.
"""

import argparse
import json
import math
import os
import random
import time

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

CONTEXT, STEP, DEPTH, SAMPLES, C_PUCT = 200, 64, 8, 5, 1.5


class Node:
    __slots__ = ("text", "depth", "prior", "parent", "children", "visits", "total", "closed")

    def __init__(self, text, depth, prior, parent):
        self.text, self.depth, self.prior, self.parent = text, depth, prior, parent
        self.children, self.visits, self.total, self.closed = [], 0, 0.0, False

    def score(self):
        q = self.total / self.visits if self.visits else 0.0
        return q + C_PUCT * self.prior * math.sqrt(self.parent.visits) / (1 + self.visits)


def select(root):
    while not root.closed:
        node = root
        while node.children:
            open_children = [child for child in node.children if not child.closed]
            if not open_children:
                node.closed = True
                break
            node = max(open_children, key=Node.score)
        else:
            return node
    return None


def backup(node, value):
    while node:
        node.visits += 1
        node.total += value
        node = node.parent


class Policy:
    def __init__(self, folder, device, dtype):
        self.tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
        if self.tokenizer.pad_token is None:
            self.tokenizer.pad_token = self.tokenizer.convert_ids_to_tokens(0)
        self.model = AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype)).to(device).eval()
        config = self.model.config
        self.positions = config.max_position_embeddings
        self.value_head = torch.nn.Linear(config.hidden_size, 1).to(device)
        ends = [index for index in range(config.vocab_size) if "\n" in self.tokenizer.decode([index])]
        self.ends = ends + [config.eos_token_id] if isinstance(config.eos_token_id, int) else ends
        self.state = None
        self.model.model.norm.register_forward_hook(self.keep)

    def keep(self, module, inputs, output):
        if self.state is None:
            self.state = output[:, -1].float()

    @torch.inference_mode()
    def expand(self, contexts):
        """For each context a value and steps `(text, tokens, mean log-probability)`."""
        prompt = self.tokenizer(contexts, return_tensors="pt", padding=True, add_special_tokens=False).to(self.model.device)
        self.state = None
        out = self.model.generate(
            input_ids=prompt["input_ids"],
            attention_mask=prompt["attention_mask"],
            do_sample=True,
            temperature=1.0,
            top_k=0,
            top_p=1.0,
            num_return_sequences=SAMPLES,
            max_new_tokens=min(STEP, self.positions // 4),
            eos_token_id=self.ends,
            pad_token_id=self.tokenizer.pad_token_id,
            return_dict_in_generate=True,
            output_logits=True,
        )
        # The prompts are repeated, one row a sample, before they are read.
        values = torch.tanh(self.value_head(self.state))[::SAMPLES, 0].tolist()
        drawn = out.sequences[:, prompt["input_ids"].shape[1] :]
        steps = []
        logs = torch.stack(
            [torch.log_softmax(row.float(), -1).gather(1, drawn[:, at : at + 1])[:, 0] for at, row in enumerate(out.logits)], 1
        )
        for row, log in zip(drawn.tolist(), logs.tolist()):
            length = next((at + 1 for at, token in enumerate(row) if token in self.ends), len(row))
            text = self.tokenizer.decode(row[:length]).split("\n")[0] + "\n"
            steps.append((text, length, sum(log[:length]) / length))
        return [(value, steps[at * SAMPLES : (at + 1) * SAMPLES]) for at, value in enumerate(values)]


def context(tokenizer, index, length):
    numbers, text = random.Random(index), ""
    while True:
        longer = f"{text}{numbers.randrange(1000)} "
        if len(tokenizer(longer, add_special_tokens=False)["input_ids"]) > length:
            return text + "\n"
        text = longer


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("checkpoint")
    parser.add_argument("--problems", type=int, default=64)
    parser.add_argument("--simulations", type=int, default=40)
    parser.add_argument("--at-once", type=int, help="trees in one call of `generate`, all if not told")
    parser.add_argument("--seconds", type=float, default=math.inf, help="begin no simulation after this time")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    policy = Policy(arguments.checkpoint, arguments.device, arguments.dtype)
    length, step = min(CONTEXT, policy.positions // 2), min(STEP, policy.positions // 4)
    roots = [Node(context(policy.tokenizer, index, length), 0, 1.0, None) for index in range(arguments.problems)]
    policy.expand([roots[0].text])
    tokens = expanded = simulations = 0
    start = time.perf_counter()
    while simulations < arguments.simulations and time.perf_counter() - start < arguments.seconds:
        leaves = [leaf for leaf in map(select, roots) if leaf]
        if not leaves:
            break
        simulations += 1
        fits = [leaf for leaf in leaves if len(policy.tokenizer(leaf.text)["input_ids"]) + step <= policy.positions]
        for leaf in leaves:
            if leaf not in fits:
                leaf.closed = True
                backup(leaf, -1.0)
        if not fits:
            continue
        at_once = arguments.at_once or len(fits)
        parts = [fits[at : at + at_once] for at in range(0, len(fits), at_once)]
        answers = (answer for part in parts for answer in policy.expand([leaf.text for leaf in part]))
        for leaf, (value, steps) in zip(fits, answers):
            for text, count, log in steps:
                tokens += count
                child = Node(leaf.text + text, leaf.depth + 1, math.exp(log), leaf)
                leaf.children.append(child)
                if child.depth == DEPTH:
                    child.closed = True
                    backup(child, -1.0)
            backup(leaf, value)
            expanded += 1
    seconds = time.perf_counter() - start
    row = {"schema": "espalier.bench.inference/1", "engine": "transformers", "case": "lockstep"}
    row |= {"device": arguments.device, "dtype": arguments.dtype}
    row |= {"batch": arguments.problems, "threads": arguments.threads, "at_once": arguments.at_once or arguments.problems}
    row |= {"simulations": simulations, "tokens": tokens, "expansions": expanded}
    row |= {"tokens_per_second": tokens / seconds, "seconds": seconds, "expansions_per_second": expanded / seconds}
    print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
