"""Peak memory of each stage by the number of problems, and what a problem more costs.

    python3 benches/memory.py target/release/espalier [FEW] [MANY]

Problems of four and five numbers up to 50, one tree each, a net of a few thousand parameters. Every stage runs as a process of its
own; its peak is the largest resident set that the kernel saw (ru_maxrss). Caches are small, so that both sizes fill them. Training makes
as many steps from either size, since the allocator's heap fills up with pieces of other steps' tensors: 1,000 of them (`steps`), and
those of one pass over the larger labels (`epochs`), which are several passes over the smaller ones.
"""

import os
import pathlib
import subprocess
import sys
import tempfile

SETTINGS = [
    "problems.numbers=[4, 5]", "problems.max_value=50", "net.layers=1", "net.width=32", "net.heads=2",
    "net.key_value_heads=1", "net.intermediate=64", "net.max_length=128", "bootstrap.lines=20000",
    "bootstrap.epochs=1", "search.simulations=8", "training.epochs=1", "training.save_every=1000000",
    "compute.kv_cache_megabytes=16", "compute.concurrent_problems=32", "rounds.trees_per_problem=1",
]


def main():
    program = os.path.abspath(sys.argv[1])
    few, many = (int(count) for count in (sys.argv[2:4] or (6000, 60000)))
    with tempfile.TemporaryDirectory(dir=os.environ.get("ESPALIER_BENCH_DIR")) as folder:
        folder = pathlib.Path(folder)
        settings = [part for setting in SETTINGS for part in ("--set", setting)]

        def run(command, *arguments):
            line = [program, command, *settings, *map(str, arguments)]
            child = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=open(folder / "log", "w"))
            _, status, usage = os.wait4(child.pid, 0)
            if status != 0:
                sys.exit(f"{' '.join(line)}\n{(folder / 'log').read_text()}")
            return usage.ru_maxrss * 1024

        run("pretrain", "--out", folder / "net")
        peaks = {}
        for count in (few, many):
            at = folder / str(count)
            at.mkdir()
            problems, trees, labels = (at / f"{name}.jsonl" for name in ("problems", "trees", "labels"))
            run("generate", "--split", "train", "--count", count, "--out", problems)
            net = ("--checkpoint", folder / "net")
            peaks[count] = {
                "search": run("search", *net, "--problems", problems, "--out", trees),
                "harvest": run("harvest", "--trees", trees, "--out", labels),
                "steps": run("train", *net, "--labels", labels, "--out", at / "steps", "--set", "training.max_steps=1000"),
                "epochs": run("train", *net, "--labels", labels, "--out", at / "epochs", "--set", f"training.epochs={many // count}"),
                "auc": run("quality", "--problems", problems, "--labels", labels),
            }
        print(f"{'stage':8} {few:>10} {many:>10}  bytes a problem")
        for stage in peaks[few]:
            low, high = peaks[few][stage], peaks[many][stage]
            growth = (high - low) / (many - few)
            print(f"{stage:8} {low / 2**20:6.1f} MiB {high / 2**20:6.1f} MiB  {growth:8.0f}")


main()
