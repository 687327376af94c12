"""What a live page costs a run: CPU seconds of the same run without --watch and with it, a browser at its page.

    python3 benches/watch.py [--espalier target/release/espalier] [--pairs 10]

The two runs of a pair are started together, each on a core of its own; from pair to pair they change cores. A run takes about a minute.
The browser is Chromium, whose own CPU seconds are not counted.
"""

import argparse
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import tempfile
import time

from page import start

# Student's t, 95 %, by degrees of freedom.
T = {4: 2.776, 9: 2.262, 14: 2.145, 19: 2.093, 29: 2.045}
RECIPE = ["rounds.count=1", "rounds.problems=300", "evaluation.problems=220", "bootstrap.lines=12000", "rounds.probe.problems=20", "compute.threads=1"]


def begin(espalier, folder, core, watch):
    sets = [part for setting in RECIPE for part in ("--set", setting)]
    command = ["taskset", "-c", str(core), espalier, "run", "--run-dir", folder / "run", *sets, *(["--watch"] if watch else [])]
    log = open(folder / "log", "wb")
    return subprocess.Popen(command, stdout=log, stderr=log)


def connect(folder):
    """A browser at the address that the run's log names."""
    while not (found := re.search(r"http://\S+", (folder / "log").read_text())):
        time.sleep(0.05)
    return start(found[0], folder)


def seconds(process):
    """CPU seconds of a process at its end."""
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, process.returncode
    return usage.ru_utime + usage.ru_stime


def pair(espalier, swapped):
    with tempfile.TemporaryDirectory() as name:
        folders = [pathlib.Path(name) / kind for kind in ("plain", "watched")]
        for folder in folders:
            folder.mkdir()
        cores = [1, 0] if swapped else [0, 1]
        plain, watched = (begin(espalier, folder, core, watch) for folder, core, watch in zip(folders, cores, [False, True]))
        page = connect(folders[1])
        try:
            figures = seconds(plain), seconds(watched)
        finally:
            page.terminate()
            page.wait()
        # They did the same work.
        tables = [(folder / "run/rounds/1/labels.jsonl").read_bytes() for folder in folders]
        assert tables[0] == tables[1]
        return figures


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--espalier", default="target/release/espalier")
    parser.add_argument("--pairs", type=int, default=10)
    arguments = parser.parse_args()
    assert shutil.which("taskset")
    ratios = []
    for index in range(arguments.pairs):
        plain, watched = pair(arguments.espalier, index % 2 == 1)
        ratios.append(watched / plain)
        print(f"pair {index + 1}: {plain:.1f} s without, {watched:.1f} s with, ratio {ratios[-1]:.4f}", flush=True)
    if len(ratios) > 1:
        mean, error = statistics.mean(ratios), statistics.stdev(ratios) / len(ratios) ** 0.5
        reach = T.get(len(ratios) - 1, 2.262) * error
        print(f"ratio {mean:.4f} [{mean - reach:.4f}, {mean + reach:.4f}], {len(ratios)} pairs")


if __name__ == "__main__":
    main()
