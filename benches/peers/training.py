"""Training steps by PyTorch and `transformers`, beside `espalier bench training`: the same model, shapes and threads.

    pip install torch==2.11.0 transformers
    python3 benches/peers/training.py CHECKPOINT [--batch-tokens N] [--example-tokens N] [--steps N] [--threads N]
        [--device cuda] [--precision bfloat16] [--activation-checkpointing]

The model of the checkpoint folder with fp32 weights and a value head, its products in --precision (autocast), AlphaMath's loss
(the policy's on the last three quarters of each example, values at four step ends), gradients clipped, and PyTorch's fused
AdamW. Prints one JSON object with the keys of
`espalier bench training`, whose case `equal` it is.
"""

import argparse
import json
import os
import statistics
import time

import torch
from torch.nn.functional import cross_entropy, dropout
from transformers import AutoModelForCausalLM

WARM_UP, STEP_ENDS = 2, 4


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("checkpoint")
    parser.add_argument("--batch-tokens", type=int, default=1024)
    parser.add_argument("--example-tokens", type=int, default=128)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--activation-checkpointing", action="store_true")
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    wait = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    lower = arguments.precision != "float32"
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(1)
    model = AutoModelForCausalLM.from_pretrained(
        arguments.checkpoint, dtype=torch.float32, attn_implementation="sdpa"
    ).to(device)
    model.train()
    model.config.use_cache = False
    if arguments.activation_checkpointing:
        model.gradient_checkpointing_enable()
    value_head = torch.nn.Linear(model.config.hidden_size, 1).to(device)
    parameters = [*model.parameters(), *value_head.parameters()]
    groups = [
        {"params": [p for p in parameters if p.dim() >= 2], "weight_decay": 0.01},
        {"params": [p for p in parameters if p.dim() < 2], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=1e-5, fused=True)
    length = min(arguments.example_tokens, model.config.max_position_embeddings)
    count = max(1, arguments.batch_tokens // length)
    prompt = length // 4
    ends = torch.tensor([prompt + (length - prompt) * step // STEP_ENDS - 1 for step in range(1, STEP_ENDS + 1)]).to(device)
    rates, forwards, backwards, optimizers = [], [], [], []
    for step in range(arguments.steps + WARM_UP):
        ids = torch.randint(0, model.config.vocab_size, (count, length), device=device)
        labels = ids.clone()
        labels[:, :prompt] = -100
        wait()
        start = time.perf_counter()
        with torch.autocast(device.type, torch.bfloat16, enabled=lower):
            hidden = model.model(input_ids=ids).last_hidden_state
            logits = model.lm_head(hidden)
        policy = cross_entropy(logits[:, :-1].float().reshape(-1, logits.shape[-1]), labels[:, 1:].reshape(-1))
        values = value_head(dropout(hidden[:, ends].float(), 0.1)).squeeze(-1).tanh()
        loss = policy + 0.1 * (values - 0.5).square().mean()
        wait()
        forward = time.perf_counter()
        loss.backward()
        wait()
        backward = time.perf_counter()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        loss.item()
        end = time.perf_counter()
        if step >= WARM_UP:
            seconds = end - start
            rates.append(count * length / seconds)
            forwards.append((forward - start) / seconds)
            backwards.append((backward - forward) / seconds)
            optimizers.append((end - backward) / seconds)
    row = {"schema": "espalier.bench.training/1", "engine": "pytorch", "case": "equal", "device": arguments.device}
    row |= {"precision": arguments.precision, "batch_tokens": arguments.batch_tokens, "example_tokens": length}
    row |= {"threads": arguments.threads, "tokens_per_second": statistics.median(rates)}
    row |= {"tokens_per_second_min": min(rates), "tokens_per_second_max": max(rates), "padding": 0.0}
    row |= {"forward_share": statistics.mean(forwards), "backward_share": statistics.mean(backwards)}
    row |= {"optimizer_share": statistics.mean(optimizers)}
    if device.type == "cuda":
        row |= {"device_mebibytes": torch.cuda.max_memory_allocated() >> 20}
    print(json.dumps(row))


if __name__ == "__main__":
    main()
