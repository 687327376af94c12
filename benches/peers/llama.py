"""Batched decoding by llama.cpp, beside `espalier bench inference`: the same context lengths, steps and threads.

    pip install llama-cpp-python==0.3.36        # builds llama.cpp from source
    python3 benches/peers/llama.py FILE.gguf [--dtype f32] [--kv f32]

Each sequence has a context of its own, as in `decode` there. The model file is requantised to --dtype first, beside
the given one. Prints one JSON object a line with the keys of `espalier bench inference`.
"""

import argparse
import ctypes
import json
import os
import statistics
import time

import llama_cpp

CONTEXT, STEP = 200, 64
FILE_TYPES = {"f32": llama_cpp.LLAMA_FTYPE_ALL_F32, "f16": llama_cpp.LLAMA_FTYPE_MOSTLY_F16}
CACHE_TYPES = {"f32": llama_cpp.GGML_TYPE_F32, "f16": llama_cpp.GGML_TYPE_F16}


def requantised(path, dtype):
    out = f"{path}.{dtype}"
    if not os.path.exists(out):
        params = llama_cpp.llama_model_quantize_default_params()
        params.ftype = FILE_TYPES[dtype]
        params.allow_requantize = True
        if llama_cpp.llama_model_quantize(path.encode(), (out + ".part").encode(), ctypes.byref(params)):
            raise SystemExit(f"{path} cannot be requantised to {dtype}")
        os.rename(out + ".part", out)
    return out


class Batch:
    def __init__(self, context, capacity):
        self.context = context
        self.batch = llama_cpp.llama_batch_init(capacity, 0, 1)

    def run(self, rows):
        """Decodes rows of (token, position, sequence, wanted)."""
        batch = self.batch
        for index, (token, position, sequence, wanted) in enumerate(rows):
            batch.token[index] = token
            batch.pos[index] = position
            batch.n_seq_id[index] = 1
            batch.seq_id[index][0] = sequence
            batch.logits[index] = wanted
        batch.n_tokens = len(rows)
        if llama_cpp.llama_decode(self.context, batch):
            raise SystemExit("llama_decode failed")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("--dtype", choices=FILE_TYPES, default="f32")
    parser.add_argument("--kv", choices=CACHE_TYPES, default="f32")
    parser.add_argument("--batches", default="64,32,8,1")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--repetitions", type=int, default=5)
    arguments = parser.parse_args()
    batches = [int(batch) for batch in arguments.batches.split(",")]
    llama_cpp.llama_backend_init()
    silent = llama_cpp.llama_log_callback(lambda *_: None)
    llama_cpp.llama_log_set(silent, None)
    path = requantised(arguments.model, arguments.dtype)
    model = llama_cpp.llama_model_load_from_file(path.encode(), llama_cpp.llama_model_default_params())
    vocabulary = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(model))
    for count in batches:
        params = llama_cpp.llama_context_default_params()
        params.n_ctx = count * (CONTEXT + STEP + 8)
        params.n_batch = params.n_ubatch = max(CONTEXT, count)
        params.n_seq_max = count
        params.n_threads = params.n_threads_batch = arguments.threads
        params.type_k = params.type_v = CACHE_TYPES[arguments.kv]
        params.kv_unified = False
        context = llama_cpp.llama_init_from_model(model, params)
        memory = llama_cpp.llama_get_memory(context)
        batch = Batch(context, max(CONTEXT, count))
        start = time.perf_counter()
        for sequence in range(count):
            tokens = [(7919 * sequence + 104729 * at) % (vocabulary - 1000) + 500 for at in range(CONTEXT)]
            batch.run([(token, at, sequence, at + 1 == CONTEXT) for at, token in enumerate(tokens)])
        prefill = count * CONTEXT / (time.perf_counter() - start)
        rates = []
        for repetition in range(arguments.repetitions + 1):
            for sequence in range(count):
                llama_cpp.llama_memory_seq_rm(memory, sequence, CONTEXT, -1)
            # What is drawn costs nothing here: sampling is left out.
            token = lambda at, sequence: (31 * at + 17 * sequence + repetition) % (vocabulary - 1000) + 500
            start = time.perf_counter()
            for at in range(CONTEXT, CONTEXT + STEP):
                batch.run([(token(at, sequence), at, sequence, True) for sequence in range(count)])
                llama_cpp.llama_get_logits(context)
            rates.append(count * STEP / (time.perf_counter() - start))
        rates = sorted(rates[1:])
        row = {"schema": "espalier.bench.inference/1", "engine": "llama.cpp", "case": "decode", "batch": count}
        row |= {"dtype": arguments.dtype, "kv": arguments.kv, "threads": arguments.threads}
        row |= {"tokens_per_second": statistics.median(rates)}
        row |= {"tokens_per_second_min": rates[0], "tokens_per_second_max": rates[-1], "prefill_per_second": prefill}
        print(json.dumps(row), flush=True)
        llama_cpp.llama_batch_free(batch.batch)
        llama_cpp.llama_free(context)


if __name__ == "__main__":
    main()
